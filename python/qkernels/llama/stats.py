"""How fast a generation was, and how much of the memory's speed that is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from time import perf_counter

from qkernels import _core

# A buffer for reading is so many last-level caches large, and at least so many bytes.
_CACHES = 4
_LEAST_BYTES = 256 << 20
_PASSES = 3


@dataclass
class Stats:
    """One generation.

    Attributes:
        prompt_tokens: of the prompt, those taken over from the call before among them.
        reused_tokens: of these, whose keys and values were still there.
        prompt_seconds: until the first token was chosen.
        tokens: chosen, the one that ended the text included.
        seconds: of the steps from the first token to the last, without what happens between them.
        bytes_per_token: of weights, keys and values that an average step read.
        threads: that computed.
    """

    prompt_tokens: int = 0
    reused_tokens: int = 0
    prompt_seconds: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    bytes_per_token: float = 0.0
    threads: int = 1

    @property
    def tokens_per_second(self) -> float:
        """Steps a second; 0 where there was none, since the first token comes from the prompt."""
        return (self.tokens - 1) / self.seconds if self.seconds > 0 else 0.0

    @property
    def bandwidth_fraction(self) -> float:
        """Bytes read a second over what this machine reads when it does nothing else.

        Above 1 is possible where a part of the model stays in the cache. The first use measures the
        machine, which takes about half a second. 0 where there was no step.
        """
        if not self.tokens_per_second:
            return 0.0
        return self.bytes_per_token * self.tokens_per_second / read_bandwidth(self.threads)

    def to_dict(self) -> dict[str, float]:
        """All of it by name, as `--json` writes it."""
        speeds = {name: getattr(self, name) for name in ("tokens_per_second", "bandwidth_fraction")}
        return {**asdict(self), **speeds}


@lru_cache(maxsize=8)
def read_bandwidth(threads: int) -> float:
    """Bytes a second of the fastest way to read memory, with as many threads.

    Args:
        threads: 1 to 256.

    Raises:
        MemoryError: there is no room for a buffer that exceeds the caches.
    """
    from qkernels._measure.machine import last_level_cache
    from qkernels._measure.memory import allocate

    nbytes = max(_CACHES * last_level_cache(), _LEAST_BYTES)
    buffer = allocate(1, nbytes, huge=True)[0]
    buffer[:] = 1  # pages that were never written to are one page of zeros
    best = min(
        _seconds(buffer, variant, threads)
        for variant in _core.read_variants()
        for _ in range(_PASSES)
    )
    return float(buffer.nbytes / best)


def _seconds(buffer: object, variant: str, threads: int) -> float:
    start = perf_counter()
    _core.read_pass(buffer, variant, threads)
    return perf_counter() - start
