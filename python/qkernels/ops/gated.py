"""Products of some columns only: blocks of x are dropped, and with them what they would add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels import _core
from qkernels._base.arrays import depth
from qkernels._base.numbers import shown, to_int
from qkernels.ops.linear import core_view, gemv
from qkernels.weights.block_mask import BlockGates, BlockMask, mask_array, not_bool
from qkernels.weights.blocks import raw_view
from qkernels.weights.gated import GatedTensor
from qkernels.weights.grouped import Options, as_tensor_like, multiply_by_groups
from qkernels.weights.packed import PackedTensor
from qkernels.weights.qtensor import QTensor

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from qkernels._base.frameworks import Array
    from qkernels.weights.blocks import Format

    Gates: TypeAlias = BlockGates | NDArray[np.bool_]


def gated_gemv(
    weights: QTensor | PackedTensor | GatedTensor | Array,
    x: Any,
    fmt: Format = None,
    *,
    gates: Gates | None = None,
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
        x: shape (k,), of real numbers, with any strides: a NumPy array or a CPU torch tensor, as
            for `gemv`.
        fmt: the format of raw weights.
        gates: a `qkernels.gates.GateResult`, or an array of bool: (k,), one a column, or with
            `block_k` (ceil(k / block_k),), one a block of columns. True keeps.
        block_k: columns of a block of the mask, 1 to k; any number, whatever the format's blocks.
        bias: shape (n,), added to the result.
        act: as for `gemv`.
        out: as for `gemv`, except that it may be x, which is read before anything is written.
        threads: as for `gemv`.

    Returns:
        shape (n,), float32 unless `out` says otherwise; torch where x is.

    Raises:
        TypeError: an argument of the wrong kind or dtype: activations that are quantised already,
            gates for a GatedTensor or none for anything else, gates by rows for a PackedTensor.
        ValueError: a wrong shape, format or range. Whatever is wrong, `out` keeps its contents.
    """
    if isinstance(fmt, (np.ndarray, BlockGates)):
        raise TypeError("the third argument is fmt; give gates by name, as in gates=...")
    if isinstance(weights, GatedTensor):
        if gates is not None or block_k is not None or fmt is not None:
            raise TypeError("a GatedTensor has its gates and its format; give neither")
        return weights._product(x, bias=bias, act=act, out=out, threads=threads, vector=True)
    options = Options(bias=bias, act=act, out=out, threads=threads)
    if isinstance(gates, np.ndarray):
        # One mask for all rows, which the core checks. What else is done here costs as much as it.
        keep = mask_array(gates)
        if keep.dtype.kind != "b":
            raise TypeError(not_bool(keep))
        width = 1 if block_k is None else to_int(block_k, "block_k")
        if abs(width) >= 2**63:
            raise ValueError(f"block_k={shown(width)} is outside 1..{depth(x)}")
        kept = _core.kept_columns(x, keep, width, False)
        result = gemv(weights, kept, fmt, **options)
    else:
        parts, mask = _parts(weights, gates, fmt, block_k)
        result = multiply_by_groups(parts, mask, x, options, gather=False)
    return result if out is not None else as_tensor_like(x, result)


def _parts(
    weights: Any, gates: Any, fmt: Format, block_k: int | None
) -> tuple[list[QTensor | PackedTensor], BlockMask]:
    """The rows of each group, and the columns that they keep."""
    if gates is None:
        raise TypeError("gates are missing: a GateResult, or a mask of bool")
    if not isinstance(weights, (QTensor, PackedTensor)):
        k = gates.shape[1] if isinstance(gates, BlockGates) else None
        view = raw_view(weights, fmt, k=k)
        weights = QTensor(weights, view.fmt, view.shape)
    else:
        core_view(weights, fmt)
    if len(weights.shape) != 2:
        raise ValueError(f"gates take a matrix, not weights of shape {weights.shape}; see w[e]")
    mask = BlockMask.of(gates, block_k, *weights.shape)
    if len(mask.keep) == 1:
        return [weights], mask
    if isinstance(weights, PackedTensor):
        raise TypeError("gates by rows take a QTensor, or what its pack(gates=...) made")
    return [weights[rows] for rows in mask.rows()], mask
