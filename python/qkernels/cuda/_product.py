"""A product, from the caller's arrays to its launches: checks, views, and the order of streams."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qkernels.cuda import _abi, _view
from qkernels.cuda._call import Call, multiply_by_columns
from qkernels.cuda._kinds import kind_of, stream_for
from qkernels.cuda._library import number_of

if TYPE_CHECKING:
    from qkernels.cuda._arrays import Arrays
    from qkernels.cuda._call import Scratch
    from qkernels.cuda._view import View
    from qkernels.cuda.tensor import CudaTensor


def product(
    weights: CudaTensor,
    x: Any,
    *,
    up: CudaTensor | None = None,
    bias: Any = None,
    up_bias: Any = None,
    act: str,
    function: str | None = None,
    out: Any,
    stream: Any,
    vector: bool,
    scratch: Scratch | None = None,
) -> Any:
    """What all products do, with `scratch` from elsewhere than where the kind of x has it."""
    for used in (weights, up):
        if used is not None and used.freed:
            raise ValueError(f"{used!r} was freed")
    if up is not None and not up.like(weights):
        raise ValueError(f"gate is {weights!r}, up is {up!r}: one launch takes two of a kind")
    number_of(_abi.ACTS, act, "act")
    number_of(_abi.FUNCTIONS, function, "function")
    kind = kind_of(x, "x")
    device = weights.device_number
    stream = stream_for(kind, device, stream)
    x_view = kind.view(x, "x", stream)
    check_x(x_view, weights, vector)
    bias_view = _bias(bias, "bias", weights, stream)
    up_bias_view = _bias(up_bias, "up_bias", weights, stream)
    inputs = [view for view in (x_view, bias_view, up_bias_view) if view is not None]
    out, y = result(kind, out, (*x_view.shape[:-1], weights.shape[0]), weights, stream)
    _view.check_apart(y, inputs)
    call = Call(
        weights=weights,
        up=up,
        x=x_view,
        y=y,
        bias=bias_view,
        up_bias=up_bias_view,
        act="float32" if weights.is_float else act,
        function=function,
        device=device,
        stream=stream,
    )
    rows = math.prod(x_view.shape[:-1])
    if rows > 0:
        _view.wait_for([*inputs, y], device, stream)
        if scratch or rows <= _abi.MOST_COLUMNS or not kind.multiply_large(call):
            multiply_by_columns(call, scratch or kind.scratch)
        _view.release(y, device, stream)
    return out


def check_x(x: View, weights: CudaTensor, vector: bool) -> None:
    """Refuse an x that the weights have no product with.

    Raises:
        ValueError: another device, k or number of dimensions.
    """
    x.check_device(weights.device_number, "the weights")
    if not x.shape:
        raise ValueError("x has no dimensions")
    if vector and len(x.shape) != 1:
        raise ValueError(
            f"gemv takes one vector x of shape (k,), not {len(x.shape)} dimensions; see gemm"
        )
    n, k = weights.shape
    if x.shape[-1] != k:
        raise ValueError(f"x has k={x.shape[-1]}, weights have k={k} ({weights.fmt}, n={n})")
    x.row_stride()


def result(
    kind: Arrays, out: Any, shape: tuple[int, ...], weights: CudaTensor, stream: int
) -> tuple[Any, View]:
    """Where a result goes, `out` or a new array of this kind, and its view.

    Raises:
        TypeError: `out` is no array on a device.
        ValueError: another shape or device, or read-only.
    """
    device = weights.device_number
    if out is None:
        out = kind.empty(shape, "float32", device, stream)
        return out, kind.view(out, "out", stream, writable=True)
    view = kind_of(out, "out").view(out, "out", stream, writable=True)
    view.check_device(device, "the weights")
    if view.shape != shape:
        raise ValueError(f"out has shape {view.shape}, the result has {shape}")
    if not view.writable:
        raise ValueError("out is read-only")
    view.row_stride()
    return out, view


def _bias(bias: Any, what: str, weights: CudaTensor, stream: int) -> View | None:
    if bias is None:
        return None
    view = kind_of(bias, what).bias(bias, what, stream)
    view.check_device(weights.device_number, "the weights")
    n = weights.shape[0]
    if view.shape != (n,):
        raise ValueError(f"{what} has shape {view.shape}, the result has n={n}")
    view.row_stride()
    return view
