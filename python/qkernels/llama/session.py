"""The sequence of tokens that a model's cache holds, and how it grows."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from qkernels.llama.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Collection

    from qkernels import _core

# The tokens before the next one that a repetition penalty looks at.
REPEAT_LAST = 64


class Session:
    """One sequence in a `_core.Llama`.

    A prompt is read in pieces of `core.batch` tokens, between which Ctrl-C is heard. Whole pieces
    that begin the next prompt too are not read again. A part of one is: its keys and values were
    computed in a product of another size, which rounds differently, and then the same prompt would
    not always give the same text.
    """

    def __init__(self, core: _core.Llama) -> None:
        self.core = core
        # The tokens of the whole pieces at the start of the cache.
        self._pieces: list[int] = []

    def read(
        self, tokens: list[int], logits: Literal["last", "all"]
    ) -> tuple[list[NDArray[Any]], int]:
        """Make `tokens` the sequence.

        Returns:
            The logits of each piece: with "last" those of the last token alone, (vocabulary,); with
            "all" (tokens of the piece, vocabulary). And the number of tokens that were not read,
            since they were there, which is 0 with "all".

        Raises:
            ValueError: no tokens, one outside the vocabulary, or more than the context.
        """
        batch = self.core.batch
        start = self._common(tokens) if logits == "last" else 0
        # Shorter first: whatever interrupts this, these pieces are in the cache.
        self._pieces = self._pieces[:start]
        self.core.truncate(start)
        found = []
        for at in range(start, len(tokens), batch):
            piece = tokens[at : at + batch]
            wanted = logits if logits == "all" or at + batch >= len(tokens) else "none"
            result = self.core.forward(piece, wanted)
            if result is not None:
                found.append(result)
            if len(piece) == batch:
                self._pieces += piece
        return found, start

    def generate(
        self,
        prompt: list[int],
        max_tokens: int,
        sampler: _core.Sampler,
        ends: Collection[int],
        stats: Stats,
    ) -> Iterator[int]:
        """Make `prompt` the sequence and yield what follows, at most `max_tokens` tokens.

        Ends before a token in `ends`, and where the context is full.

        Raises:
            ValueError: as `read`; or the logits hold NaN.
        """
        core = self.core
        begin = perf_counter()
        _, stats.reused_tokens = self.read(prompt, "last")
        for token in prompt[-REPEAT_LAST:]:
            sampler.accept(token)
        token = core.sample(sampler)
        stats.prompt_tokens, stats.prompt_seconds = len(prompt), perf_counter() - begin
        while True:
            stats.tokens += 1
            if token in ends:
                return
            yield token
            if stats.tokens >= max_tokens or core.position >= core.context:
                return
            begin = perf_counter()
            token = core.step(token, sampler)
            stats.seconds += perf_counter() - begin
            # What a step reads grows evenly from token to token, so the middle one is the average.
            middle = (len(prompt) + core.position) // 2
            stats.bytes_per_token = core.weight_bytes + core.cache_bytes(middle)

    def _common(self, tokens: list[int]) -> int:
        """How many tokens of whole pieces `tokens` begins with, one of its own at least left."""
        batch, start = self.core.batch, 0
        while start + batch < len(tokens) and (
            self._pieces[start : start + batch] == tokens[start : start + batch]
        ):
            start += batch
        return start
