"""Products by groups of rows, each of which keeps columns of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from qkernels import _core
from qkernels._base.arrays import shape_of
from qkernels._base.frameworks import is_torch
from qkernels._base.threads import thread_count

if TYPE_CHECKING:
    from qkernels.weights.base import WeightsBase
    from qkernels.weights.block_mask import BlockMask


class Options(TypedDict):
    """What a product is asked for beside weights and x, as in `gemv`."""

    bias: Any
    act: str
    out: Any
    threads: int | None


def multiply_by_groups(
    parts: Sequence[WeightsBase | None],
    mask: BlockMask,
    x: Any,
    options: Options,
    *,
    gather: bool,
) -> Any:
    """Multiply each group's rows by what they keep of x; without weights only the bias is left.

    All arguments are checked for the whole call first, and `out` is written at its end.

    Args:
        parts: the rows of each group; None where nothing of them is kept.
        mask: the columns that each group keeps.
        x: shape (k,).
        options: of the product.
        gather: whether parts hold the kept columns only, side by side.

    Returns:
        `out`, or float32 of shape (n,).
    """
    _check_depth(x, mask.k)
    vector = x if len(parts) == 1 else _core.kept_columns(x, np.ones(1, bool), mask.k, False)
    inputs = [_core.kept_columns(vector, keep, mask.block_k, gather) for keep in mask.keep]
    if len(parts) == 1 and parts[0] is not None:
        return parts[0]._product(inputs[0], **options, vector=True)
    out, act, count = options["out"], options["act"], thread_count(options["threads"])
    views = [None if part is None else part._core_view() for part in parts]
    read = [view for view in views if view is not None]
    bias = _core.check_gated(mask.n, options["bias"], act, out, read)
    result = np.empty(mask.n, np.float32)
    for rows, view, kept in zip(mask.rows(), views, inputs, strict=True):
        added = None if bias is None else bias[rows]
        if view is None:
            result[rows] = 0 if added is None else added
        else:
            _core.linear(view, kept, added, act, result[rows], count, True)
    if out is None:
        return result
    _core.store(result, out)
    return out


def as_tensor_like(x: Any, result: Any) -> Any:
    """A new result as a torch tensor where x is one."""
    if not is_torch(x):
        return result
    from qkernels.torch import as_tensor

    return as_tensor(result)


def _check_depth(x: Any, k: int) -> None:
    """Refuse a vector of another depth; what is no vector the core refuses."""
    shape = shape_of(x)
    if len(shape) == 1 and shape[0] != k:
        raise ValueError(f"x has k={shape[0]}, the weights have k={k}")
