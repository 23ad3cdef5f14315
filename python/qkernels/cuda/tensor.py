"""CudaTensor: quantised weights in a device's memory."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .. import _core
from .._base import WeightsBase
from . import _abi, _memory
from ._library import format_info, format_number, library, row_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tensor import QTensor

CHUNK_BYTES = 16 << 20  # of the host's memory, while weights are copied


class Held(Protocol):
    """Device memory of any allocator: bytes that are freed once."""

    @property
    def device(self) -> int:
        """The device's number."""

    @property
    def pointer(self) -> int:
        """The address; ValueError when the memory was freed."""

    @property
    def nbytes(self) -> int:
        """How much there is."""

    @property
    def freed(self) -> bool:
        """Whether it is no longer there."""

    def free(self) -> None:
        """Give it back."""


class CudaTensor(WeightsBase):
    """n rows of k quantised weights on a device; `QTensor.to("cuda")` makes one.

    `qkernels.gemv`, `gemm` and `dequantize` take it, as do those of `qkernels.cuda`. Its memory is
    freed once: by `free()`, or when the last reference to it goes.
    """

    __slots__ = ("_format", "_layout", "_memory", "_row_bytes", "_shape")

    def __init__(self, memory: Held, fmt: int, layout: int, shape: tuple[int, int]) -> None:
        self._memory = memory
        self._format = fmt
        self._layout = layout
        self._shape = shape
        self._row_bytes = row_bytes(fmt, layout, shape[1])

    @property
    def fmt(self) -> str:
        """The format's name in lower case, such as "q4_k"."""
        return str(format_info(self._format).name.decode())

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)."""
        return self._shape

    @property
    def k(self) -> int:
        """The weights of a row."""
        return self._shape[1]

    @property
    def layout(self) -> str:
        """How rows lie: "native", as in a file, or "packed", for aligned loads of 16 bytes."""
        packed = self._layout and format_info(self._format).packs
        return _abi.LAYOUTS[1 if packed else 0]

    @property
    def device(self) -> str:
        """Where it lies, such as "cuda:0"."""
        return f"cuda:{self._memory.device}"

    @property
    def device_number(self) -> int:
        """The device as CUDA numbers it."""
        return self._memory.device

    @property
    def nbytes(self) -> int:
        """The bytes of all rows on the device."""
        return self._shape[0] * self._row_bytes

    @property
    def is_float(self) -> bool:
        """Whether the weights are floats, which are multiplied with float32 activations."""
        return bool(format_info(self._format).is_float)

    @property
    def freed(self) -> bool:
        """Whether the memory was given back."""
        return self._memory.freed

    @property
    def pointer(self) -> int:
        """The address of the first row; ValueError after `free()`."""
        if self.freed:
            raise ValueError(f"{self!r} was freed")
        return self._memory.pointer

    def free(self) -> None:
        """Give the memory back. Whoever uses the weights afterwards gets a ValueError."""
        self._memory.free()

    def dequantize(self, dtype: str = "float32") -> Any:
        """The weights as floats, (n, k): see `qkernels.cuda.dequantize`."""
        from ._elementwise import dequantize

        return dequantize(self, dtype=dtype)

    def structure(self, first: int = 0, count: int | None = None) -> _abi.Weights:
        """Rows [first, first + count), all of them by default, in the interface's form."""
        n, k = self._shape
        return _abi.Weights(
            self.pointer + first * self._row_bytes,
            n if count is None else count,
            k,
            self._row_bytes,
            self._format,
            self._layout,
        )

    def like(self, other: CudaTensor) -> bool:
        """Whether both have one shape, format, layout and device."""
        return (
            (self._shape, self._format, self._layout, self.device)
            == (other._shape, other._format, other._layout, other.device)
        )  # fmt: skip

    def __matmul__(self, x: Any) -> Any:
        """weights @ x for x of shape (k,), or for a torch tensor (k, m) too.

        Raises:
            TypeError: x is no array on a device.
            ValueError: x does not have k rows, or has more than two dimensions.
        """
        from .products import gemm, gemv

        if getattr(x, "ndim", 1) == 2 and hasattr(x, "T"):
            return gemm(self, x.T).T
        return gemv(self, x)

    def __array__(self, *args: object, **kwargs: object) -> Any:
        """Refused, so that weights are never inflated by accident."""
        raise TypeError("weights on a device do not turn into an array; call .dequantize()")

    def __reduce__(self) -> Any:
        """Refused: the memory belongs to this process."""
        raise TypeError("weights on a device are not pickled; pickle the QTensor instead")

    def __repr__(self) -> str:
        """Format, shape, layout and device in one line."""
        return f"CudaTensor({self.fmt}, shape={self._shape}, {self.layout}, {self.device})"


def device_number(device: object) -> int:
    """The number in "cuda:1", 1 or a torch.device; "cuda" is torch's current device, or 0.

    Raises:
        TypeError: not a device at all.
        ValueError: no CUDA device.
    """
    if hasattr(device, "__index__"):
        number = operator.index(device)
        if number < 0:
            raise ValueError(f"device {number} is negative")
        return number
    kind, _, text = str(device).partition(":")
    if not isinstance(device, str) and type(device).__name__ != "device":
        raise TypeError(f"device must be a str or an int, not {type(device).__name__}")
    if kind != "cuda" or (text and not text.isdecimal()) or str(device).endswith(":"):
        raise ValueError(f"device {str(device)!r} is not 'cuda' or 'cuda:<number>'")
    if text:
        return int(text)
    if "torch" in sys.modules:
        from ._torch import runtime

        if runtime.usable():
            return runtime.current_device()
    return 0


def upload(
    weights: QTensor,
    device: int,
    pack: bool = True,
    allocate: Callable[[int, int], Held] = _memory.Memory,
) -> CudaTensor:
    """Copy a matrix to a device, packed on the way in pieces of bounded size. Blocks.

    Args:
        weights: of shape (n, k).
        device: the device's number.
        pack: whether rows take the layout that the kernels read fastest.
        allocate: gives memory for (device, nbytes).

    Raises:
        ValueError: a vector, a stack of matrices, or no rows.
        IndexError: there is no such device.
        MemoryError: the device has no room.
    """
    if weights.ndim != 2:
        raise ValueError(
            f"weights of shape {weights.shape} are no matrix; move the matrices of a stack, "
            "weights[e].to('cuda'), one by one, and a vector as w.reshape(1, -1)"
        )
    n, k = weights.shape
    if n == 0:
        raise ValueError(f"weights of shape {weights.shape} are empty; a device takes one row")
    fmt, layout = format_number(weights.fmt), int(pack)
    each = row_bytes(fmt, layout, k)
    memory = allocate(device, n * each)
    try:
        _fill(memory, weights, fmt, each, pack)
        _core.check_mapped(np.asarray(weights.data))
    except BaseException:
        memory.free()
        raise
    return CudaTensor(memory, fmt, layout, (n, k))


def _fill(memory: Held, weights: QTensor, fmt: int, each: int, pack: bool) -> None:
    """Copy all rows, which have `each` bytes on the device, and wait until they are there."""
    n, k = weights.shape
    data = np.asarray(weights.data)
    rows = max(1, CHUNK_BYTES // each)
    host = np.empty(min(n, rows) * each, np.uint8)
    for first in range(0, n, rows):
        source = np.ascontiguousarray(data[first : first + rows])
        count = len(source)
        if pack:
            library().call(
                "pack", fmt, count, k, source.ctypes.data, source.shape[1],
                host.ctypes.data, host.nbytes,
            )  # fmt: skip
        else:
            host[: count * each] = source[:, :each].reshape(-1)
        at = memory.pointer + first * each
        _memory.to_device(memory.device, at, host.ctypes.data, count * each, 0)
    library().call("synchronize", memory.device, 0)
