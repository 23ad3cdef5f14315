"""Arrays with `__dlpack__`: JAX's, TensorFlow's, and whatever else follows the protocol."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

from qkernels.cuda import _dlpack_abi as dl
from qkernels.cuda import _streams
from qkernels.cuda._arrays import ForeignArrays
from qkernels.cuda._interface import c_strides
from qkernels.cuda._view import View

TYPES = {(dl.FLOAT, 32): "float32", (dl.FLOAT, 16): "float16", (dl.BFLOAT, 16): "bfloat16"}
USED = {b"dltensor": b"used_dltensor", b"dltensor_versioned": b"used_dltensor_versioned"}


class DlpackArrays(ForeignArrays):
    """What a capsule says of an array. The producer makes it safe for our stream to use."""

    def view(self, x: Any, what: str, stream: int, *, writable: bool = False) -> View:
        """See Arrays."""
        device = self.device(x, what)
        tensor, read_only, owner = _taken(_capsule(x, stream), what)
        code = (tensor.dtype.code, tensor.dtype.bits)
        if tensor.dtype.lanes != 1 or code not in TYPES:
            raise TypeError(
                f"{what} has DLPack's dtype (code={code[0]}, bits={code[1]}, "
                f"lanes={tensor.dtype.lanes}); expected float32, float16 or bfloat16"
            )
        shape = tuple(tensor.shape[: tensor.ndim])
        strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else c_strides(shape)
        return View(
            what=what,
            pointer=(tensor.data or 0) + tensor.byte_offset,
            shape=shape,
            strides=strides,
            dtype=TYPES[code],
            device=device,
            stream=None,
            reader=None,
            writable=not read_only,
            owner=(x, owner),
        )

    def device(self, x: Any, what: str) -> int:
        """See Arrays; the capsule is not asked for."""
        kind, number = x.__dlpack_device__()
        if kind not in (dl.CUDA, dl.CUDA_MANAGED):
            where = "in host memory" if kind in (dl.CPU, dl.CUDA_HOST) else "not on a CUDA device"
            raise TypeError(
                f"{what} is {where} ({type(x).__name__}, DLPack device {int(kind)}); "
                "copy it to the device first"
            )
        return int(number)


def _capsule(x: Any, stream: int) -> object:
    """A capsule for our stream; producers older than DLPack 1.0 do not know max_version."""
    ours = stream or _streams.LEGACY_DEFAULT
    try:
        return x.__dlpack__(stream=ours, max_version=(1, 0))
    except TypeError:
        return x.__dlpack__(stream=ours)


def _taken(capsule: object, what: str) -> tuple[dl.Tensor, bool, object]:
    """The tensor in a capsule, whether it is read only, and what keeps it alive.

    Raises:
        TypeError: it is no capsule.
        ValueError: it was consumed before, or is of a version to come.
    """
    try:
        name = dl.capsule_name(capsule)
    except ValueError:
        raise TypeError(f"{what}.__dlpack__() gave no capsule, but {capsule!r}") from None
    if name not in USED:
        raise ValueError(f"{what}.__dlpack__() gave a capsule named {name!r}")
    kind = dl.Managed if name == b"dltensor" else dl.Versioned
    managed: Any = kind.from_address(dl.capsule_pointer(capsule, name))
    if isinstance(managed, dl.Versioned) and managed.major != 1:
        raise ValueError(f"{what} has DLPack version {managed.major}.{managed.minor}; expected 1")
    dl.rename_capsule(capsule, USED[name])
    read_only = isinstance(managed, dl.Versioned) and bool(managed.flags & dl.READ_ONLY)
    return managed.tensor, read_only, _Taken(managed)


class _Taken:
    """A tensor that is ours to release."""

    def __init__(self, managed: Any) -> None:
        weakref.finalize(self, _release, managed)


def _release(managed: Any) -> None:
    if managed.deleter:  # null where there is nothing to free
        managed.deleter(ctypes.addressof(managed))


_exported: dict[int, tuple[Any, ...]] = {}  # what capsules of ours refer to, by their address


def export(view: View) -> object:
    """A capsule of an array of ours, which stays alive until the consumer is done with it."""
    dims = ctypes.c_int64 * max(1, len(view.shape))
    shape, strides = dims(*view.shape), dims(*view.strides)
    code = next(code for code, name in TYPES.items() if name == view.dtype)
    managed = dl.Managed()
    managed.tensor = dl.Tensor(
        view.pointer,
        dl.Device(dl.CUDA, view.device),
        len(view.shape),
        dl.DataType(*code, 1),
        ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64)),
        ctypes.cast(strides, ctypes.POINTER(ctypes.c_int64)),
        0,
    )
    managed.deleter = _deleter
    address = ctypes.addressof(managed)
    _exported[address] = (managed, shape, strides, view.owner)
    return dl.new_capsule(address, b"dltensor", _destructor)


def _forget(address: int) -> None:
    _exported.pop(address, None)


def _destroy(capsule: int) -> None:
    """Of a capsule that nobody consumed."""
    if dl.dying_is_valid(capsule, b"dltensor"):
        _exported.pop(dl.dying_pointer(capsule, b"dltensor"), None)


_deleter = dl.Deleter(_forget)  # what C calls has to outlive all capsules
_destructor = dl.Destructor(_destroy)
