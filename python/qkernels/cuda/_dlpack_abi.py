"""DLPack's structures and capsules, as its header and Python's declare them."""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
    py_object,
)

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13
FLOAT, BFLOAT = 2, 4
READ_ONLY = 1  # of flags

Deleter = CFUNCTYPE(None, c_void_p)


class Device(ctypes.Structure):
    """Where a tensor lies."""

    _fields_ = (("kind", c_int32), ("number", c_int32))


class DataType(ctypes.Structure):
    """What its elements are."""

    _fields_ = (("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16))


class Tensor(ctypes.Structure):
    """A tensor; strides in elements, or null for C order."""

    _fields_ = (
        ("data", c_void_p),
        ("device", Device),
        ("ndim", c_int32),
        ("dtype", DataType),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


class Managed(ctypes.Structure):
    """A tensor with what frees it: the content of a capsule "dltensor"."""

    _fields_ = (("tensor", Tensor), ("context", c_void_p), ("deleter", Deleter))


class Versioned(ctypes.Structure):
    """The content of a capsule "dltensor_versioned"."""

    _fields_ = (
        ("major", c_uint32),
        ("minor", c_uint32),
        ("context", c_void_p),
        ("deleter", Deleter),
        ("flags", c_uint64),
        ("tensor", Tensor),
    )


# Prototypes of our own: those of ctypes.pythonapi are shared with everyone in the process.
Destructor = CFUNCTYPE(None, c_void_p)  # takes a capsule that no reference is left to
_from_python = ctypes.PYFUNCTYPE
new_capsule = _from_python(py_object, c_void_p, c_char_p, Destructor)(
    ("PyCapsule_New", ctypes.pythonapi)
)
capsule_name = _from_python(c_char_p, py_object)(("PyCapsule_GetName", ctypes.pythonapi))
capsule_pointer = _from_python(c_void_p, py_object, c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
rename_capsule = _from_python(c_int, py_object, c_char_p)(("PyCapsule_SetName", ctypes.pythonapi))
dying_is_valid = _from_python(c_int, c_void_p, c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
dying_pointer = _from_python(c_void_p, c_void_p, c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
