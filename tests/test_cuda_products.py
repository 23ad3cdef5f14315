"""Products on the emulated device from Python: every format and kind of activation."""

from math import erf
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import qkernels as qk
from emulated_cuda import Emulator, launches, on_device
from weights import SANITIZED, bound, dense, relative_error, tensor

NDArray = np.ndarray[Any, Any]

N = 16 if SANITIZED else 40
K = 300  # no multiple of any block but the floats'


def draw(m: int, k: int = K, seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).standard_normal((m, k), np.float32)


def silu(x: NDArray) -> NDArray:
    return np.asarray(x / (1 + np.exp(-x)))


@pytest.mark.parametrize("packed", [False, True], ids=["native", "packed"])
def test_products_are_within_the_bound(
    emulator: Emulator, fmt: str, act: str, packed: bool
) -> None:
    weights = tensor(fmt, N, K)
    on = weights.to("cuda", pack=packed)
    x = draw(9)
    reference = x.astype(np.float64) @ dense(weights).T
    for m in (2, 9):  # 9 is 8 and 1
        y = qk.cuda.gemm(on, on_device(x[:m]), act=act).numpy()
        assert y.shape == (m, N)
        assert relative_error(y, reference[:m]) < bound(act, fmt), f"m={m}"


@pytest.mark.parametrize("m", [0, 1, 2, 8, 9, 33])
def test_eight_rows_are_two_launches(emulator: Emulator, act: str, m: int) -> None:
    weights = tensor("q4_k", N, K)
    on, x = weights.to("cuda"), draw(m)
    array = on_device(x)
    emulator.take_log()
    y = qk.cuda.gemm(on, array, act=act)
    assert len(launches(emulator.take_log())) == 2 * -(-m // 8)
    assert y.shape == (m, N)
    if m > 0:
        assert relative_error(y.numpy(), x.astype(np.float64) @ dense(weights).T) < bound(
            act, "q4_k"
        )


def test_rows_do_not_depend_on_the_weights_beside_them(emulator: Emulator, act: str) -> None:
    weights, x = tensor("q4_k", N, K), on_device(draw(1)[0])
    whole = qk.cuda.gemv(weights.to("cuda"), x, act=act).numpy()
    part = qk.cuda.gemv(weights[5:12].to("cuda"), x, act=act).numpy()
    assert (whole[5:12] == part).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_x_may_have_any_dtype_of_floats(emulator: Emulator, dtype: Any) -> None:
    weights = tensor("q6_k", N, K)
    x = draw(3).astype(dtype)
    y = qk.cuda.gemm(weights.to("cuda"), on_device(x)).numpy()
    reference = x.astype(np.float64) @ dense(weights).T
    assert relative_error(y, reference) < bound("int16", "q6_k")


@pytest.mark.parametrize(
    ("dtype", "step"), [("float32", 0.0), ("float16", 2e-3), ("bfloat16", 8e-3)]
)
def test_out_may_have_any_dtype_of_floats(emulator: Emulator, dtype: str, step: float) -> None:
    on, x = tensor("q6_k", N, K).to("cuda"), on_device(draw(3))
    exact = qk.cuda.gemm(on, x).numpy()
    out = qk.cuda.DeviceArray((3, N), dtype)
    assert qk.cuda.gemm(on, x, out=out) is out
    np.testing.assert_allclose(out.numpy(), exact, rtol=step, atol=0)


def test_leading_dimensions_are_all_of_the_batch(emulator: Emulator) -> None:
    on, x = tensor("q4_0", N, K).to("cuda"), draw(6)
    flat = qk.cuda.gemm(on, on_device(x)).numpy()
    y = qk.cuda.gemm(on, on_device(x.reshape(2, 3, K)))
    assert y.shape == (2, 3, N)
    assert (y.numpy().reshape(6, N) == flat).all()


FUNCTIONS: dict[str | None, Any] = {
    None: lambda x: x,
    "silu": silu,
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))),
    "gelu_sigmoid": lambda x: x / (1 + np.exp(-1.702 * x)),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("m", [1, 9])
def test_bias_and_function_come_before_the_store(
    emulator: Emulator, function: str | None, m: int
) -> None:
    weights, x, bias = tensor("q5_k", N, K), draw(m) / 8, draw(1, N, seed=1)[0]
    array, bias_array, on = on_device(x), on_device(bias), weights.to("cuda")
    emulator.take_log()
    y = qk.cuda.gemm(on, array, bias=bias_array, function=function)
    assert len(launches(emulator.take_log())) == 2 * -(-m // 8)
    reference = FUNCTIONS[function](x.astype(np.float64) @ dense(weights).T + bias)
    assert relative_error(y.numpy(), reference) < bound("int16", "q5_k")


@pytest.mark.parametrize("m", [1, 8, 9])
@pytest.mark.parametrize("biased", [False, True])
def test_a_gated_projection_is_one_product(emulator: Emulator, m: int, biased: bool) -> None:
    gate, up, x = tensor("q4_k", N, K, seed=1), tensor("q4_k", N, K, seed=2), draw(m) / 8
    biases = draw(2, N, seed=3) if biased else np.zeros((2, N), np.float32)
    on_biases = [on_device(bias) if biased else None for bias in biases]
    array, gate_on, up_on = on_device(x), gate.to("cuda"), up.to("cuda")
    emulator.take_log()
    y = qk.cuda.swiglu_proj(array, gate_on, up_on, bias=on_biases[0], up_bias=on_biases[1])
    assert len(launches(emulator.take_log())) == 2 * -(-m // 8)
    x64 = x.astype(np.float64)
    reference = silu(x64 @ dense(gate).T + biases[0]) * (x64 @ dense(up).T + biases[1])
    assert relative_error(y.numpy(), reference) < 2 * bound("int16", "q4_k")


@pytest.mark.parametrize("packed", [False, True], ids=["native", "packed"])
def test_weights_decode_to_the_bits_of_the_cpu(emulator: Emulator, fmt: str, packed: bool) -> None:
    weights = tensor(fmt, 5, K)
    decoded = qk.cuda.dequantize(weights.to("cuda", pack=packed), out=qk.cuda.DeviceArray((5, K)))
    assert (decoded.numpy().view("u4") == np.asarray(weights.dequantize()).view("u4")).all()


def test_decoding_takes_other_dtypes(emulator: Emulator) -> None:
    weights = tensor("q8_0", 5, K)
    on = weights.to("cuda")
    for dtype in ("float16", "bfloat16"):
        out = qk.cuda.DeviceArray((5, K), dtype)
        assert qk.dequantize(on, out=out) is out
        np.testing.assert_allclose(out.numpy(), weights.dequantize(), rtol=4e-3, atol=1e-6)


def test_the_operators_of_the_package_take_weights_on_a_device(emulator: Emulator) -> None:
    weights, x = tensor("iq4_xs", N, K), draw(2)
    on, array = weights.to("cuda"), on_device(x)
    vector = on_device(x[0])
    expected = qk.cuda.gemm(on, array).numpy()
    assert (qk.gemm(on, array, "iq4_xs").numpy() == expected).all()
    assert (qk.gemv(on, vector).numpy() == qk.cuda.gemv(on, vector).numpy()).all()
    assert ((on @ vector).numpy() == qk.cuda.gemv(on, vector).numpy()).all()
    with pytest.raises(ValueError, match="disagrees with the weights, which are iq4_xs"):
        qk.gemm(on, array, "q4_0")
    wrong: Any = qk.gemm
    with pytest.raises(TypeError, match="threads=2 is for weights on the CPU"):
        wrong(on, array, threads=2)


@pytest.mark.parametrize("approximate", ["none", "tanh", "sigmoid"])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize("biased", [False, True])
def test_gelu_is_in_place(emulator: Emulator, approximate: str, dtype: str, biased: bool) -> None:
    x = (draw(7, 33) * 3).astype(dtype)
    bias = draw(1, 33, seed=1)[0] if biased else np.zeros(33, np.float32)
    array = on_device(x)
    bias_array = on_device(bias) if biased else None
    emulator.take_log()
    assert qk.cuda.gelu_(array, bias_array, approximate) is array
    assert len(emulator.take_log()) == 1
    v = x.astype(np.float64) + bias
    exact = {
        "none": v * 0.5 * (1 + np.vectorize(erf)(v / np.sqrt(2))),
        "tanh": FUNCTIONS["gelu_tanh"](v),
        "sigmoid": FUNCTIONS["gelu_sigmoid"](v),
    }[approximate]
    rounding = {"f4": 1e-6, "f2": 1e-3}[dtype]
    np.testing.assert_allclose(array.numpy(), exact, rtol=rounding, atol=rounding)


def test_a_call_with_out_allocates_nothing_and_waits_for_nothing(emulator: Emulator) -> None:
    on, x, out = tensor("q4_k", N, K).to("cuda"), on_device(draw(8)), qk.cuda.DeviceArray((8, N))
    qk.cuda.gemm(on, x, out=out)
    emulator.take_log()
    qk.cuda.gemm(on, x, out=out)
    assert [line.split()[0] for line in emulator.take_log()] == ["launch", "launch"]


def test_work_goes_to_the_stream_that_is_named(emulator: Emulator) -> None:
    class Stream:
        cuda_stream = 0x70

    on, x = tensor("q4_k", N, K).to("cuda"), on_device(draw(1)[0])
    for stream in (0x70, Stream()):
        emulator.take_log()
        y = qk.cuda.gemv(on, x, stream=stream)
        log = emulator.take_log()
        assert [line.split()[1] for line in launches(log)] == ["stream=0x70"] * 2
        assert "wait stream=0x70 for=0x1" in log  # x was written on the default stream
        assert y.stream == 0x70
