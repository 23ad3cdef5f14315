"""Arrays in and out: NumPy and torch, every dtype and stride, no copies, no surprises."""

import subprocess
import sys
import threading
import time
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import qkernels as qk
from axes import SOME_FORMATS
from weights import bound, dense, random_weights, relative_error, tensor

N, K = 130, 288


@pytest.fixture(params=SOME_FORMATS)
def fmt(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def weights(fmt: str) -> qk.QTensor:
    return tensor(fmt, N, K)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((4, K)).astype(np.float32)


DTYPES: list[Any] = [np.float32, np.float16, ml_dtypes.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_x_of_every_float_dtype_is_taken_at_its_own_precision(
    weights: qk.QTensor, x: np.ndarray, dtype: Any
) -> None:
    low = x.astype(dtype)
    np.testing.assert_array_equal(qk.gemm(weights, low), qk.gemm(weights, low.astype(np.float32)))
    np.testing.assert_array_equal(
        qk.gemv(weights, low[0]), qk.gemv(weights, low[0].astype(np.float32))
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_x_may_have_any_strides(weights: qk.QTensor, x: np.ndarray, dtype: Any) -> None:
    plain = x.astype(dtype)
    expected = qk.gemm(weights, plain)
    room = np.zeros((8, 3 * K), dtype)
    room[::2, ::3] = plain
    backwards = np.ascontiguousarray(plain[::-1, ::-1])[::-1, ::-1]
    column_major = np.asfortranarray(plain)
    for view in (room[::2, ::3], backwards, column_major):
        assert not view.flags.c_contiguous
        np.testing.assert_array_equal(qk.gemm(weights, view), expected)
    repeated = np.broadcast_to(plain[0], (4, K))
    np.testing.assert_array_equal(qk.gemm(weights, repeated), np.tile(expected[:1], (4, 1)))


def test_leading_dimensions_are_batch_dimensions(weights: qk.QTensor) -> None:
    x = np.random.default_rng(2).standard_normal((2, 3, 4, K)).astype(np.float32)
    y = qk.gemm(weights, x)
    assert y.shape == (2, 3, 4, N)
    np.testing.assert_array_equal(y.reshape(24, N), qk.gemm(weights, x.reshape(24, K)))
    swapped = x.transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(qk.gemm(weights, swapped), y.transpose(1, 0, 2, 3))
    assert qk.gemm(weights, x[:, :0]).shape == (2, 0, 4, N)
    np.testing.assert_array_equal(qk.gemm(weights, x[0, 0, 0]), qk.gemv(weights, x[0, 0, 0]))


def test_misaligned_weights_x_and_out_work(fmt: str) -> None:
    raw = random_weights(fmt, N, K)
    x = np.random.default_rng(3).standard_normal(K).astype(np.float32)
    expected = qk.gemv(raw, x, fmt)
    shifted = np.empty(raw.nbytes + 1, np.uint8)[1:].reshape(raw.shape)
    shifted[...] = raw
    x_bytes = np.empty(4 * K + 1, np.uint8)[1:]
    x_bytes[...] = x.view(np.uint8)
    out = np.empty(4 * N + 1, np.uint8)[1:].view(np.float32)
    assert qk.gemv(shifted, x_bytes.view(np.float32), fmt, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_is_filled_in_its_own_dtype_and_returned(
    weights: qk.QTensor, x: np.ndarray, dtype: Any
) -> None:
    expected = qk.gemm(weights, x).astype(dtype)
    out = np.empty((4, N), dtype)
    assert qk.gemm(weights, x, out=out) is out
    np.testing.assert_array_equal(out, expected)
    room = np.full((9, 2 * N), 5, dtype)
    strided = room[1::2, ::2]
    assert qk.gemm(weights, x, out=strided) is strided
    np.testing.assert_array_equal(strided, expected)
    assert (room[0::2] == 5).all()
    assert (room[:, 1::2] == 5).all()
    transposed = np.empty((N, 4), dtype)
    qk.gemm(weights, x, out=transposed.T)
    np.testing.assert_array_equal(transposed.T, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bias_is_added_to_every_row(weights: qk.QTensor, x: np.ndarray, dtype: Any) -> None:
    bias = np.random.default_rng(4).standard_normal(2 * N).astype(dtype)[::2]
    expected = qk.gemm(weights, x) + bias.astype(np.float32)
    np.testing.assert_array_equal(qk.gemm(weights, x, bias=bias), expected)
    np.testing.assert_array_equal(qk.gemv(weights, x[0], bias=bias), expected[0])
    half = np.empty((4, N), np.float16)
    np.testing.assert_array_equal(
        qk.gemm(weights, x, bias=bias, out=half), expected.astype(np.float16)
    )


def test_torch_in_torch_out(weights: qk.QTensor, x: np.ndarray) -> None:
    tensor_x = torch.from_numpy(x)
    y = qk.gemm(weights, tensor_x)
    assert isinstance(y, torch.Tensor)
    assert y.dtype == torch.float32
    np.testing.assert_array_equal(y.numpy(), qk.gemm(weights, x))
    v = qk.gemv(weights, tensor_x[0])
    assert isinstance(v, torch.Tensor)
    np.testing.assert_array_equal(v.numpy(), qk.gemv(weights, x[0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_torch_dtypes_strides_bias_and_out(
    weights: qk.QTensor, x: np.ndarray, dtype: torch.dtype
) -> None:
    low = torch.from_numpy(x).to(dtype)
    column_major = low.t().contiguous().t()
    bias = torch.linspace(-1, 1, N).to(dtype)
    expected = torch.from_numpy(qk.gemm(weights, low.float().numpy(), bias=bias.float().numpy()))
    assert torch.equal(qk.gemm(weights, column_major, bias=bias), expected)
    out = torch.empty((4, N), dtype=dtype)
    assert qk.gemm(weights, low, bias=bias, out=out) is out
    assert torch.equal(out, expected.to(dtype))


def test_torch_out_is_written_in_place(weights: qk.QTensor, x: np.ndarray) -> None:
    room = torch.zeros(4, 2 * N)
    qk.gemm(weights, torch.from_numpy(x), out=room[:, N:])
    np.testing.assert_array_equal(room[:, N:].numpy(), qk.gemm(weights, x))
    assert (room[:, :N] == 0).all()


def test_torch_weights_are_viewed_not_copied(fmt: str, x: np.ndarray) -> None:
    raw = torch.from_numpy(random_weights(fmt, N, K).copy())
    weights = qk.QTensor(raw, fmt, (N, K))
    assert weights.data is raw
    before = qk.gemv(weights, x[0])
    raw.zero_()
    assert not np.array_equal(qk.gemv(weights, x[0]), before)
    assert isinstance(weights.dequantize(), torch.Tensor)
    assert isinstance(qk.get_rows(weights, torch.tensor([1, 2])), torch.Tensor)
    bfloat = qk.dequantize(weights, dtype="bfloat16")
    assert bfloat.dtype == torch.bfloat16


def test_a_gradient_is_refused_and_no_grad_is_not(weights: qk.QTensor, x: np.ndarray) -> None:
    parameter = torch.from_numpy(x[0].copy()).requires_grad_()
    with pytest.raises(TypeError, match=r"x requires a gradient.*x\.detach\(\)"):
        qk.gemv(weights, parameter)
    with torch.no_grad():
        y = qk.gemv(weights, parameter)
    np.testing.assert_array_equal(y.numpy(), qk.gemv(weights, x[0]))


def test_activations_are_quantised_once_for_several_products(
    fmt: str, act: str, x: np.ndarray
) -> None:
    first, second = tensor(fmt, 64, K, seed=1), tensor(fmt, 96, K, seed=2)
    kind = "float32" if bound(act, fmt) == 2e-6 else act
    once = qk.quantize_activations(x, kind)
    assert (once.shape, once.act) == ((4, K), kind)
    np.testing.assert_array_equal(qk.gemm(first, once), qk.gemm(first, x, act=kind))
    np.testing.assert_array_equal(qk.gemm(second, once), qk.gemm(second, x, act=kind))
    from_torch = qk.quantize_activations(torch.from_numpy(x), kind)
    assert isinstance(qk.gemm(first, from_torch), torch.Tensor)


def test_subclasses_and_read_only_arrays_are_taken(weights: qk.QTensor, x: np.ndarray) -> None:
    class Sub(np.ndarray):
        pass

    expected = qk.gemv(weights, x[0])
    np.testing.assert_array_equal(qk.gemv(weights, x[0].view(Sub)), expected)
    frozen = x[0].copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(qk.gemv(weights, frozen), expected)


def test_matmul_reads_as_mathematics(weights: qk.QTensor, x: np.ndarray) -> None:
    np.testing.assert_array_equal(weights @ x[0], qk.gemv(weights, x[0]))
    np.testing.assert_array_equal(weights @ x.T, qk.gemm(weights, x).T)
    assert relative_error(np.asarray(weights @ x.T), dense(weights) @ x.T.astype(np.float64)) < 1e-4


def test_the_gil_is_released_while_a_kernel_runs() -> None:
    weights = tensor("q4_0", 4096, 4096)
    x = np.random.default_rng(5).standard_normal((256, 4096)).astype(np.float32)
    running = threading.Event()
    ticks: list[float] = []

    def count() -> None:
        while running.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    running.set()
    counter = threading.Thread(target=count)
    counter.start()
    time.sleep(0.005)
    begin = time.perf_counter()
    qk.gemm(weights, x, threads=1)
    end = time.perf_counter()
    running.clear()
    counter.join()
    inside = [t for t in ticks if begin < t < end]
    assert end - begin > 0.02, "the product is too short to show anything"
    assert len(inside) >= 3


def test_importing_qkernels_imports_neither_torch_nor_the_heavy_dependencies() -> None:
    heavy = ["torch", "gguf", "typer", "rich", "tokenizers", "tqdm"]
    code = f"import sys, qkernels; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
