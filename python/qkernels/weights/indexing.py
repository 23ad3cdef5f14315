"""What `w[...]` selects: rows, matrices of a stack, and whole blocks of k."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels import _core
from qkernels._base.frameworks import is_torch

if TYPE_CHECKING:
    from qkernels._base.frameworks import Array

Item = int | slice | EllipsisType
Index = Item | tuple[Item, ...]


def select(
    index: Index, shape: tuple[int, ...], fmt: str
) -> tuple[tuple[int | slice, ...], tuple[int, ...]]:
    """Turn an index of weights into one of their bytes.

    Args:
        index: of weights, as `QTensor.__getitem__` takes it.
        shape: (..., k).
        fmt: the format, whose blocks are not cut.

    Returns:
        The index of the data, uint8 (..., row_bytes), and the shape of what it selects.

    Raises:
        TypeError, IndexError, ValueError: as `QTensor.__getitem__`.
    """
    indices = _for_each_dimension(index if isinstance(index, tuple) else (index,), len(shape))
    data_index: list[int | slice] = []
    selected: list[int] = []
    for dim, (i, length) in enumerate(zip(indices, shape, strict=True)):
        if not isinstance(i, slice):
            data_index.append(_position(i, dim, shape))
            continue
        start, count, step = _bounds(i, length)
        selected.append(count)
        if dim == len(shape) - 1:
            data_index.append(_block_slice(start, count, step, length, fmt))
        else:
            stop = start + (count - 1) * step + 1 if count else start
            data_index.append(slice(start, stop, step))
    return tuple(data_index), tuple(selected)


def reshaped(shape: Sequence[Any], old: tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions that `reshape(*shape)` asks for, with -1 filled in.

    Raises:
        TypeError: a dimension that is no integer.
        ValueError: another number of weights, another last dimension, or more than one -1.
    """
    if len(shape) == 1 and _integer(shape[0]) is None:
        shape = shape[0]
    wanted = dimensions(shape)
    size = math.prod(old)
    unknown = [d for d, extent in enumerate(wanted) if extent == -1]
    dims = list(wanted)
    if len(unknown) == 1:
        known = -math.prod(wanted)
        if known > 0 and size % known == 0:
            dims[unknown[0]] = size // known
    if min(dims, default=0) < 0 or math.prod(dims) != size:
        raise ValueError(f"weights of shape {old} cannot be reshaped into {wanted}")
    if not dims or dims[-1] != old[-1]:
        raise ValueError(
            f"reshaping {old} into {wanted} would cut rows: the last dimension stays {old[-1]}"
        )
    return tuple(dims)


def viewed(data: Array, shape: tuple[int, ...]) -> Array:
    """Data in another shape; AttributeError, RuntimeError or ValueError where that is no view."""
    if is_torch(data):
        return data.view(shape)
    array = np.asarray(data)
    try:
        return array.reshape(shape, copy=False)
    except TypeError:  # NumPy before 2.1, where an assigned shape is what never copies
        view = array.view()
        view.shape = shape
        return view


def dimensions(shape: Sequence[Any]) -> tuple[int, ...]:
    """A shape as a tuple of ints.

    Raises:
        TypeError: no sequence, or of anything but integers; bools are none.
    """
    try:
        extents = tuple(shape)
    except TypeError:
        raise TypeError(f"shape must be a tuple, not {type(shape).__name__}") from None
    found = [extent for extent in map(_integer, extents) if extent is not None]
    if len(found) != len(extents):
        raise TypeError(f"shape {extents} is not of integers")
    return tuple(found)


def _integer(value: Any) -> int | None:
    """An int of Python's, NumPy's or whoever's; None for anything else, bools included."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _for_each_dimension(indices: tuple[Any, ...], ndim: int) -> list[Any]:
    """An index a dimension: `...`, or what is missing at the end, stands for whole ones."""
    given = sum(i is not Ellipsis for i in indices)
    if given > ndim:
        raise IndexError(f"{given} indices for {ndim} dimensions")
    if len(indices) - given > 1:
        raise IndexError("an index has one '...' at most")
    whole = [slice(None)] * (ndim - given)
    if given == len(indices):
        return [*indices, *whole]
    at = next(place for place, i in enumerate(indices) if i is Ellipsis)
    return [*indices[:at], *whole, *indices[at + 1 :]]


def _position(index: Any, dim: int, shape: tuple[int, ...]) -> int:
    """A single index of a dimension before the last, counted from the start."""
    position = _integer(index)
    if position is None:
        raise TypeError(
            f"index {index!r} in dimension {dim} is neither an int nor a slice;"
            " qkernels.get_rows() takes arrays of rows, .reshape() adds dimensions"
        )
    if dim == len(shape) - 1:
        raise TypeError(
            f"index {position} in the last dimension is not a slice: single weights have no blocks"
            " of their own; .dequantize() or qkernels.get_rows() decode them"
        )
    if not -shape[dim] <= position < shape[dim]:
        raise IndexError(f"index {position} is outside dimension {dim} of {shape}")
    return position % shape[dim]


def _block_slice(start: int, count: int, step: int, k: int, fmt: str) -> slice:
    """The bytes of weights [start, start + count) of a row of k."""
    if count == 0:
        raise ValueError(f"a slice of k={k} from {start} on selects nothing")
    info = _core.format_info(fmt)
    block, nbytes = info.block, info.block_bytes
    stop = start + count
    if step != 1 or start % block or (stop % block and stop != k):
        raise ValueError(f"k slice {start}:{stop}:{step} cuts {fmt} blocks of {block} weights")
    return slice(start // block * nbytes, -(-stop // block) * nbytes)


def _bounds(index: slice, length: int) -> tuple[int, int, int]:
    """(start, count, step) of a slice that goes forwards."""
    start, stop, step = index.indices(length)
    if step < 1:
        raise ValueError(f"slice {index} runs backwards; weights have no negative strides")
    return start, len(range(start, stop, step)), step
