"""Activations: rows of x, quantised to 8 bits on the device, for several products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qkernels.cuda import _abi, _memory
from qkernels.cuda._library import activation_bytes

if TYPE_CHECKING:
    from qkernels.cuda.tensor import Allocation

    NDArray = np.ndarray[Any, Any]

INT8 = _abi.ACTS.index("int8")
HEADER = 128  # bytes: row_scale of each column, float32
UNIT = np.dtype([("v", "i1", 256), ("scale", "f4", 8), ("sum", "f4", 8), ("sum16", "f4", (2, 8))])


class Q8(NamedTuple):
    """Quantised rows as arrays.

    Attributes:
        quants: int8 (m, g, 32).
        scales: float32 (m, g).
        sums: float32 (m, g): scale times the sum of the quants of a group.
    """

    quants: NDArray
    scales: NDArray
    sums: NDArray


class Activations:
    """m rows of k activations as q8_1 has them: int8 x 32, a scale and a sum for each group.

    x = scale * v, with scale and sum in float32. On the device they lie as the kernels read them:
    first 128 bytes with a power of two for each row, by which a row is scaled whose largest |x| is
    outside [2^-64, 2^64) (NaN for a row that is not finite); then for each 256 of k a unit of each
    row: 256 int8, 8 scales, 8 sums, and the sums of the first and of the second half of each group.
    There is room for 1, 4 or 8 rows.
    """

    __slots__ = ("_memory", "shape", "stream")

    def __init__(self, memory: Allocation, shape: tuple[int, ...], stream: int) -> None:
        self._memory = memory
        self.shape = shape
        self.stream = stream

    @staticmethod
    def bytes_of(shape: tuple[int, ...]) -> int:
        """What x of shape (k,) or (m, k) takes on the device."""
        return activation_bytes(INT8, _rows(shape), shape[-1])

    @property
    def k(self) -> int:
        """The activations of a row."""
        return self.shape[-1]

    @property
    def m(self) -> int:
        """The rows."""
        return _rows(self.shape)

    @property
    def device(self) -> str:
        """Where they lie, such as "cuda:0"."""
        return f"cuda:{self._memory.device}"

    @property
    def device_number(self) -> int:
        """The device as CUDA numbers it."""
        return self._memory.device

    @property
    def nbytes(self) -> int:
        """The bytes on the device."""
        return self.bytes_of(self.shape)

    @property
    def pointer(self) -> int:
        """The address; ValueError after `free()`."""
        if self._memory.freed:
            raise ValueError(f"{self!r} was freed")
        return self._memory.pointer

    def numpy(self) -> Q8:
        """Copies of quants, scales and sums. Blocks until their stream has come so far.

        There are ceil(k / 32) groups, of which the last is completed with zeros.
        """
        host = np.empty(self.nbytes, np.uint8)
        _memory.to_host(
            self._memory.device, host.ctypes.data, self.pointer, self.nbytes, self.stream
        )
        units = host[HEADER:].view(UNIT).reshape(-(-self.k // 256), -1)[:, : self.m]
        row_scales = host[:HEADER].view("f4")[: self.m, None]
        groups = -(-self.k // 32)
        quants = np.swapaxes(units["v"], 0, 1).reshape(self.m, -1, 32)[:, :groups]
        scales, sums = (
            row_scales * np.swapaxes(units[name], 0, 1).reshape(self.m, -1)[:, :groups]
            for name in ("scale", "sum")
        )
        return Q8(np.array(quants), scales, sums)

    def free(self) -> None:
        """Give the memory back. Whoever uses it afterwards gets a ValueError."""
        self._memory.free()

    def __repr__(self) -> str:
        """Shape and device in one line."""
        return f"Activations(int8, shape={self.shape}, {self.device})"


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) == 2 else 1
