"""Products of some columns only: blocks of x are dropped, and with them what they would add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._frameworks import empty, is_torch, plain
from ._ops import _resolve, gemv
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
    parts, mask, gather = _parts(weights, len(vector), gates, fmt, block_k)
    if out is None and is_torch(x):
        out = empty((mask.n,), like_torch=True)
    kept = [_core.kept_columns(vector, keep, mask.block_k, gather) for keep in mask.keep]
    if len(parts) == 1 and parts[0] is not None:
        return gemv(parts[0], kept[0], fmt, bias=bias, act=act, out=out, threads=threads)
    return _by_groups(parts, kept, mask, bias, act, out, threads)


def _checked_vector(x: Any) -> Any:
    if isinstance(x, _core.Activations):
        raise TypeError("x is quantised already; gates drop what is not")
    if not isinstance(x, np.ndarray) and not is_torch(x):
        raise TypeError(f"x must be a NumPy array or a torch tensor, not {type(x).__name__}")
    if x.ndim != 1:
        raise ValueError(f"gated_gemv takes one vector x of shape (k,), not {x.ndim} dimensions")
    return plain(x, "x")


def _parts(
    weights: Any, k: int, gates: Gates | None, fmt: Format, block_k: int | None
) -> tuple[Sequence[Any], BlockMask, bool]:
    """What each group of rows is multiplied by, its columns, and whether x is gathered to match."""
    if isinstance(weights, GatedTensor):
        if gates is not None or block_k is not None or fmt is not None:
            raise TypeError("a GatedTensor has its gates and its format; give neither")
        if weights.shape[1] != k:
            raise ValueError(f"x has k={k}, the weights have k={weights.shape[1]}")
        return weights.parts, weights.block_mask, True
    view = _resolve(weights, fmt, k)
    if gates is None:
        raise TypeError("gates are missing: a GateResult, or a mask of bool")
    if len(view.shape) != 2 or view.k != k:
        raise ValueError(f"x has k={k}, the weights are of shape {view.shape}")
    mask = BlockMask.of(gates, block_k, *view.shape)
    if len(mask.keep) == 1:
        return [weights], mask, False
    if isinstance(weights, PackedTensor):
        raise TypeError("gates by rows take a QTensor, or what its pack(gates=...) made")
    if not isinstance(weights, QTensor):
        weights = QTensor(weights, view.fmt, view.shape)
    return [weights[rows] for rows in mask.rows()], mask, False


def _by_groups(
    parts: Sequence[QTensor | PackedTensor | None],
    kept: Sequence[NDArray[np.float32]],
    mask: BlockMask,
    bias: Any,
    act: str,
    out: Any,
    threads: int | None,
) -> Any:
    """Products by groups of rows, each with an x of its own; without weights only the bias."""
    for what, vector in (("bias", bias), ("out", out)):
        if vector is not None and tuple(getattr(vector, "shape", ())) != (mask.n,):
            found = getattr(vector, "shape", type(vector).__name__)
            raise ValueError(f"{what} has shape {found}, expected {(mask.n,)}")
    if out is None:
        out = np.empty(mask.n, np.float32)
    groups = list(zip(mask.rows(), parts, kept, strict=True))
    # Products first: what is wrong with the arguments is found before anything is written.
    for rows, weights, x in groups:
        if weights is not None:
            added = None if bias is None else bias[rows]
            gemv(weights, x, bias=added, act=act, out=out[rows], threads=threads)
    for rows, weights, _ in groups:
        if weights is None:
            out[rows] = 0 if bias is None else bias[rows]
    return out
