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
    x = _checked_vector(x)
    if isinstance(weights, GatedTensor):
        if gates is not None or block_k is not None or fmt is not None:
            raise TypeError("a GatedTensor has its gates and its format; give neither")
        parts = [(p.rows, p.packed, p.take(x)) for p in weights.parts(len(x))]
        return _products(parts, weights.shape[0], x, bias, act, out, threads)
    view = _resolve(weights, fmt, len(x))
    if not isinstance(weights, (QTensor, PackedTensor)):
        weights = QTensor(weights, view.fmt, view.shape)
    if gates is None:
        raise TypeError("gates are missing: a GateResult, or a mask of bool")
    if len(weights.shape) != 2 or weights.shape[1] != len(x):
        raise ValueError(f"x has k={len(x)}, the weights are of shape {weights.shape}")
    n, k = weights.shape
    mask = BlockMask.of(gates, block_k, n, k)
    if len(mask.keep) == 1:
        zeroed = _zeroed(x, mask.keep[0], mask.block_k)
        return gemv(weights, zeroed, bias=bias, act=act, out=out, threads=threads)
    if isinstance(weights, PackedTensor):
        raise TypeError("gates by rows take a QTensor, or what its pack(gates=...) made")
    groups = mask.groups(n)
    pieces = [(rows, weights[rows], _zeroed(x, keep, mask.block_k)) for rows, keep in groups]
    return _products(pieces, n, x, bias, act, out, threads)


def _checked_vector(x: Any) -> Any:
    if isinstance(x, _core.Activations):
        raise TypeError("x is quantised already; gates drop what is not")
    if not isinstance(x, np.ndarray) and not is_torch(x):
        raise TypeError(f"x must be a NumPy array or a torch tensor, not {type(x).__name__}")
    if x.ndim != 1:
        raise ValueError(f"gated_gemv takes one vector x of shape (k,), not {x.ndim} dimensions")
    return plain(x, "x")


def _zeroed(x: Any, keep: NDArray[np.bool_], block_k: int) -> Any:
    """A copy of x with zeros in the blocks that are not kept."""
    zeroed = x.clone() if is_torch(x) else x.copy()
    if len(x) % block_k == 0:
        zeroed.reshape(-1, block_k)[~keep] = 0
    else:
        zeroed[~np.repeat(keep, block_k)[: len(x)]] = 0
    return zeroed


def _products(
    pieces: Sequence[tuple[slice, QTensor | PackedTensor | None, Any]],
    n: int,
    x: Any,
    bias: Any,
    act: str,
    out: Any,
    threads: int | None,
) -> Any:
    """Products by groups of rows, each with an x of its own; without weights only the bias."""
    if len(pieces) == 1 and pieces[0][1] is not None:
        return gemv(pieces[0][1], pieces[0][2], bias=bias, act=act, out=out, threads=threads)
    for what, vector in (("bias", bias), ("out", out)):
        shape = getattr(vector, "shape", None)
        if vector is not None and (shape is None or tuple(shape) != (n,)):
            raise ValueError(f"{what} has shape {shape}, expected {(n,)}")
    if out is None:
        out = empty((n,), is_torch(x))
    for rows, weights, own in pieces:
        added = None if bias is None else bias[rows]
        if weights is None:
            out[rows] = 0 if added is None else added
        else:
            gemv(weights, own, bias=added, act=act, out=out[rows], threads=threads)
    return out
