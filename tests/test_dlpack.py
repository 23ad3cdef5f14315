"""Arrays that come by DLPack, from producers that are honest, old, or wrong."""

import ctypes
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from roles import FLOATS, OUTS, RAW, K, N, W, X, name_of, numbers

api: Any = qk

NewCapsule = ctypes.pythonapi.PyCapsule_New
NewCapsule.restype = ctypes.py_object
NewCapsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Plain(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = (("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )


Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
CODES = {"i": 0, "u": 1, "f": 2, "V": 4, "c": 5, "b": 6}


class Producer:
    """An array of another library: versioned and writable, unless told otherwise."""

    def __init__(
        self, array: np.ndarray, *, version: int | None = 1, read_only: bool = False, **fields: Any
    ) -> None:
        self.array, self.version, self.read_only, self.fields = array, version, read_only, fields
        self.shape, self.freed = array.shape, 0

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, **asked: Any) -> Any:
        if self.version is None and asked:
            raise TypeError("unexpected keyword argument 'max_version'")
        array, dims = self.array, self.array.ndim
        self.extents = (ctypes.c_int64 * dims)(*array.shape)
        self.strides = (ctypes.c_int64 * dims)(*(s // array.itemsize for s in array.strides))
        tensor = Tensor(
            array.ctypes.data, 1, 0, dims, CODES[array.dtype.kind], 8 * array.itemsize, 1,
            self.extents, self.strides, 0,
        )  # fmt: skip
        for name, value in self.fields.items():
            setattr(tensor, name, value)
        self.deleter = Deleter(lambda _: setattr(self, "freed", self.freed + 1))
        free = ctypes.cast(self.deleter, ctypes.c_void_p)
        if self.version is None:
            self.managed: Any = Plain(tensor, None, free)
            return NewCapsule(ctypes.addressof(self.managed), b"dltensor", None)
        self.managed = Versioned(self.version, 0, None, free, int(self.read_only), tensor)
        return NewCapsule(ctypes.addressof(self.managed), b"dltensor_versioned", None)


def floats(shape: tuple[int, ...]) -> np.ndarray:
    return numbers(shape).astype(np.float32)


@pytest.mark.parametrize("version", [None, 1])
@pytest.mark.parametrize("role", FLOATS)
def test_every_input_comes_by_dlpack(role: str, version: int | None) -> None:
    shape, call = FLOATS[role]
    expected = np.asarray(call(floats(shape)))
    for dtype in ("f4", "f8", "i4", "u2"):
        source = numbers(shape).astype(dtype)
        given = Producer(source, version=version, read_only=version is not None)
        np.testing.assert_array_equal(np.asarray(call(given)), expected)
        assert given.freed == 1


@pytest.mark.parametrize("role", OUTS)
def test_out_is_written_where_its_producer_says_it_may_be(role: str) -> None:
    shape, call = OUTS[role]
    expected = np.zeros(shape, np.float32)
    call(expected)
    given = Producer(np.zeros(shape, np.float32))
    assert call(given) is given
    np.testing.assert_array_equal(given.array, expected)


@pytest.mark.parametrize("options", [{"read_only": True}, {"version": None}])
@pytest.mark.parametrize("role", OUTS)
def test_out_is_refused_where_it_may_be_immutable(role: str, options: dict[str, Any]) -> None:
    shape, call = OUTS[role]
    given = Producer(np.zeros(shape, np.float32), **options)
    with pytest.raises(ValueError, match="out is read-only"):
        call(given)
    assert not given.array.any()


def test_strides_of_a_producer_may_be_left_out() -> None:
    x = np.stack([X, 2 * X])
    given = Producer(x, strides=ctypes.POINTER(ctypes.c_int64)())
    np.testing.assert_array_equal(api.gemm(W, given), api.gemm(W, x))
    given = Producer(x[:, ::-1])
    np.testing.assert_array_equal(api.gemm(W, given), api.gemm(W, x[:, ::-1]))
    offset = Producer(X[:32], byte_offset=128, ndim=1)
    np.testing.assert_array_equal(
        np.asarray(api.quantize(Producer(x), "q8_0").data), qk.quantize(x, "q8_0").data
    )
    assert api.quantize_activations(offset).shape == (32,)
    assert api.gemv(Producer(RAW), X, "q8_0").shape == (N,)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a null pointer": ({"data": None}, "has no memory for the elements"),
    "no shape": ({"shape": ctypes.POINTER(ctypes.c_int64)()}, "its DLPack tensor has no shape"),
    "-1 dimensions": ({"ndim": -1}, "its DLPack tensor has no shape"),
    "a negative extent": ({"shape": (ctypes.c_int64 * 1)(-K)}, "has no memory for the elements"),
    "strides past 2^63": (
        {"strides": (ctypes.c_int64 * 1)(2**61)}, "has no memory for the elements"),
    "extents past 2^63": ({"shape": (ctypes.c_int64 * 1)(2**62),
        "strides": (ctypes.c_int64 * 1)(4)}, "has no memory for the elements"),
    "an offset past 2^62": ({"byte_offset": 2**63}, "has no memory for the elements"),
    "complex": ({"code": 5, "bits": 64}, "DLPack's dtype of code 5"),
    "lanes": ({"lanes": 4}, "and 4 lanes"),
    "odd bits": ({"bits": 12}, "12 bits"),
    "another device": ({"device_type": 2}, "lies on DLPack device type 2"),
}  # fmt: skip


@pytest.mark.parametrize("version", [None, 1])
@pytest.mark.parametrize("name", WRONG)
def test_a_malformed_tensor_is_refused_and_freed(name: str, version: int | None) -> None:
    fields, message = WRONG[name]
    given = Producer(X, version=version, **fields)
    with pytest.raises(TypeError, match=f"^x.*{re.escape(message)}"):
        api.gemv(W, given)
    assert given.freed == 1


def test_more_than_eight_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="x has 9 dimensions"):
        api.gemm(W, Producer(X.reshape((1,) * 8 + (K,))))


def test_another_major_version_is_refused_and_freed() -> None:
    given = Producer(X, version=2)
    with pytest.raises(TypeError, match="x comes in version 2 of DLPack"):
        api.gemv(W, given)
    assert given.freed == 1


class Nonsense:
    """A producer whose methods return or raise what it is told."""

    def __init__(self, device: Callable[[], Any], capsule: Callable[[], Any]) -> None:
        self.device, self.capsule = device, capsule

    def __dlpack_device__(self) -> Any:
        return self.device()

    def __dlpack__(self, **asked: Any) -> Any:
        return self.capsule()


def on_cpu() -> Any:
    return 1, 0


def returning(value: Any) -> Callable[[], Any]:
    return lambda: value


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


NONSENSE: dict[str, tuple[Nonsense, str]] = {
    **{
        f"device {value!r}": (Nonsense(returning(value), returning(None)), "no pair of integers")
        for value in (None, (), (1,), 1, "ab", (1.0, 0), ("cpu", 0), [1, 0], (1, 0, 0))
    },
    "device past 2^64": (Nonsense(lambda: (2**70, 0), lambda: None), "device type -1"),
    "a device that raises": (
        Nonsense(raising(RuntimeError("lost")), returning(None)),
        "__dlpack_device__ failed: lost",
    ),
    "an export that raises": (
        Nonsense(on_cpu, raising(BufferError("held"))),
        "__dlpack__ failed: held",
    ),
    "an attribute error": (
        Nonsense(on_cpu, raising(AttributeError("gone"))),
        "__dlpack__ failed: gone",
    ),
    "no capsule": (Nonsense(on_cpu, lambda: 3), "returned no 'dltensor' capsule"),
    "a capsule of another name": (
        Nonsense(on_cpu, lambda: NewCapsule(1, b"other", None)),
        "returned no 'dltensor' capsule",
    ),
    "a used capsule": (
        Nonsense(on_cpu, lambda: NewCapsule(1, b"used_dltensor", None)),
        "no 'dltensor' capsule",
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_of_a_producer_is_a_type_error_that_names_the_argument(name: str) -> None:
    given, message = NONSENSE[name]
    for role, (_, call) in FLOATS.items():
        with pytest.raises(TypeError, match=rf"^{name_of(role)}\b.*{re.escape(message)}"):
            call(given)
    with pytest.raises(TypeError, match=rf"^out\b.*{re.escape(message)}"):
        api.gemv(W, X, out=given)


def test_what_is_not_about_the_argument_passes() -> None:
    for error in (MemoryError("none left"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            api.gemv(W, Nonsense(on_cpu, raising(error)))
