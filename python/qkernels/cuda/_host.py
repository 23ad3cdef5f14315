"""Products of arrays in the host's memory, by way of the device: they block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels.cuda import _abi, _memory
from qkernels.cuda._call import Call, multiply_by_columns
from qkernels.cuda._interface import c_strides
from qkernels.cuda._library import number_of
from qkernels.cuda._view import View

if TYPE_CHECKING:
    from qkernels.cuda._workspace import Workspace
    from qkernels.cuda.tensor import CudaTensor

    NDArray = np.ndarray[Any, Any]


def gemv_of_host(
    weights: CudaTensor,
    x: NDArray,
    act: str,
    out: NDArray | None,
    stream: int,
    workspace: Workspace,
) -> NDArray:
    """x @ weights.T, eight rows at a time.

    Args:
        weights: (n, k).
        x: (..., k) in float32, float16 or ml_dtypes' bfloat16.
        act: "int16", "float32" or "int8".
        out: (..., n) in those dtypes; float32 when None. It is returned.
        stream: where the work goes.
        workspace: has room for the rows.

    Raises:
        TypeError: another dtype, or out is no NumPy array.
        ValueError: a wrong shape or name, or out is read-only.
    """
    number_of(_abi.ACTS, act, "act")
    if x.dtype.name not in _abi.DTYPES:
        raise TypeError(f"x has dtype {x.dtype}; expected float32, float16 or bfloat16")
    out = _result(x, out, weights)
    rows = np.ascontiguousarray(x).reshape(-1, weights.k)
    results = np.empty((len(rows), weights.shape[0]), np.float32)
    for first in range(0, len(rows), _abi.MOST_COLUMNS):
        part = slice(first, first + _abi.MOST_COLUMNS)
        _multiply(weights, rows[part], results[part], act, stream, workspace)
    out[...] = results.reshape(out.shape)
    return out


def _result(x: NDArray, out: NDArray | None, weights: CudaTensor) -> NDArray:
    """`out` if it is right, or a new array."""
    n, k = weights.shape
    if x.ndim == 0 or x.shape[-1] != k:
        raise ValueError(f"x has shape {x.shape}, weights have k={k} ({weights.fmt}, n={n})")
    shape = (*x.shape[:-1], n)
    if out is None:
        return np.empty(shape, np.float32)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"x is a NumPy array, out is not: {type(out).__name__}")
    if out.dtype.name not in _abi.DTYPES:
        raise TypeError(f"out has dtype {out.dtype}; expected float32, float16 or bfloat16")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, the result has {shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out


def _multiply(
    weights: CudaTensor, x: NDArray, y: NDArray, act: str, stream: int, workspace: Workspace
) -> None:
    """At most eight rows."""
    device = weights.device_number
    with workspace.staging(stream) as (x_pointer, y_pointer):
        x_view = _staged("x", x_pointer, x, device)
        y_view = _staged("out", y_pointer, y, device)
        _memory.to_device(device, x_pointer, x.ctypes.data, x.nbytes, stream)
        act = "float32" if weights.is_float else act
        call = Call(weights, None, x_view, y_view, None, None, act, None, device, stream)
        multiply_by_columns(call, workspace.scratch)
        _memory.to_host(device, y.ctypes.data, y_pointer, y.nbytes, stream)


def _staged(what: str, pointer: int, array: NDArray, device: int) -> View:
    """A copy of a host array at an address of the device."""
    return View(
        what=what,
        pointer=pointer,
        shape=array.shape,
        strides=c_strides(array.shape),
        dtype=array.dtype.name,
        device=device,
        stream=None,
        reader=None,
        writable=True,
        owner=None,
    )
