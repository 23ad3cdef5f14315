"""Arrays with `__cuda_array_interface__`, versions 2 and 3: CuPy's, Numba's, and our own."""

from __future__ import annotations

from ctypes import byref, c_int32
from typing import Any

from qkernels.cuda import _abi
from qkernels.cuda._arrays import ForeignArrays
from qkernels.cuda._library import library
from qkernels.cuda._view import ANY_DEVICE, View

# bfloat16 is two bytes without a meaning to NumPy, which is how ml_dtypes and torch export it.
TYPES = {"<f4": "float32", "<f2": "float16", "<V2": "bfloat16"}


class InterfaceArrays(ForeignArrays):
    """What the protocol says of an array; its device is that of its pointer."""

    def view(self, x: Any, what: str, stream: int, *, writable: bool = False) -> View:
        """See Arrays."""
        described = _described(x, what)
        shape = tuple(int(d) for d in described["shape"])
        typestr = described["typestr"]
        if typestr not in TYPES:
            raise TypeError(f"{what} has dtype {typestr}; expected float32, float16 or bfloat16")
        dtype = TYPES[typestr]
        pointer, read_only = described["data"]
        producer = described.get("stream")
        if producer == 0:
            raise ValueError(f"{what} names stream 0, which __cuda_array_interface__ forbids")
        if described.get("mask") is not None:
            raise TypeError(f"{what} is a masked array")
        return View(
            what=what,
            pointer=int(pointer),
            shape=shape,
            strides=_strides(described, shape, dtype, what),
            dtype=dtype,
            device=ANY_DEVICE if 0 in shape else device_of(int(pointer), what),
            stream=producer,
            reader=producer,
            writable=not read_only,
            owner=x,
        )


def _described(x: Any, what: str) -> dict[str, Any]:
    described: dict[str, Any] = x.__cuda_array_interface__
    missing = {"shape", "typestr", "data", "version"} - set(described)
    if missing:
        raise TypeError(f"{what}.__cuda_array_interface__ has no {', '.join(sorted(missing))}")
    if described["version"] < 2:
        raise ValueError(
            f"{what} has version {described['version']} of __cuda_array_interface__; expected 2 "
            "or later"
        )
    return described


def _strides(
    described: dict[str, Any], shape: tuple[int, ...], dtype: str, what: str
) -> tuple[int, ...]:
    """In elements; the protocol has bytes, or None for C order."""
    strides = described.get("strides")
    if strides is None:
        return c_strides(shape)
    size = _abi.ITEM_BYTES[dtype]
    if len(strides) != len(shape) or any(s % size for s in strides):
        raise ValueError(f"{what} of shape {shape} and {dtype} has strides {tuple(strides)}")
    return tuple(int(s) // size for s in strides)


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of C order, in elements."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return tuple(strides)


def device_of(pointer: int, what: str) -> int:
    """The device that memory belongs to.

    Raises:
        TypeError: it is the host's.
        ValueError: null.
    """
    if pointer == 0:
        raise ValueError(f"{what} is null")
    device = c_int32()
    library().call("pointer_device", pointer, byref(device))
    if device.value < 0:
        raise TypeError(f"{what} at {pointer:#x} is memory of the host, or was freed")
    return device.value
