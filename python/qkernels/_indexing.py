"""What `w[...]` selects: rows, experts, and whole blocks of k."""

from __future__ import annotations

import operator

from . import _core

Index = int | slice | tuple["int | slice", ...]


def select(
    index: Index, shape: tuple[int, ...], fmt: str
) -> tuple[tuple[int | slice, ...], tuple[int, ...]]:
    """Turn an index of weights into one of their bytes.

    Args:
        index: of weights, as `QTensor.__getitem__` takes it.
        shape: (n, k) or (experts, n, k).
        fmt: the format, whose blocks are not cut.

    Returns:
        The index of the data, uint8 (n, row_bytes) or (experts, n, row_bytes), and the shape of
        what it selects.

    Raises:
        TypeError, IndexError, ValueError: as `QTensor.__getitem__`.
    """
    indices = index if isinstance(index, tuple) else (index,)
    if len(indices) > len(shape):
        raise IndexError(f"{len(indices)} indices for {len(shape)} dimensions")
    data_index: list[int | slice] = []
    selected: list[int] = []
    for dim, (i, length) in enumerate(zip(indices, shape, strict=False)):
        if isinstance(i, slice):
            start, count, step = _bounds(i, length)
            selected.append(count)
            if dim == len(shape) - 1:
                data_index.append(_block_slice(start, count, step, length, fmt))
            else:
                data_index.append(slice(start, start + (count - 1) * step + 1, step))
        elif dim == 0 and len(shape) == 3:
            expert = operator.index(i)
            if not -length <= expert < length:
                raise IndexError(f"expert {expert} is outside the {length} experts")
            data_index.append(expert)
        else:
            raise TypeError(
                f"index {i!r} in dimension {dim} is not a slice: a single row is w[i:i+1]"
            )
    return tuple(data_index), (*selected, *shape[len(indices) :])


def _block_slice(start: int, count: int, step: int, k: int, fmt: str) -> slice:
    """The bytes of weights [start, start + count) of a row of k."""
    _, _, block, nbytes = _core.format_info(fmt)
    stop = start + count
    if step != 1 or start % block or (stop % block and stop != k):
        raise ValueError(f"k slice {start}:{stop}:{step} cuts {fmt} blocks of {block} weights")
    return slice(start // block * nbytes, -(-stop // block) * nbytes)


def _bounds(index: slice, length: int) -> tuple[int, int, int]:
    """(start, count, step) of a slice that selects at least one of `length` items, forwards."""
    start, stop, step = index.indices(length)
    if step < 1:
        raise ValueError(f"slice {index} runs backwards; weights have no negative strides")
    count = len(range(start, stop, step))
    if count == 0:
        raise ValueError(f"slice {index} of {length} selects nothing")
    return start, count, step
