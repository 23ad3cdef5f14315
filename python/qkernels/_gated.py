"""Products of some columns only: blocks of x are dropped, and with them what they would add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._frameworks import empty, is_torch, plain
from ._ops import _resolve, gemv
from .gated import BlockMask, GatedTensor, is_trained, not_bool
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
        ValueError: a wrong shape, format or range. Whatever is wrong, `out` keeps its contents.
    """
    if is_torch(x):
        x = plain(x, "x")
        if out is None:
            out = empty(tuple(getattr(weights, "shape", ()))[:1], like_torch=True)
    if isinstance(weights, GatedTensor):
        if gates is not None or block_k is not None or fmt is not None:
            raise TypeError("a GatedTensor has its gates and its format; give neither")
        parts: Sequence[QTensor | PackedTensor | None] = weights.parts
        mask = weights.block_mask
        _check_depth(x, weights.shape[1])
    elif isinstance(gates, np.ndarray):
        # One mask for all rows, which the core checks. What else is done here costs as much as it.
        if gates.dtype.kind != "b":
            raise TypeError(not_bool(gates))
        kept = _core.kept_columns(x, gates, 1 if block_k is None else block_k, False)
        return gemv(weights, kept, fmt, bias=bias, act=act, out=out, threads=threads)
    else:
        parts, mask = _parts(weights, gates, fmt, block_k)
        _check_depth(x, mask.k)
    gather = isinstance(weights, GatedTensor)
    inputs = [_core.kept_columns(x, keep, mask.block_k, gather) for keep in mask.keep]
    if len(parts) == 1 and parts[0] is not None:
        return gemv(parts[0], inputs[0], bias=bias, act=act, out=out, threads=threads)
    return _by_groups(parts, inputs, mask, bias, act, out, threads)


def _check_depth(x: Any, k: int) -> None:
    """Refuse a vector of another depth; what is no vector the core refuses."""
    shape = tuple(getattr(x, "shape", ()))
    if len(shape) == 1 and shape[0] != k:
        raise ValueError(f"x has k={shape[0]}, the weights have k={k}")


def _parts(
    weights: Any, gates: Any, fmt: Format, block_k: int | None
) -> tuple[list[QTensor | PackedTensor], BlockMask]:
    """The rows of each group, and the columns that they keep."""
    if gates is None:
        raise TypeError("gates are missing: a GateResult, or a mask of bool")
    if not isinstance(weights, (QTensor, PackedTensor)):
        k = gates.shape[1] if is_trained(gates) else None
        view = _resolve(weights, fmt, k)
        weights = QTensor(weights, view.fmt, view.shape)
    else:
        _resolve(weights, fmt)
    if len(weights.shape) != 2:
        raise ValueError(f"gates take a matrix, not weights of shape {weights.shape}; see w[e]")
    mask = BlockMask.of(gates, block_k, *weights.shape)
    if len(mask.keep) == 1:
        return [weights], mask
    if isinstance(weights, PackedTensor):
        raise TypeError("gates by rows take a QTensor, or what its pack(gates=...) made")
    return [weights[rows] for rows in mask.rows()], mask


def _by_groups(
    parts: Sequence[QTensor | PackedTensor | None],
    inputs: Sequence[NDArray[np.float32]],
    mask: BlockMask,
    bias: Any,
    act: str,
    out: Any,
    threads: int | None,
) -> Any:
    """Products by groups of rows, each with an x of its own; without weights only the bias."""
    _check_length(bias, mask.n, "bias")
    _check_length(out, mask.n, "out")
    if out is None:
        out = np.empty(mask.n, np.float32)
    groups = list(zip(mask.rows(), parts, inputs, strict=True))
    # Products first: what is wrong with the arguments is found before anything is written.
    for rows, weights, x in groups:
        if weights is not None:
            added = None if bias is None else bias[rows]
            gemv(weights, x, bias=added, act=act, out=out[rows], threads=threads)
    for rows, weights, _ in groups:
        if weights is None:
            out[rows] = 0 if bias is None else bias[rows]
    return out


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
