"""`weights @ x` as `np.matmul` has it: vectors, matrices, and stacks that broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels import _core
from qkernels._base.frameworks import empty, is_torch
from qkernels._base.made import MatmulOperand

if TYPE_CHECKING:
    from qkernels.weights.qtensor import QTensor


def operand(x: Any) -> Any:
    """The other side of `@`: an array as it is, a sequence or a number as one of float32.

    Returns:
        What has `shape` and `ndim`, or `Activations`; NotImplemented for what is neither.

    Raises:
        TypeError: weights, or what holds no numbers.
    """
    if isinstance(x, MatmulOperand):
        raise TypeError(
            f"weights @ weights is not offered, and x is a {type(x).__name__}; dequantize one"
        )
    if isinstance(x, _core.Activations) or (hasattr(x, "ndim") and hasattr(x, "shape")):
        return x
    if not isinstance(x, (list, tuple, int, float)):
        return NotImplemented
    array = np.asarray(x)
    if array.dtype.kind not in "iufb":
        raise TypeError(f"x must hold real numbers, not {array.dtype}")
    return array.astype(np.float32)


def matmul(weights: Any, x: Any) -> Any:
    """See `WeightsBase.__matmul__`."""
    x = operand(x)
    if x is NotImplemented:
        return x
    shape = tuple(x.shape)
    if not shape:
        raise ValueError("x has no dimensions; weights @ x takes x of shape (k,) or (..., k, m)")
    if isinstance(x, _core.Activations) and len(shape) > 1:
        raise ValueError(f"activations of shape {shape} are rows; weights @ x takes (k,), see gemm")
    k = shape[-1] if len(shape) == 1 else shape[-2]
    if k != weights.shape[-1]:
        raise ValueError(
            f"x of shape {shape} has {k} rows, and weights of shape {weights.shape} have"
            f" k={weights.shape[-1]}"
        )
    if weights.ndim == 1:
        y = _matrix(weights.reshape(1, -1), x)
        return y[0] if len(shape) == 1 else y[..., 0, :]
    return _matrix(weights, x) if weights.ndim == 2 else _stack(weights, x)


def multiply(weights: Any, x: Any) -> Any:
    """x @ weights.T of a matrix, for x of shape (k,) or (..., k), by the defaults of `gemv`."""
    vector = len(x.shape) == 1
    return weights._product(x, bias=None, act="int16", out=None, threads=None, vector=vector)


def swapped(x: Any) -> Any:
    """An array with its last two dimensions exchanged: a view."""
    return x.T if len(x.shape) == 2 else x.swapaxes(-1, -2)


def _matrix(weights: Any, x: Any) -> Any:
    """(n, k) times (k,) or (..., k, m)."""
    return multiply(weights, x) if len(x.shape) == 1 else swapped(multiply(weights, swapped(x)))


def _stack(weights: QTensor, x: Any) -> Any:
    """(..., n, k) times (k,), (k, m) or (..., k, m)."""
    if len(x.shape) <= 2:
        try:
            rows = weights.reshape(-1, weights.shape[-1]) if weights.size else None
        except ValueError:  # the matrices lie too unevenly for one
            rows = None
        if rows is not None:
            return _matrix(rows, x).reshape(*weights.shape[:-1], *x.shape[1:])
    if len(x.shape) == 1:
        column = x if not isinstance(x, _core.Activations) else None
        if column is None:
            return _each(weights, x)
        return _broadcast(weights, column.reshape(-1, 1))[..., 0]
    return _broadcast(weights, x)


def _each(weights: QTensor, x: _core.Activations) -> Any:
    """Every matrix of a stack times one vector that is quantised already."""
    like_torch = x.framework == "torch"
    y: Any = empty(weights.shape[:-1], like_torch)
    for index in np.ndindex(weights.shape[:-2]):
        y[index] = multiply(weights[index], x)
    return y


def _broadcast(weights: QTensor, x: Any) -> Any:
    """(..., n, k) times (..., k, m), one product a matrix of weights."""
    stack, (n, k), m = weights.shape[:-2], weights.shape[-2:], x.shape[-1]
    try:
        joint = np.broadcast_shapes(stack, tuple(x.shape[:-2]))
    except ValueError:
        raise ValueError(
            f"weights of shape {weights.shape} and x of shape {tuple(x.shape)} do not broadcast"
        ) from None
    spread = x.broadcast_to((*joint, k, m)) if is_torch(x) else np.broadcast_to(x, (*joint, k, m))
    y: Any = empty((*joint, n, m), is_torch(x))
    # Dimensions of x that meet one matrix are one batch.
    extents = (1,) * (len(joint) - len(stack)) + stack
    for index in np.ndindex(extents):
        at = tuple(slice(None) if e == 1 else i for i, e in zip(index, extents, strict=True))
        y[at] = _matrix(weights[index[len(joint) - len(stack) :]], spread[at])
    return y
