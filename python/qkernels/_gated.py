"""Products of some columns only: blocks of x are dropped, and with them what they would add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from . import _core, _threads
from ._arrays import depth, shape_of, shown
from ._frameworks import integer, is_torch
from ._ops import _resolve, gemv
from .gated import BlockMask, GatedTensor, is_trained, mask_array, not_bool
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
    if isinstance(fmt, np.ndarray) or is_trained(fmt):
        raise TypeError("the third argument is fmt; give gates by name, as in gates=...")
    options: _Options = {"bias": bias, "act": act, "out": out, "threads": threads}
    if isinstance(gates, np.ndarray) and not isinstance(weights, GatedTensor):
        # One mask for all rows, which the core checks. What else is done here costs as much as it.
        keep = mask_array(gates)
        if keep.dtype.kind != "b":
            raise TypeError(not_bool(keep))
        width = 1 if block_k is None else integer(block_k, "block_k")
        if abs(width) >= 2**63:
            raise ValueError(f"block_k={shown(width)} is outside 1..{depth(x)}")
        kept = _core.kept_columns(x, keep, width, False)
        result = gemv(weights, kept, fmt, **options)
    else:
        result = _by_groups(weights, x, gates, fmt, block_k, options)
    if out is not None or not is_torch(x):
        return result
    from .torch import as_tensor

    return as_tensor(result)


class _Options(TypedDict):
    bias: Any
    act: str
    out: Any
    threads: int | None


def _by_groups(
    weights: Any, x: Any, gates: Any, fmt: Format, block_k: int | None, options: _Options
) -> Any:
    """Products by groups of rows, each with an x of its own; without weights only the bias.

    All arguments are checked for the whole call first, and `out` is written at its end.
    """
    gather = isinstance(weights, GatedTensor)
    parts: Sequence[QTensor | PackedTensor | None]
    if isinstance(weights, GatedTensor):
        if gates is not None or block_k is not None or fmt is not None:
            raise TypeError("a GatedTensor has its gates and its format; give neither")
        parts, mask = weights.parts, weights.block_mask
    else:
        parts, mask = _parts(weights, gates, fmt, block_k)
    _check_depth(x, mask.k)
    vector = x if len(parts) == 1 else _core.kept_columns(x, np.ones(1, bool), mask.k, False)
    inputs = [_core.kept_columns(vector, keep, mask.block_k, gather) for keep in mask.keep]
    if len(parts) == 1 and parts[0] is not None:
        return gemv(parts[0], inputs[0], **options)
    out, act, count = options["out"], options["act"], _threads.resolve(options["threads"])
    read = [part._weights for part in parts if part is not None]
    bias = _core.check_gated(mask.n, options["bias"], act, out, read)
    result = np.empty(mask.n, np.float32)
    for rows, part, kept in zip(mask.rows(), parts, inputs, strict=True):
        added = None if bias is None else bias[rows]
        if part is None:
            result[rows] = 0 if added is None else added
        else:
            _core.linear(part._weights, kept, added, act, result[rows], count, True)
    if out is None:
        return result
    _core.store(result, out)
    return out


def _check_depth(x: Any, k: int) -> None:
    """Refuse a vector of another depth; what is no vector the core refuses."""
    shape = shape_of(x)
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
        view = _resolve(weights, fmt, k=k)
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
