"""Memory that an Executor's calls need, by stream: enough for the largest weights that it holds."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from qkernels.cuda import _abi
from qkernels.cuda._library import activation_bytes, library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from qkernels.cuda._pool import Pool
    from qkernels.cuda.tensor import Allocation, CudaTensor

ALIGNMENT = 256


class Workspace:
    """For each stream, room for quantised rows, and for rows of x and y of the host.

    Args:
        pool: where it comes from.
        lock: held while a call is put on its stream, so that calls on a stream do not mix.
    """

    def __init__(self, pool: Pool, lock: AbstractContextManager[object]) -> None:
        self._pool = pool
        self._lock = lock
        self._most_k = 1
        self._most_n = 1
        self._activations: dict[int, Allocation] = {}
        self._staging: dict[int, Allocation] = {}

    def fit(self, weights: CudaTensor) -> None:
        """Make room for products with these weights, on every stream in use."""
        self._most_n = max(self._most_n, weights.shape[0])
        self._most_k = max(self._most_k, weights.k)
        for stream in self._activations:
            self._renew(self._activations, stream, self._activation_bytes())
        for stream in self._staging:
            self._renew(self._staging, stream, self._staging_bytes())

    def use(self, stream: int) -> None:
        """Allocate for a stream, if it has nothing yet."""
        self._renew(self._activations, stream, self._activation_bytes())

    @contextmanager
    def scratch(self, nbytes: int, device: int, stream: int) -> Iterator[int]:
        """The address of at least nbytes for quantised rows, while launches are made."""
        with self._lock:
            self.use(stream)
            yield self._activations[stream].pointer

    @contextmanager
    def staging(self, stream: int) -> Iterator[tuple[int, int]]:
        """The addresses of eight rows of x, and of eight rows of y, in float32."""
        with self._lock:
            self._renew(self._staging, stream, self._staging_bytes())
            begin = self._staging[stream].pointer
            yield begin, begin + self._x_bytes()

    def close(self) -> None:
        """Free all of it."""
        for held in (self._activations, self._staging):
            for memory in held.values():
                memory.free()
            held.clear()

    def _activation_bytes(self) -> int:
        acts = range(len(_abi.ACTS))
        return max(activation_bytes(act, _abi.MOST_COLUMNS, self._most_k) for act in acts)

    def _x_bytes(self) -> int:
        nbytes = 4 * _abi.MOST_COLUMNS * self._most_k
        return -(-nbytes // ALIGNMENT) * ALIGNMENT

    def _staging_bytes(self) -> int:
        return self._x_bytes() + 4 * _abi.MOST_COLUMNS * self._most_n

    def _renew(self, held: dict[int, Allocation], stream: int, nbytes: int) -> None:
        before = held.get(stream)
        if before is not None:
            if before.nbytes >= nbytes:
                return
            library().call("synchronize_device", self._pool.device)  # what runs may still use it
            before.free()
        held[stream] = self._pool.allocate(self._pool.device, nbytes)
