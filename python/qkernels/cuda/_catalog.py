"""Weights on a device by their names."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from qkernels.cuda._library import library
from qkernels.cuda.upload import upload
from qkernels.weights.qtensor import QTensor

if TYPE_CHECKING:
    from qkernels.cuda._pool import Pool
    from qkernels.cuda.tensor import CudaTensor


class Catalog:
    """What an Executor has loaded, in the order in which it was.

    Args:
        pool: where memory comes from.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._weights: dict[str, CudaTensor] = {}
        self._unloaded: set[str] = set()

    def __contains__(self, name: object) -> bool:
        """Whether weights of this name are loaded."""
        return name in self._weights

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(self._weights)

    @property
    def nbytes(self) -> int:
        """The bytes of all weights."""
        return sum(weights.nbytes for weights in self._weights.values())

    def find(self, name: str) -> CudaTensor:
        """The weights of a name.

        Raises:
            KeyError: no such name; the message has those that are like it.
        """
        if name in self._weights:
            return self._weights[name]
        if name in self._unloaded:
            raise KeyError(f"{name!r} was unloaded")
        close = difflib.get_close_matches(str(name), self._weights, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "nothing is like it"
        raise KeyError(f"no weights are loaded as {name!r}; {hint}")

    def load(self, name: str, weights: QTensor, pack: bool) -> CudaTensor:
        """Copy weights to the device.

        Raises:
            TypeError: weights are not a QTensor.
            ValueError: the name is taken, or a stack of experts.
            MemoryError: the device has no room.
        """
        if not isinstance(weights, QTensor):
            raise TypeError(f"weights must be a QTensor, not {type(weights).__name__}")
        if name in self._weights:
            raise ValueError(f"{name!r} is loaded already; unload it first")
        loaded = upload(weights, self._pool.device, pack, self._pool.allocate)
        self._weights[name] = loaded
        self._unloaded.discard(name)
        return loaded

    def unload(self, name: str) -> None:
        """Give the memory of weights back, once everything on the device has ended.

        Raises:
            KeyError: no such name.
        """
        weights = self.find(name)
        library().call("synchronize_device", self._pool.device)  # what runs may still read them
        weights.free()
        del self._weights[name]
        self._unloaded.add(name)

    def close(self) -> None:
        """Free all weights."""
        for weights in self._weights.values():
            weights.free()
        self._weights.clear()
