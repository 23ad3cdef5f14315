"""What is done to each element: decoding weights, and gelu in place."""

from __future__ import annotations

from ctypes import byref
from typing import TYPE_CHECKING, Any

from qkernels.cuda import _abi, _view
from qkernels.cuda._kinds import default_kind, kind_of, stream_for
from qkernels.cuda._library import library, number_of
from qkernels.cuda._product import result

if TYPE_CHECKING:
    from qkernels.cuda.tensor import CudaTensor

_GELUS = {"none": "gelu", "tanh": "gelu_tanh", "sigmoid": "gelu_sigmoid"}


def decode(weights: CudaTensor, dtype: str, out: Any = None, stream: Any = None) -> Any:
    """Decode weights to floats: see `qkernels.cuda.dequantize`."""
    if weights.freed:
        raise ValueError(f"{weights!r} was freed")
    number_of(_abi.DTYPES, dtype, "dtype")
    kind = default_kind() if out is None else kind_of(out, "out")
    device = weights.device_number
    stream = stream_for(kind, device, stream)
    if out is None:
        out = kind.empty(weights.shape, dtype, device, stream)
    out, view = result(kind, out, weights.shape, weights, stream)
    _view.wait_for([view], device, stream)
    library().call("dequantize", device, byref(weights.structure()), byref(view.matrix()), stream)
    _view.release(view, device, stream)
    return out


def gelu_(t: Any, bias: Any = None, approximate: str = "none", stream: Any = None) -> Any:
    """Gelu in place: t = gelu(t + bias). Asynchronous: one launch, nothing allocated.

    Args:
        t: (..., n) in float32, float16 or bfloat16 on a device, with contiguous rows that are
            equally far apart.
        bias: (n,) in those dtypes, added first.
        approximate: "none" (by the error function), "tanh", or "sigmoid" (t * sigmoid(1.702 t)).
        stream: as for `gemv`.

    Returns:
        t.

    Raises:
        TypeError: an argument of the wrong kind or dtype, or in the host's memory.
        ValueError: a wrong shape, name or device; null; read-only.
    """
    number_of(tuple(_GELUS), approximate, "approximate")
    kind = kind_of(t, "t")
    device = kind.device(t, "t")
    stream = stream_for(kind, device, stream)
    view = kind.view(t, "t", stream, writable=True)
    if not view.shape:
        raise ValueError("t has no dimensions")
    if not view.writable:
        raise ValueError("t is read-only")
    views = [view]
    pointer, bias_dtype = None, 0
    if bias is not None:
        bias_view = kind_of(bias, "bias").view(bias, "bias", stream)
        bias_view.check_device(device, "t")
        if bias_view.shape != view.shape[-1:]:
            raise ValueError(f"bias has shape {bias_view.shape}, t has n={view.shape[-1]}")
        bias_view.row_stride()
        _view.check_apart(view, [bias_view])
        views.append(bias_view)
        pointer, bias_dtype = bias_view.pointer, _abi.DTYPES.index(bias_view.dtype)
    function = _abi.FUNCTIONS.index(_GELUS[approximate])
    matrix = view.matrix()
    if 0 not in view.shape:
        _view.wait_for(views, device, stream)
        library().call("apply", device, byref(matrix), pointer, bias_dtype, function, stream)
        _view.release(view, device, stream)
    return t
