"""Products with weights on a device: gemv, gemm, and the gated projection of a feed-forward."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from . import _abi, _view
from ._call import Call, multiply_by_columns
from ._kinds import kind_of, stream_for
from ._library import number_of
from .tensor import CudaTensor

if TYPE_CHECKING:
    from ._arrays import Arrays
    from ._call import Scratch
    from ._view import View


def gemv(
    weights: CudaTensor,
    x: Any,
    *,
    bias: Any = None,
    act: str = "int16",
    function: str | None = None,
    out: Any = None,
    stream: Any = None,
) -> Any:
    """Multiply one vector: y = function(weights @ x + bias). Asynchronous: two launches.

    It neither waits nor uses another stream than `stream`, so that a graph can capture it. For
    torch tensors all memory comes from torch's allocator. For other arrays the call allocates a
    DeviceArray unless `out` is given, and, the first time that a stream sees so large an x, memory
    for the quantised x: make one call before capturing.

    Args:
        weights: (n, k), from `QTensor.to("cuda")`.
        x: (k,) in float32, float16 or bfloat16, on the same device: a torch tensor, or an object
            with `__cuda_array_interface__` or `__dlpack__`. Those of other libraries than torch
            must be contiguous.
        bias: (n,) in float32; of torch in the other two dtypes too.
        act: how x enters the product: "int16", "float32" or "int8", as for `qkernels.gemv`.
        function: None, "silu", "gelu" (by the error function), "gelu_tanh" or "gelu_sigmoid".
        out: where the result goes: (n,) in those dtypes, contiguous, apart from x and bias. It is
            returned.
        stream: a stream or its number (a `cudaStream_t`); torch's current one for torch tensors,
            otherwise the default one. It waits for the stream that x names.

    Returns:
        (n,) in float32 unless `out` says otherwise: a torch tensor where x is one, or a
        DeviceArray.

    Raises:
        TypeError: an argument of the wrong kind or dtype, or in the host's memory.
        ValueError: a wrong shape, name or device; null; weights that were freed.
    """
    return product(
        weights, x, bias=bias, act=act, function=function, out=out, stream=stream, vector=True
    )


def gemm(
    weights: CudaTensor,
    x: Any,
    *,
    bias: Any = None,
    act: str = "int16",
    function: str | None = None,
    out: Any = None,
    stream: Any = None,
) -> Any:
    """Multiply any number of vectors: y = function(x @ weights.T + bias).

    Up to 8 rows of x are one product of two launches. More are multiplied 8 at a time, or for torch
    tensors by `torch.mm`, with weights decoded a tile at a time: to float32, which is
    split into parts where torch may take TF32, because that and bfloat16 miss the bound of "int16",
    or for act="int8" to bfloat16.

    Args:
        weights: as for `gemv`.
        x: (..., k): every leading dimension is a batch dimension. One may be 0. Rows of other
            libraries' arrays must be contiguous and equally far apart.
        bias: as for `gemv`.
        act: as for `gemv`.
        function: as for `gemv`.
        out: (..., n), otherwise as for `gemv`; rows may be apart.
        stream: as for `gemv`.

    Returns:
        (..., n), otherwise as for `gemv`.

    Raises:
        TypeError: as for `gemv`.
        ValueError: as for `gemv`.
    """
    return product(
        weights, x, bias=bias, act=act, function=function, out=out, stream=stream, vector=False
    )


def swiglu_proj(
    x: Any,
    gate: CudaTensor,
    up: CudaTensor,
    *,
    bias: Any = None,
    up_bias: Any = None,
    act: str = "int16",
    function: str | None = "silu",
    out: Any = None,
    stream: Any = None,
) -> Any:
    """The gated projection: function(x @ gate.T + bias) * (x @ up.T + up_bias), as one product.

    Args:
        x: (..., k), as for `gemm`.
        gate: (n, k).
        up: of the same shape, format, layout and device.
        bias: (n,), of gate's product.
        up_bias: (n,), of up's product.
        act: as for `gemv`.
        function: as for `gemv`, of gate's product: "silu" for SwiGLU, "gelu" for GeGLU.
        out: as for `gemm`.
        stream: as for `gemv`.

    Returns:
        (..., n), otherwise as for `gemv`.

    Raises:
        TypeError: as for `gemv`.
        ValueError: as for `gemv`, or gate and up differ.
    """
    check_weights(up, "up")
    return product(
        gate, x, up=up, bias=bias, up_bias=up_bias, act=act, function=function, out=out,
        stream=stream, vector=False,
    )  # fmt: skip


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
    check_weights(weights, "weights")
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


def check_weights(weights: object, what: str) -> None:
    """Refuse what is not weights on a device.

    Raises:
        TypeError: something else.
        ValueError: their memory was freed.
    """
    if not isinstance(weights, CudaTensor):
        raise TypeError(
            f"{what} must be a CudaTensor, such as QTensor.to('cuda') gives, not "
            f"{type(weights).__name__}"
        )
    if weights.freed:
        raise ValueError(f"{weights!r} was freed")
