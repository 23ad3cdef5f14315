"""Weights as floats: whole, or the rows that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qkernels import _core
from qkernels._base.arrays import integers
from qkernels._base.frameworks import empty, is_torch
from qkernels._base.threads import thread_count
from qkernels.ops.linear import core_view
from qkernels.weights.base import WeightsBase
from qkernels.weights.blocks import check_format, decode, raw_view
from qkernels.weights.qtensor import QTensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qkernels._base.frameworks import Array
    from qkernels.cuda import CudaTensor
    from qkernels.weights.blocks import Format
    from qkernels.weights.packed import PackedTensor


def dequantize(
    weights: QTensor | PackedTensor | CudaTensor | Array,
    fmt: Format = None,
    *,
    rows: slice | None = None,
    dtype: Any = "float32",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Decode weights to floats, bit for bit as the format defines them.

    Args:
        weights: a QTensor, a PackedTensor, or raw uint8 blocks (n, row_bytes) with `fmt`, whose k
            is all that their rows hold. Of a CudaTensor see `qkernels.cuda.dequantize`.
        fmt: the format of raw weights.
        rows: a slice of the first dimension; all of it when None. Not for a
            PackedTensor, of which `get_rows` decodes some.
        dtype: float32, float16 or, for torch weights, bfloat16: a name, or a dtype of NumPy or
            torch. NumPy has a bfloat16 where ml_dtypes is imported. In float16, weights past
            65504 are infinite. Ignored with `out`.
        out: where the result goes, in float32, float16 or bfloat16. It is returned.
        threads: as for `gemv`.

    Returns:
        the weights' shape; torch where the weights' bytes are a torch tensor.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape, format or range.
    """
    if rows is not None and not isinstance(rows, slice):
        raise TypeError(f"rows must be a slice, not {type(rows).__name__}")
    if isinstance(weights, WeightsBase):
        check_format(fmt, weights)
        return weights._decode(rows=rows, dtype=dtype, out=out, threads=threads)
    view = raw_view(weights, fmt)
    if rows is not None:
        whole = QTensor(weights, view.fmt, view.shape)
        return whole._decode(rows=rows, dtype=dtype, out=out, threads=threads)
    return decode(view, like_torch=is_torch(weights), dtype=dtype, out=out, threads=threads)


def get_rows(
    weights: QTensor | PackedTensor | Array,
    ids: int | Sequence[int] | Array,
    fmt: Format = None,
    *,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Decode chosen rows of a matrix, as an embedding look-up does; no others are decoded.

    Args:
        weights: a QTensor or PackedTensor of shape (n, k), or raw uint8 blocks (n, row_bytes)
            with `fmt`. The result is the same; of packed weights the panel that a row lies in is
            read, 4 to 16 times its bytes.
        ids: integers in [0, n), of any shape.
        fmt: the format of raw weights.
        out: where the result goes, in float32, float16 or bfloat16. It is returned.
        threads: as for `gemv`.

    Returns:
        shape (*ids.shape, k), float32 unless `out` says otherwise; torch where ids is.

    Raises:
        TypeError: ids are not integers.
        IndexError: an id outside [0, n). `out` keeps its contents.
        ValueError: a wrong shape or format, or weights that were packed for another ISA.
    """
    view = core_view(weights, fmt)
    count = thread_count(threads)

    def outside(id_: str) -> IndexError:
        return IndexError(f"an id of {id_} is outside the {view.n} rows of the weights")

    array = integers(ids, "ids", outside)
    if out is None:
        out = empty((*array.shape, view.k), is_torch(ids))
    _core.get_rows(view, array, out, count)
    return out
