"""What NumPy would take for numbers is taken, and what it would not is refused by name."""

import array
import re
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import qkernels as qk
from roles import BYTES, FLOATS, INTEGERS, OUTS, RAW, K, N, W, X, name_of, numbers

api: Any = qk

Like = Callable[[np.ndarray], Any]


def as_numpy(dtype: Any) -> Like:
    return lambda a: a.astype(dtype)


def as_torch(dtype: torch.dtype) -> Like:
    return lambda a: torch.from_numpy(a).to(dtype)


LIKES: dict[str, Like] = {
    **{
        dtype: as_numpy(dtype)
        for dtype in (
            "f8", "f2", ">f4", ">f8", ">f2", "g", "?", "i1", "u1", "i2", "u2", "i4", "u4", "i8",
            ">i8", "u8",
        )
    },
    "bfloat16": as_numpy(ml_dtypes.bfloat16),
    "float8": as_numpy(ml_dtypes.float8_e4m3fn),
    "int4": as_numpy(ml_dtypes.int4),
    "lists": lambda a: a.tolist(),
    "lists of floats": lambda a: a.astype(float).tolist(),
    "a tuple of scalars": lambda a: tuple(a.astype(np.float32)),
    "a buffer": lambda a: a.astype(np.float64).data,
    "a subclass": lambda a: a.astype(np.float64).view(np.recarray),
    **{
        str(dtype): as_torch(dtype)
        for dtype in (
            torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8,
            torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16,
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("like", LIKES)
def test_every_input_takes_what_numpy_takes_for_numbers(like: str) -> None:
    for role, (shape, call) in FLOATS.items():
        values = numbers(shape)
        is_bool = like in ("?", "torch.bool")
        floats = (values.astype(bool) if is_bool else values).astype(np.float32)
        given = LIKES[like](values)
        y = call(given)
        np.testing.assert_array_equal(np.asarray(y), np.asarray(call(floats)), err_msg=role)
        first = name_of(role) in ("x", "q", "a") and "gates" not in role
        if first and isinstance(given, torch.Tensor):
            assert isinstance(y, torch.Tensor), role


def test_float64_is_rounded_as_astype_rounds() -> None:
    x = np.random.default_rng(3).standard_normal(K) * 1e-3
    np.testing.assert_array_equal(qk.gemv(W, x), qk.gemv(W, x.astype(np.float32)))
    x[3] = 1e300
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = qk.gemv(W, x.astype(np.float32), act="float32")
        np.testing.assert_array_equal(qk.gemv(W, x, act="float32"), expected)
    assert not np.isfinite(expected).all()


def test_integers_past_64_bits_are_numbers_too() -> None:
    np.testing.assert_array_equal(
        api.gemv(W, [2**70] * K), qk.gemv(W, np.full(K, 2.0**70, np.float32))
    )
    with pytest.raises(ValueError, match="x holds an integer past the floats"):
        api.gemv(W, [10**400] * K)


def test_a_buffer_of_numbers_is_an_array() -> None:
    np.testing.assert_array_equal(api.gemv(W, array.array("d", X.tolist())), qk.gemv(W, X))


class Masked:
    """What converts itself to an array with a mask."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        return np.ma.masked_array(X, X > 0)


REFUSED: dict[str, tuple[Any, str]] = {
    "complex": (np.ones(K, complex), "has dtype <c16"),
    "objects": (np.array([None] * K), "has dtype |O"),
    "objects that are integers": (np.ones(K, object), "has dtype |O"),
    "text": (np.array(["1"] * K), "has dtype <U1"),
    "text in lists": (["1"] * K, "has dtype <U1"),
    "dates": (np.zeros(K, "M8[s]"), "has dtype <M8[s]"),
    "durations": (np.zeros(K, "m8[s]"), "has dtype <m8[s]"),
    "records": (np.zeros(K, [("a", "f4")]), "has dtype |V4"),
    "masked": (np.ma.masked_array(X, X > 0), "is a masked array"),
    "masked in lists": ([np.ma.masked_array(X, X > 0)], "is a masked array"),
    "masked in a deque": (deque([np.ma.masked_array(X, X > 0)]), "is a masked array"),
    "what becomes masked": (Masked(), "is a masked array"),
    "bytearray": (bytearray(64), "not bytearray"),
    "masked constant": (np.ma.masked, "is a masked array"),
    "a dict": ({}, "not dict"),
    "a set": ({1.0}, "not set"),
    "a str": ("abc", "not str"),
    "bytes": (b"abc", "not bytes"),
    "a function": (len, "not builtin_function_or_method"),
    "a class": (np.ndarray, ""),
    "weights": (W, "call .dequantize()"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_every_input_refuses_what_is_no_number(kind: str) -> None:
    given, message = REFUSED[kind]
    for role, (_, call) in FLOATS.items():
        with pytest.raises(TypeError) as error:
            call(given)
        assert str(error.value).startswith(name_of(role)), role
        assert message in str(error.value), role


def test_lists_of_different_lengths_are_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^x: .*inhomogeneous"):
        api.gemm(W, [[1.0] * K, [1.0]])


def test_large_conversions_are_memory_errors() -> None:
    with pytest.raises(MemoryError):
        qk.gemm(W, np.broadcast_to(np.float64(1), (2**40, K)))
    with pytest.raises(MemoryError):
        qk.get_rows(W, np.broadcast_to(np.int8(1), 2**50))


@pytest.mark.parametrize(
    "given",
    [
        [1, 2, 3], (1, 2, 3), np.array([1, 2, 3], ">i2"), np.array([1, 2, 3], np.uint64),
        torch.tensor([1, 2, 3]), torch.tensor([1, 2, 3], dtype=torch.uint8),
        torch.tensor([3, 2, 1]).flip(0), range(1, 4), array.array("i", [1, 2, 3]),
        [np.int64(1), 2, np.uint8(3)], np.array([1, 0, 2, 0, 3, 0])[::2],
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("role", INTEGERS)
def test_integers_come_as_numpy_takes_them(role: str, given: Any) -> None:
    call = INTEGERS[role]
    np.testing.assert_array_equal(np.asarray(call(given)), np.asarray(call(np.array([1, 2, 3]))))


NO_INTEGERS: dict[str, Any] = {
    "floats": [1.0, 2.0, 3.0],
    "bfloat16": torch.ones(3, dtype=torch.bfloat16),
    "requires a gradient": torch.ones(3, requires_grad=True),
    "bools": [True, False, True],
    "torch's bools": torch.ones(3, dtype=torch.bool),
    "ml_dtypes": np.ones(3, ml_dtypes.bfloat16),
    "masked": np.ma.masked_equal([1, 2, 3], 2),
    "masked in lists": [np.ma.masked_equal([1, 2, 3], 2)],
    "None": None,
    "text": "123",
    "objects": np.array([1, 2, None], dtype=object),
    "a dict": {1: 2},
}


@pytest.mark.parametrize("kind", NO_INTEGERS)
@pytest.mark.parametrize("role", INTEGERS)
def test_other_things_than_integers_are_type_errors(role: str, kind: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name_of(role)}\b"):
        INTEGERS[role](NO_INTEGERS[kind])


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: [1, v], lambda v: [-1, v]])
def test_integers_past_63_bits_are_named(wrap: Callable[[int], Any], value: int) -> None:
    with pytest.raises(IndexError, match=f"an id of {value} is outside the {N} rows"):
        api.get_rows(W, wrap(value))
    with pytest.raises(ValueError, match=rf"a position of {value} passes 2\^63"):
        api.rope(np.ones((2, 2, 32), np.float32), wrap(value))
    with pytest.raises(IndexError, match="an integer of 33220 bits"):
        api.get_rows(W, 10**10000)


def test_gates_are_trained_on_what_numpy_or_torch_has_for_numbers() -> None:
    x = np.random.default_rng(4).integers(-4, 4, (4, K)).astype(np.float32)
    expected = qk.gates.train(W, x, steps=5).gates
    tensor = torch.from_numpy(x)
    negated = torch.complex(torch.zeros_like(tensor), -tensor).conj().imag
    for like in (x.tolist(), x.astype(ml_dtypes.bfloat16), tensor, tensor.bfloat16(), negated):
        np.testing.assert_array_equal(api.gates.train(W, like, steps=5).gates, expected)
    for wrong in (np.ma.masked_array(x, x > 0), tensor.clone().requires_grad_(), x + 0j):
        with pytest.raises(TypeError, match=r"^x "):
            api.gates.train(W, wrong)
    with pytest.raises(TypeError, match="gates is a masked array"):
        api.QTensor(RAW, "q8_0", (N, K)).pack(gates=np.ma.masked_equal([True, False], True))


@pytest.mark.parametrize("role", OUTS)
def test_out_is_an_array_and_nothing_else(role: str) -> None:
    shape, call = OUTS[role]
    arrays = [np.zeros(shape, dtype) for dtype in (np.float64, np.int32, ">f4", "?", object)]
    tensors = [torch.zeros(shape, dtype=dtype) for dtype in (torch.float64, torch.int32)]
    masked = np.ma.zeros(shape, np.float32)
    for wrong in (*arrays, *tensors, masked, arrays[0].tolist(), type(None), "abc", W):
        with pytest.raises(TypeError, match=r"^out\b"):
            call(wrong)


@pytest.mark.parametrize("role", BYTES)
def test_weights_are_bytes_and_nothing_else(role: str) -> None:
    for wrong in (RAW.astype(np.int8), RAW.tolist(), RAW.astype(np.float64), b"abc", None,
                  torch.from_numpy(RAW.astype(np.float32)), np.ma.masked_array(RAW)):  # fmt: skip
        with pytest.raises(TypeError, match=r"^(raw )?weights\b"):
            BYTES[role](wrong)


@pytest.mark.parametrize("dtype", [np.float16, "float16", "half", "<f2", torch.float16, "e"])
def test_dequantize_takes_every_name_of_a_dtype(dtype: Any) -> None:
    np.testing.assert_array_equal(qk.dequantize(W, dtype=dtype), qk.dequantize(W, dtype="float16"))
    tensor = qk.dequantize(torch.from_numpy(RAW), "q8_0", dtype=dtype)
    assert tensor.dtype == torch.float16


def test_dequantize_has_bfloat16_for_numpy_where_ml_dtypes_brings_it() -> None:
    for dtype in (ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16), "bfloat16", torch.bfloat16):
        y = qk.dequantize(W, dtype=dtype)
        assert y.dtype == np.dtype(ml_dtypes.bfloat16)
    torch_weights = qk.QTensor(torch.from_numpy(RAW), "q8_0", (N, K))
    assert qk.dequantize(torch_weights, dtype=ml_dtypes.bfloat16).dtype == torch.bfloat16
    for wrong in (np.float64, ">f4", "int8", torch.int8, "\0", "\ud800", float):
        with pytest.raises(ValueError, match="is not one of float32, float16"):
            qk.dequantize(W, dtype=wrong)
    for kind in (3.5, [], object()):
        with pytest.raises((TypeError, ValueError), match="dtype"):
            qk.dequantize(W, dtype=kind)


def test_float16_results_overflow_to_infinity() -> None:
    weights = qk.quantize(np.full((2, 32), 3e5, np.float32), "q8_0")
    assert np.isposinf(qk.dequantize(weights, dtype="float16")).all()
    assert np.isposinf(qk.get_rows(weights, [0], out=np.zeros((1, 32), np.float16))).all()
    out = np.zeros(2, np.float16)
    assert np.isposinf(qk.gemv(weights, np.ones(32, np.float32), out=out)).all()


def test_a_float16_cache_keeps_what_overflows_as_infinity() -> None:
    keys = np.full((1, 1, 8), 1e5, np.float32)
    for dtype, holds in (("float16", False), ("float32", True)):
        cache = qk.KVCache(1, 8, 1, dtype)
        cache.append(keys * 0, keys)
        y = qk.attention(np.ones((1, 1, 8), np.float32), cache)
        assert np.isposinf(y).all() != holds
        assert (y == 1e5).all() == holds


@pytest.mark.parametrize("threads", [1, 2])
def test_get_rows_and_rope_take_threads(threads: int) -> None:
    heads = np.random.default_rng(5).standard_normal((4, 300, 32)).astype(np.float32)
    np.testing.assert_array_equal(qk.rope(heads, 3, threads=threads), qk.rope(heads, 3))
    ids = np.arange(300) % N
    np.testing.assert_array_equal(qk.get_rows(W, ids, threads=threads), qk.get_rows(W, ids))
    for call in (lambda: qk.rope(heads, 3, threads=0), lambda: qk.get_rows(W, ids, threads=0)):
        with pytest.raises(ValueError, match=r"threads=0 is outside 1\.\.256"):
            call()


NUMBERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "base": (lambda v: api.rope(np.ones((1, 3, 64), np.float32), 1, base=v), "base"),
    "scale": (lambda v: api.rope(np.ones((1, 3, 64), np.float32), 1, scale=v), "scale"),
    "scale of attention": (
        lambda v: api.attention(*[np.ones((1, 1, 8), np.float32)] * 3, scale=v), "scale"),
    "eps": (lambda v: api.rmsnorm_linear(X, X, W, eps=v), "eps"),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_checked_as_they_are_used(name: str) -> None:
    call, what = NUMBERS[name]
    for value, shown in ((10**400, "1000"), (float("nan"), "nan"), (float("inf"), "inf"),
                         (-float("inf"), "-inf"), (10**5000, "16610 bits")):  # fmt: skip
        with pytest.raises(ValueError, match=rf"{what}\b.*{shown}"):
            call(value)
    for kind in ("1", None, 1j, np.ones(2), np.ma.masked, np.complex64(1), b"1", [1.0]):
        if name == "scale of attention" and kind is None:
            continue
        with pytest.raises(TypeError, match=rf"^{what} must be a number"):
            call(kind)
    for same in (np.float32(1), np.int8(1), True, torch.tensor(1.0), np.array(1.0)):
        np.testing.assert_array_equal(call(same), call(1.0))


def test_a_base_that_makes_infinite_angles_is_refused() -> None:
    heads = np.ones((1, 3, 64), np.float32)
    for options in ({"base": 5e-324}, {"scale": 5e-324}, {"scale": 1e-300}):
        with pytest.raises(ValueError, match="angles past the doubles"):
            api.rope(heads, [0, 1, 2**62], **options)
    assert np.isfinite(qk.rope(heads, 2**62, base=1e300)).all()


def test_eps_that_float32_cannot_hold_is_refused() -> None:
    for eps in (1e-50, 1e300, -1e-50):
        with pytest.raises(ValueError, match=re.escape(f"eps={eps:g} is not 0 or a positive")):
            qk.rmsnorm_linear(X, X, W, eps=eps)
