"""The C interface of `_cuda` as ctypes sees it: what src/cuda/qk_cuda.h declares."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char, c_char_p, c_int, c_int32, c_int64, c_void_p

ABI = 1
MOST_COLUMNS = 8

OK, TYPE, VALUE, INDEX, RUNTIME, MEMORY = range(6)

DTYPES = ("float32", "float16", "bfloat16")  # by number, as the next four are
ACTS = ("int16", "float32", "int8")
LAYOUTS = ("native", "packed")
FUNCTIONS = (None, "silu", "gelu", "gelu_tanh", "gelu_sigmoid")
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


class Error(ctypes.Structure):
    """What a call that failed says of it."""

    _fields_ = (("code", c_int32), ("cuda_error", c_int32), ("message", c_char * 240))


class DeviceInfo(ctypes.Structure):
    """A device's name and size."""

    _fields_ = (
        ("name", c_char * 256),
        ("major", c_int32),
        ("minor", c_int32),
        ("multiprocessors", c_int32),
        ("driver_version", c_int32),
        ("memory_bytes", c_int64),
        ("l2_bytes", c_int64),
    )


class FormatInfo(ctypes.Structure):
    """A format, and what its blocks ask of memory."""

    _fields_ = (
        ("name", c_char * 16),
        ("block", c_int32),
        ("block_bytes", c_int32),
        ("alignment", c_int32),
        ("packs", c_int32),
        ("is_float", c_int32),
    )


class Matrix(ctypes.Structure):
    """A row-major matrix of floats on the device; stride in elements."""

    _fields_ = (
        ("data", c_void_p),
        ("rows", c_int64),
        ("columns", c_int64),
        ("stride", c_int64),
        ("dtype", c_int32),
    )


class Weights(ctypes.Structure):
    """A matrix of quantised weights on the device; row_stride in bytes."""

    _fields_ = (
        ("data", c_void_p),
        ("n", c_int64),
        ("k", c_int64),
        ("row_stride", c_int64),
        ("format", c_int32),
        ("layout", c_int32),
    )


class Product(ctypes.Structure):
    """A product and what becomes of it before it is stored."""

    _fields_ = (
        ("device", c_int32),
        ("act", c_int32),
        ("stream", c_void_p),
        ("weights", Weights),
        ("up", c_void_p),
        ("activations", c_void_p),
        ("columns", c_int64),
        ("y", Matrix),
        ("bias", c_void_p),
        ("up_bias", c_void_p),
        ("bias_stride", c_int64),
        ("function", c_int32),
    )


# The parameters of each function, without the pointer to an Error that comes last.
PROTOTYPES: dict[str, tuple[type, ...]] = {
    "qk_cuda_available": (),
    "qk_cuda_device_count": (POINTER(c_int32),),
    "qk_cuda_device": (c_int32, POINTER(DeviceInfo)),
    "qk_cuda_malloc": (c_int32, c_int64, POINTER(c_void_p)),
    "qk_cuda_free": (c_int32, c_void_p),
    "qk_cuda_copy": (c_int32, c_void_p, c_void_p, c_int64, c_void_p),
    "qk_cuda_synchronize": (c_int32, c_void_p),
    "qk_cuda_synchronize_device": (c_int32,),
    "qk_cuda_wait": (c_int32, c_void_p, c_void_p),
    "qk_cuda_pointer_device": (c_void_p, POINTER(c_int32)),
    "qk_cuda_find_format": (c_char_p, POINTER(c_int32)),
    "qk_cuda_format_info": (c_int32, POINTER(FormatInfo)),
    "qk_cuda_row_bytes": (c_int32, c_int32, c_int64, POINTER(c_int64)),
    "qk_cuda_pack": (c_int32, c_int64, c_int64, c_void_p, c_int64, c_void_p, c_int64),
    "qk_cuda_activation_bytes": (c_int32, c_int64, c_int64, POINTER(c_int64)),
    "qk_cuda_quantize": (c_int32, POINTER(Matrix), c_int32, c_void_p, c_void_p),
    "qk_cuda_multiply": (POINTER(Product),),
    "qk_cuda_quantize_and_multiply": (POINTER(Matrix), POINTER(Product)),
    "qk_cuda_dequantize": (c_int32, POINTER(Weights), POINTER(Matrix), c_void_p),
    "qk_cuda_apply": (c_int32, POINTER(Matrix), c_void_p, c_int32, c_int32, c_void_p),
}


def declare(dll: ctypes.CDLL) -> None:
    """Give every function of a loaded library its prototype.

    Raises:
        AttributeError: the library lacks one of them.
    """
    for name, parameters in PROTOTYPES.items():
        function = getattr(dll, name)
        function.restype = c_int
        function.argtypes = (*parameters, POINTER(Error))
