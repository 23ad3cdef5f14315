"""Products of some columns only: blocks of x are dropped, and with them what they would add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _threads
from ._frameworks import empty, is_torch, plain
from ._ops import _resolve
from .gated import BlockMask, GatedTensor
from .packed import PackedTensor
from .tensor import QTensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from ._frameworks import Array
    from ._ops import Format
    from .gates import GateResult

    Gates: TypeAlias = GateResult | NDArray[np.bool_]


def gated_gemv(
    weights: QTensor | PackedTensor | GatedTensor | Array,
    x: Any,
    gates: Gates | None = None,
    fmt: Format = None,
    *,
    block_k: int | None = None,
    bias: Array | None = None,
    act: str = "int16",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Multiply one vector by the columns that gates keep: y = weights[:, kept] @ x[kept] + bias.

    The result has the bits of `gemv` with x zeroed where columns are dropped: what x holds there,
    a NaN too, does not matter. Blocks as they lie in a file take the time of `gemv`, however many
    are dropped; `weights.pack(gates=gates)` takes less by what it leaves out.

    Args:
        weights: a QTensor or PackedTensor of shape (n, k), raw uint8 blocks (n, row_bytes) with
            `fmt`, or a GatedTensor, which brings its gates.
        x: shape (k,), in float32, float16 or bfloat16, with any strides: a NumPy array or a CPU
            torch tensor.
        gates: a `qkernels.gates.GateResult`, or an array of bool: (k,), one a column, or with
            `block_k` (ceil(k / block_k),), one a block of columns. True keeps.
        fmt: the format of raw weights.
        block_k: columns of a block of the mask, 1 to k; any number, whatever the format's blocks.
        bias: shape (n,), added to the result.
        act: as for `gemv`.
        out: as for `gemv`.
        threads: as for `gemv`.

    Returns:
        shape (n,), float32 unless `out` says otherwise; torch where x is.

    Raises:
        TypeError: an argument of the wrong kind or dtype: activations that are quantised already,
            gates for a GatedTensor or none for anything else, gates by rows for a PackedTensor.
        ValueError: a wrong shape, format or range. `out` keeps its contents.
    """
    vector = _checked_vector(x)
    views, mask, gather = _views(weights, len(vector), gates, fmt, block_k)
    if out is None and is_torch(x):
        out = empty((mask.n,), like_torch=True)
    count = _threads.resolve(threads)
    bias, result = plain(bias, "bias"), plain(out, "out")
    if len(views) == 1 and views[0] is not None:
        kept = _core.kept_columns(vector, mask.keep[0], mask.block_k, gather)
        y = _core.linear(views[0], kept, bias, act, result, count, True)
        return y if out is None else out
    _check_length(bias, mask.n, "bias")
    _check_length(result, mask.n, "out")
    if out is None:
        out = result = np.empty(mask.n, np.float32)
    inputs = [_core.kept_columns(vector, keep, mask.block_k, gather) for keep in mask.keep]
    # Products first: what is wrong with the arguments is found before anything is written.
    for rows, own, view in zip(mask.rows(), inputs, views, strict=True):
        if view is not None:
            added = None if bias is None else bias[rows]
            _core.linear(view, own, added, act, result[rows], count, True)
    for rows, view in zip(mask.rows(), views, strict=True):
        if view is None:
            result[rows] = 0 if bias is None else bias[rows]
    return out


def _checked_vector(x: Any) -> Any:
    if isinstance(x, _core.Activations):
        raise TypeError("x is quantised already; gates drop what is not")
    if not isinstance(x, np.ndarray) and not is_torch(x):
        raise TypeError(f"x must be a NumPy array or a torch tensor, not {type(x).__name__}")
    if x.ndim != 1:
        raise ValueError(f"gated_gemv takes one vector x of shape (k,), not {x.ndim} dimensions")
    return plain(x, "x")


def _views(
    weights: Any, k: int, gates: Gates | None, fmt: Format, block_k: int | None
) -> tuple[Sequence[_core.Weights | None], BlockMask, bool]:
    """What each group of rows is multiplied by, its columns, and whether x is gathered to match."""
    if isinstance(weights, GatedTensor):
        if gates is not None or block_k is not None or fmt is not None:
            raise TypeError("a GatedTensor has its gates and its format; give neither")
        if weights.shape[1] != k:
            raise ValueError(f"x has k={k}, the weights have k={weights.shape[1]}")
        return weights.views, weights.block_mask, True
    view = _resolve(weights, fmt, k)
    if gates is None:
        raise TypeError("gates are missing: a GateResult, or a mask of bool")
    shape = view.shape
    if len(shape) != 2 or shape[1] != k:
        raise ValueError(f"x has k={k}, the weights are of shape {shape}")
    mask = BlockMask.of(gates, block_k, *shape)
    if len(mask.keep) == 1:
        return [view], mask, False
    if isinstance(weights, PackedTensor):
        raise TypeError("gates by rows take a QTensor, or what its pack(gates=...) made")
    if not isinstance(weights, QTensor):
        weights = QTensor(weights, view.fmt, shape)
    return [weights[rows]._weights for rows in mask.rows()], mask, False


def _check_length(vector: Any, n: int, what: str) -> None:
    """Before a vector is cut into groups of rows.

    Raises:
        TypeError: it is no array.
        ValueError: it is not of shape (n,).
    """
    if vector is None:
        return
    if not isinstance(vector, np.ndarray) and not is_torch(vector):
        raise TypeError(
            f"{what} must be a NumPy array or a torch tensor, not {type(vector).__name__}"
        )
    if tuple(vector.shape) != (n,):
        raise ValueError(f"{what} has shape {tuple(vector.shape)}, expected {(n,)}")
