"""Arrays of any library as the kernels see them: memory, shape, strides, and whose turn it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qkernels.cuda import _abi, _streams

if TYPE_CHECKING:
    from collections.abc import Iterable


ANY_DEVICE = -1  # of an array without elements, whose pointer may be null


@dataclass(frozen=True, slots=True)
class View:
    """An array of floats on a device.

    Attributes:
        what: its name in messages.
        pointer: the address of its first element.
        shape: of any number of dimensions.
        strides: in elements.
        dtype: "float32", "float16" or "bfloat16".
        device: the device's number, or ANY_DEVICE.
        stream: what still writes to it, to be waited for; None for nothing.
        reader: what reads it next, which has to wait for us when we write; None for nothing.
        writable: whether results may go there.
        owner: whatever keeps the memory alive.
    """

    what: str
    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: int
    stream: int | None
    reader: int | None
    writable: bool
    owner: object

    def row_stride(self) -> int:
        """The elements from a row (the last dimension) to the next; the number of columns for one.

        Raises:
            ValueError: elements are not side by side, or rows not equally far apart.
        """
        columns = self.shape[-1]
        if 0 in self.shape:
            return columns
        stride = 0
        expected = 0  # of the next dimension to the left
        regular = columns < 2 or self.strides[-1] == 1
        for size, step in zip(self.shape[-2::-1], self.strides[-2::-1], strict=True):
            if size < 2:
                continue
            stride = stride or step
            regular = regular and expected in (0, step)
            expected = step * size
        if not regular:
            raise ValueError(
                f"{self.what} of shape {self.shape} has strides {self.strides} in elements: "
                "the elements of a row must be side by side, and rows equally far apart"
            )
        return stride or columns

    def matrix(self) -> _abi.Matrix:
        """All leading dimensions as rows, in the form that the interface takes."""
        return _abi.Matrix(
            self.pointer,
            math.prod(self.shape[:-1]),
            self.shape[-1],
            self.row_stride(),
            _abi.DTYPES.index(self.dtype),
        )

    def extent(self) -> tuple[int, int]:
        """The addresses of its first byte and of the one after its last."""
        size = _abi.ITEM_BYTES[self.dtype]
        steps = [(d - 1) * s * size for d, s in zip(self.shape, self.strides, strict=True)]
        low = self.pointer + sum(s for s in steps if s < 0)
        return low, self.pointer + sum(s for s in steps if s > 0) + size

    def check_device(self, device: int, of_what: str) -> None:
        """Refuse an array that lies elsewhere.

        Raises:
            ValueError: it is of another device than `of_what`.
        """
        if self.device not in (device, ANY_DEVICE):
            raise ValueError(f"{self.what} is on cuda:{self.device}, {of_what} on cuda:{device}")


def check_apart(out: View, inputs: Iterable[View]) -> None:
    """Refuse results that would go where inputs still have to be read.

    Raises:
        ValueError: the memory of both overlaps.
    """
    low, high = out.extent()
    for x in inputs:
        first, end = x.extent()
        overlap = first < high and low < end and 0 not in (*x.shape, *out.shape)
        if overlap and not _beside(out, x):
            raise ValueError(f"{out.what} overlaps {x.what}")


def _beside(a: View, b: View) -> bool:
    """Whether two arrays are different columns of one matrix."""
    a_bytes, b_bytes = _abi.ITEM_BYTES[a.dtype], _abi.ITEM_BYTES[b.dtype]
    stride = a.row_stride() * a_bytes
    if stride != b.row_stride() * b_bytes:
        return False
    between = (b.pointer - a.pointer) % stride
    return between >= a.shape[-1] * a_bytes and between + b.shape[-1] * b_bytes <= stride


def wait_for(views: Iterable[View], device: int, stream: int) -> None:
    """Let a stream begin when every array is there."""
    for producer in {view.stream for view in views}:
        _streams.wait(device, stream, producer)


def release(out: View, device: int, stream: int) -> None:
    """Let whoever reads the result next begin when it is there."""
    if out.reader is not None:
        _streams.wait(device, out.reader, stream)
