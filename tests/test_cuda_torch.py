"""torch's tensors. CPU tensors stand for CUDA ones: the emulated device's memory is the host's."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from emulated_cuda import Emulator, launches, on_device
from emulated_torch import STREAM, EmulatedRuntime
from qkernels.cuda import _large, _torch
from weights import bound, dense, relative_error, tensor

NDArray = np.ndarray[Any, Any]

N, K = 40, 300


@pytest.fixture
def runtime(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedRuntime]:
    stub = EmulatedRuntime()
    monkeypatch.setattr(_torch, "runtime", stub)
    with emulator.owning_host_memory(0):
        yield stub


def draw(m: int, k: int = K, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((m, k), np.float32))


def exact(x: torch.Tensor, weights: qk.QTensor) -> NDArray:
    return np.asarray(x.double().numpy() @ dense(weights).T)


@pytest.mark.parametrize("m", [0, 1, 2, 8, 9, 33])
@pytest.mark.parametrize("name", ["q4_k", "q5_0", "iq2_xs", "bf16"])
def test_tensors_in_tensors_out(runtime: EmulatedRuntime, act: str, m: int, name: str) -> None:
    weights, x = tensor(name, N, K), draw(m)
    y = qk.cuda.gemm(weights.to(0), x, act=act)
    assert isinstance(y, torch.Tensor)
    assert y.dtype == torch.float32
    assert y.shape == (m, N)
    if m > 0:
        assert relative_error(y.numpy(), exact(x, weights)) < bound(act, name)


def test_small_batches_are_two_launches_on_torch_s_stream(
    runtime: EmulatedRuntime, emulator: Emulator
) -> None:
    on = tensor("q4_k", N, K).to(0)
    x = draw(8)
    emulator.take_log()
    qk.gemm(on, x)
    assert [line.split()[:2] for line in emulator.take_log()] == [["launch", "stream=0x50"]] * 2
    assert set(runtime.used) == {STREAM}


@pytest.mark.parametrize("tile_rows", [1, 7, 1000])
@pytest.mark.parametrize("gated", [False, True])
def test_large_batches_go_through_tiles_of_decoded_weights(
    runtime: EmulatedRuntime,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    act: str,
    tile_rows: int,
    gated: bool,
) -> None:
    item = 2 if act == "int8" else 4
    monkeypatch.setattr(_large, "TILE_BYTES", tile_rows * K * item)
    weights, up, x = tensor("q4_k", N, K), tensor("q4_k", N, K, seed=1), draw(12) / 8
    bias, up_bias = draw(2, N, seed=1)
    on, up_on = weights.to(0), up.to(0)
    emulator.take_log()
    gate = exact(x, weights) + bias.numpy()
    if gated:
        y = qk.cuda.swiglu_proj(x, on, up_on, bias=bias, up_bias=up_bias, act=act)
        reference = gate / (1 + np.exp(-gate)) * (exact(x, up) + up_bias.numpy())
    else:
        y = qk.cuda.gemm(on, x, bias=bias, act=act)
        reference = gate
    # each tile is decoded, multiplied by torch, and finished
    assert len(launches(emulator.take_log())) == -(-N // min(tile_rows, N)) * (4 if gated else 2)
    assert relative_error(y.numpy(), reference) < (2 if gated else 1) * bound(act, "q4_k")


def test_float32_keeps_its_bound_in_long_sums(runtime: EmulatedRuntime) -> None:
    weights, x = tensor("q8_0", 16, 4352), draw(32, 4352)
    y = qk.cuda.gemm(weights.to(0), x, act="float32")
    assert relative_error(y.numpy(), exact(x, weights)) < bound("float32", "q8_0")


Way = Callable[[], object]
SETTINGS: dict[str, tuple[bool, Way]] = {  # whether TF32 is allowed, and how that is said
    "nothing": (False, lambda: None),
    "matmul": (True, lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32")),
    "all": (True, lambda: setattr(torch.backends, "fp32_precision", "tf32")),
    "earlier name": (True, lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True)),
    "high": (True, lambda: torch.set_float32_matmul_precision("high")),
    "medium": (True, lambda: torch.set_float32_matmul_precision("medium")),
    "highest": (False, lambda: torch.set_float32_matmul_precision("highest")),
}


@pytest.fixture
def precision() -> Iterator[None]:
    """torch's settings are as before afterwards."""
    everywhere: Any = torch.backends
    before = [(s, s.fp32_precision) for s in (everywhere.cuda.matmul, everywhere)]
    earlier = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(earlier)
    for settings, value in reversed(before):
        settings.fp32_precision = value


def rounded_to_tf32(x: torch.Tensor) -> torch.Tensor:
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.usefixtures("precision")
def test_bounds_hold_whether_tf32_is_allowed_or_not(
    runtime: EmulatedRuntime, monkeypatch: pytest.MonkeyPatch, act: str, setting: str
) -> None:
    """And the setting, which is the process's, stays what the caller made it."""
    allowed, say = SETTINGS[setting]
    say()
    settings: Any = torch.backends.cuda.matmul
    before = (settings.fp32_precision, torch.backends.fp32_precision)  # type: ignore[attr-defined]
    assert _large.tf32_is_allowed() == allowed
    product = torch.mm
    add = torch.Tensor.addmm_

    def taken(x: torch.Tensor) -> torch.Tensor:
        """What a device makes of an operand."""
        assert (settings.fp32_precision, torch.backends.fp32_precision) == before  # type: ignore[attr-defined]
        return rounded_to_tf32(x) if allowed and x.dtype == torch.float32 else x

    monkeypatch.setattr(torch, "mm", lambda x, y: product(taken(x), taken(y)))
    monkeypatch.setattr(torch.Tensor, "addmm_", lambda t, x, y: add(t, taken(x), taken(y)))
    weights, x = tensor("q8_0", 16, 4352), draw(32, 4352)
    reference = exact(x, weights)
    y = qk.cuda.gemm(weights.to(0), x, act=act)
    assert relative_error(y.numpy(), reference) < bound(act, "q8_0")
    if allowed and act != "int8":  # such a product would not do by itself
        plain = torch.mm(x, torch.from_numpy(dense(weights).astype(np.float32)).T)
        assert relative_error(plain.numpy(), reference) > bound(act, "q8_0")


@pytest.mark.usefixtures("precision")
def test_tf32_that_another_thread_allows_during_a_product_does_not_reach_it(
    runtime: EmulatedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = torch.mm

    def interrupted(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        torch.backends.cuda.matmul.allow_tf32 = True
        return product(rounded_to_tf32(x), rounded_to_tf32(y))

    monkeypatch.setattr(torch, "mm", interrupted)
    weights, x = tensor("q8_0", N, K), draw(12)
    y = qk.cuda.gemm(weights.to(0), x)
    assert relative_error(y.numpy(), exact(x, weights)) < bound("int16", "q8_0")


def test_the_variable_of_cublas_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    assert _large.tf32_is_allowed()
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert not _large.tf32_is_allowed()


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_two_parts_of_a_float_keep_22_bits_and_each_is_exact_in_tf32(size: float) -> None:
    x = draw(20) * size
    high, low = _large._parts(x)
    for part in (high, low):
        assert torch.equal(part, rounded_to_tf32(part))
    assert ((high.double() + low.double() - x.double()).abs() <= x.abs().double() * 2**-21).all()


@pytest.mark.parametrize("m", [3, 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_out_is_written_in_place(runtime: EmulatedRuntime, m: int, dtype: torch.dtype) -> None:
    on, x = tensor("q4_k", N, K).to(0), draw(m)
    wide = torch.full((m, N + 5), 7.0, dtype=dtype)
    out = wide[:, :N]
    assert qk.gemm(on, x, out=out) is out
    torch.testing.assert_close(wide[:, :N], qk.gemm(on, x).to(dtype))
    assert (wide[:, N:] == 7).all()


@pytest.mark.parametrize("m", [3, 20])
def test_x_may_have_any_strides_and_leading_dimensions(runtime: EmulatedRuntime, m: int) -> None:
    on, x = tensor("q4_k", N, K).to(0), draw(m)
    expected = qk.gemm(on, x)
    torch.testing.assert_close(qk.gemm(on, x.T.contiguous().T), expected, rtol=0, atol=0)
    twice = qk.gemm(on, x.expand(2, m, K))
    assert twice.shape == (2, m, N)
    torch.testing.assert_close(twice[1], expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(on @ x.T, expected.T, rtol=0, atol=0)


@pytest.mark.parametrize("m", [1, 9])
def test_biases_of_half_precision_are_converted(runtime: EmulatedRuntime, m: int) -> None:
    on, x, bias = tensor("q4_k", N, K).to(0), draw(m), draw(1, N)[0].bfloat16()
    y = qk.gemm(on, x, bias=bias)
    torch.testing.assert_close(y, qk.gemm(on, x) + bias.float(), rtol=1e-5, atol=1e-5)


def test_gelu_is_in_place_on_tensors(runtime: EmulatedRuntime) -> None:
    t, bias = draw(5, 24), draw(1, 24)[0]
    for approximate in ("none", "tanh"):
        expected = torch.nn.functional.gelu(t + bias, approximate=approximate)
        given = t.clone()
        assert qk.cuda.gelu_(given, bias, approximate) is given
        torch.testing.assert_close(given, expected, rtol=1e-6, atol=1e-6)


def test_decoding_gives_tensors_once_torch_is_imported(runtime: EmulatedRuntime) -> None:
    weights = tensor("q6_k", 5, K)
    dense_weights = weights.to(0).dequantize()
    assert isinstance(dense_weights, torch.Tensor)
    assert (dense_weights.numpy() == weights.dequantize()).all()
    half = qk.cuda.dequantize(weights.to(0), dtype="bfloat16")
    assert half.dtype == torch.bfloat16


def test_cuda_is_torch_s_current_device(runtime: EmulatedRuntime) -> None:
    assert tensor("q4_k", N, K).to("cuda").device == "cuda:1"
    assert tensor("q4_k", N, K).to(torch.device("cuda", 0)).device == "cuda:0"


def test_a_stream_of_its_own_waits_for_torch_s_and_keeps_its_tensors(
    runtime: EmulatedRuntime, emulator: Emulator
) -> None:
    on, x = tensor("q4_k", N, K).to(0), draw(2)
    emulator.take_log()
    qk.cuda.gemm(on, x, stream=0x70)
    log = emulator.take_log()
    assert log[0] == "wait stream=0x70 for=0x50"
    assert [line.split()[1] for line in log[1:]] == ["stream=0x70"] * 2
    assert set(runtime.used) == {0x70}
    assert set(runtime.recorded) == {0x70}


def test_results_may_go_to_arrays_of_other_libraries(runtime: EmulatedRuntime) -> None:
    on, x = tensor("q4_k", N, K).to(0), draw(12)
    out = qk.cuda.DeviceArray((12, N))
    qk.cuda.gemm(on, x, out=out)
    torch.testing.assert_close(
        torch.from_numpy(out.numpy()), qk.cuda.gemm(on, x), rtol=1e-3, atol=1e-3
    )


def test_a_gradient_is_refused_as_on_the_cpu(runtime: EmulatedRuntime) -> None:
    on, x = tensor("q4_k", N, K).to(0), draw(2).requires_grad_()
    with pytest.raises(TypeError, match=r"x requires a gradient.*pass x\.detach\(\)"):
        qk.gemm(on, x)
    with torch.no_grad():
        assert not qk.gemm(on, x).requires_grad


def test_tensors_of_another_device_are_refused_with_both_names(runtime: EmulatedRuntime) -> None:
    on, x = tensor("q4_k", N, K).to(0), draw(2)
    runtime.device = 1
    with pytest.raises(ValueError, match="x is on cuda:1, the weights on cuda:0"):
        qk.gemm(on, x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(K, dtype=torch.float64), "x has dtype torch.float64"),
        (torch.ones(K, device="meta"), "x is on meta"),
        (torch.ones(K).to_sparse(), r"x is a torch.sparse_coo tensor; pass x.to_dense\(\)"),
    ],
)
def test_tensors_of_other_kinds_are_refused(
    runtime: EmulatedRuntime, x: torch.Tensor, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        qk.gemm(tensor("q4_k", N, K).to(0), x)


def test_cpu_tensors_are_not_on_the_device(emulator: Emulator) -> None:
    on = tensor("q4_k", N, K).to(0)
    with pytest.raises(TypeError, match="x is on cpu; it must be on the weights' CUDA device"):
        qk.gemm(on, draw(2))
    with pytest.raises(TypeError, match="out is on cpu"):
        qk.gemm(on, on_device(draw(2)), out=draw(2, N))
