"""CudaTensor: quantised weights in a device's memory."""

from __future__ import annotations

from typing import Any, Protocol

from qkernels.cuda import _abi
from qkernels.cuda._elementwise import decode
from qkernels.cuda._library import format_info, row_bytes
from qkernels.cuda._product import product
from qkernels.weights.base import WeightsBase


class Allocation(Protocol):
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

    def __init__(self, memory: Allocation, fmt: int, layout: int, shape: tuple[int, int]) -> None:
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
        return decode(self, dtype)

    def _product(
        self, x: Any, *, bias: Any, act: str, out: Any, threads: int | None, vector: bool
    ) -> Any:
        self._refuse_threads(threads)
        return product(self, x, bias=bias, act=act, out=out, stream=None, vector=vector)

    def _decode(self, *, rows: slice | None, dtype: Any, out: Any, threads: int | None) -> Any:
        self._refuse_threads(threads)
        if rows is not None:
            raise TypeError("weights on a device have no slices; slice the QTensor")
        return decode(self, dtype, out)

    def _refuse_threads(self, threads: int | None) -> None:
        if threads is not None:
            raise TypeError(f"threads={threads} is for weights on the CPU, these are {self!r}")

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
        options: Any = {"bias": None, "act": "int16", "out": None, "threads": None}
        if getattr(x, "ndim", 1) == 2 and hasattr(x, "T"):
            return self._product(x.T, **options, vector=False).T
        return self._product(x, **options, vector=True)

    def __array__(self, *args: object, **kwargs: object) -> Any:
        """Refused, so that weights are never inflated by accident."""
        raise TypeError("weights on a device do not turn into an array; call .dequantize()")

    def __reduce__(self) -> Any:
        """Refused: the memory belongs to this process."""
        raise TypeError("weights on a device are not pickled; pickle the QTensor instead")

    def __repr__(self) -> str:
        """Format, shape, layout and device in one line."""
        return f"CudaTensor({self.fmt}, shape={self._shape}, {self.layout}, {self.device})"
