"""A kind of array: how it is viewed, and what results and scratch it has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from qkernels.cuda import _scratch, _streams

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from qkernels.cuda._view import View


class Arrays(ABC):
    """A kind of array. The operators know nothing else of any library's arrays."""

    @abstractmethod
    def view(self, x: Any, what: str, stream: int, *, writable: bool = False) -> View:
        """X as the kernels see it, for work on `stream`.

        Args:
            x: an array of this kind.
            what: its name in messages.
            stream: where the work will go.
            writable: the work writes to x, so that a copy of it will not do.

        Raises:
            TypeError: not on a CUDA device, or of another dtype than the three of floats.
            ValueError: the array says something that cannot be.
        """

    def device(self, x: Any, what: str) -> int:
        """The device that x is on."""
        return self.view(x, what, _streams.LEGACY_DEFAULT).device

    def current_stream(self, device: int) -> int:
        """The stream for work whose caller names none: the default one."""
        return 0

    @abstractmethod
    def empty(self, shape: tuple[int, ...], dtype: str, device: int, stream: int) -> Any:
        """A new array for results, which `stream` will write."""

    def scratch(self, nbytes: int, device: int, stream: int) -> AbstractContextManager[int]:
        """The address of memory that work on `stream` may use, once all before it has ended."""
        return _scratch.shared(device, stream, nbytes)

    def bias(self, x: Any, what: str, stream: int) -> View:
        """A bias as the kernels take it: float32, side by side.

        Raises:
            TypeError: another dtype.
        """
        view = self.view(x, what, stream)
        if view.dtype != "float32":
            raise TypeError(f"{what} has dtype {view.dtype}; expected float32")
        return view

    def multiply_large(self, call: Any) -> bool:
        """A product of more columns than a kernel takes, where this kind has a better way."""
        return False


class ForeignArrays(Arrays):
    """A kind of which others make the arrays, and results are ours.

    Args:
        new: makes an array for results, from its shape, dtype, device and stream.
    """

    def __init__(self, new: Callable[..., Any]) -> None:
        self._new = new

    def empty(self, shape: tuple[int, ...], dtype: str, device: int, stream: int) -> Any:
        """See Arrays."""
        return self._new(shape, dtype, device, stream=stream)
