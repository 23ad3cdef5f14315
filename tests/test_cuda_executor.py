"""The Executor: weights by name in reserved memory, products that return before they end."""

import itertools
import threading
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from emulated_cuda import Emulator, launches, on_device
from emulated_torch import EmulatedRuntime
from qkernels.cuda import _torch
from qkernels.cuda._memory import Memory
from qkernels.cuda._pool import Region
from weights import bound, dense, relative_error, tensor

NDArray = np.ndarray[Any, Any]

N, K = 24, 600
W = tensor("q4_k", N, K)
X = np.random.default_rng(0).standard_normal((8, K)).astype(np.float32)
REFERENCE = X.astype(np.float64) @ dense(W).T


def kinds(log: list[str]) -> list[str]:
    return [line.split()[0] for line in log]


@pytest.fixture
def executor(emulator: Emulator) -> qk.cuda.Executor:
    executor = qk.cuda.Executor()
    executor.reserve(1 << 20)
    executor.load("blk.0.attn_q.weight", W)
    return executor


NAME = "blk.0.attn_q.weight"


def test_weights_have_names_and_sizes(executor: qk.cuda.Executor) -> None:
    assert NAME in executor
    assert "blk.1" not in executor
    executor.load("other", tensor("q6_k", N, K))
    assert executor.names == (NAME, "other")
    assert executor.nbytes == W.to(0).nbytes + tensor("q6_k", N, K).to(0).nbytes
    assert executor.reserved == 1 << 20
    assert executor.nbytes < executor.reserved - executor.free < executor.reserved
    assert repr(executor).startswith("Executor(cuda:0, 2 weights, ")
    executor.unload(NAME)
    assert list(executor.names) == ["other"]


def test_loading_never_allocates_inside_the_reserved_size(emulator: Emulator) -> None:
    executor = qk.cuda.Executor()
    executor.reserve(1 << 20)
    emulator.take_log()
    for i in range(6):
        executor.load(f"w{i}", tensor("q4_k", N, K + 256 * i))  # scratch grows with k
    for i in (1, 2, 4):
        executor.unload(f"w{i}")
    executor.load("again", tensor("q4_k", 2 * N, K))
    assert "malloc" not in kinds(emulator.take_log())


def test_what_does_not_fit_is_allocated_and_freed_by_itself(emulator: Emulator) -> None:
    executor = qk.cuda.Executor()
    executor.reserve(1000)
    emulator.take_log()
    executor.load("w", W)
    log = emulator.take_log()
    assert f"malloc {executor.nbytes}" in log
    y = executor.gemv("w", X)
    assert relative_error(y, REFERENCE) < bound("int16", "q4_k")
    emulator.take_log()
    executor.unload("w")
    assert kinds(emulator.take_log()) == ["synchronize", "free"]


def test_memory_is_reused_only_after_the_device_is_done_with_it(emulator: Emulator) -> None:
    executor = qk.cuda.Executor()
    executor.reserve(1 << 20)
    executor.load("a", W)
    free = executor.free
    emulator.take_log()
    executor.unload("a")
    assert emulator.take_log() == ["synchronize device=0"]
    executor.load("b", W)
    assert executor.free == free


@pytest.mark.parametrize("act", ["int16", "float32", "int8"])
@pytest.mark.parametrize("m", [None, 1, 8])
def test_products_of_device_arrays_are_asynchronous(
    executor: qk.cuda.Executor, emulator: Emulator, act: str, m: int | None
) -> None:
    x = X[0] if m is None else X[:m]
    array, out = on_device(x), qk.cuda.DeviceArray((*x.shape[:-1], N))
    emulator.take_log()
    assert executor.gemv(NAME, array, act, out) is out
    assert kinds(emulator.take_log()) == ["launch", "launch"]
    reference = REFERENCE[0] if m is None else REFERENCE[:m]
    assert relative_error(out.numpy(), reference) < bound(act, "q4_k")
    assert (executor.gemv(NAME, array, act).numpy() == out.numpy()).all()


@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize("shape", [(K,), (8, K), (17, K), (2, 3, K), (0, K)])
def test_products_of_numpy_arrays_come_back_to_the_host(
    executor: qk.cuda.Executor, dtype: str, shape: tuple[int, ...]
) -> None:
    x = np.random.default_rng(3).standard_normal(shape).astype(dtype)
    y = executor.gemv(NAME, x)
    assert (y.shape, y.dtype) == ((*shape[:-1], N), np.float32)
    if x.size:
        reference = x.astype(np.float64) @ dense(W).T
        assert relative_error(y, reference) < bound("int16", "q4_k")
    out = np.zeros((*shape[:-1], 2 * N), np.float16)[..., ::2]
    assert executor.gemv(NAME, x, out=out) is out
    assert (out == y.astype(np.float16)).all()


def test_a_blocking_product_allocates_nothing_the_second_time(
    executor: qk.cuda.Executor, emulator: Emulator
) -> None:
    executor.gemv(NAME, X)
    emulator.take_log()
    executor.gemv(NAME, X)
    assert kinds(emulator.take_log()) == ["memcpy", "launch", "launch", "memcpy", "synchronize"]


def test_a_stream_s_scratch_is_there_after_its_first_use(
    emulator: Emulator,
) -> None:
    executor = qk.cuda.Executor(stream=0x60)
    executor.load("w", W)
    x, out = on_device(X), qk.cuda.DeviceArray((8, N))
    emulator.take_log()
    executor.gemv("w", x, out=out)  # load saw to the executor's own stream
    assert kinds(emulator.take_log()) == ["wait", "launch", "launch", "wait"]
    executor.gemv("w", x, out=out, stream=0x70)
    assert "malloc" in kinds(emulator.take_log())
    executor.gemv("w", x, out=out, stream=0x70)
    assert "malloc" not in kinds(emulator.take_log())
    executor.load("larger", tensor("q4_k", N, 8 * K))
    emulator.take_log()
    executor.gemv("larger", on_device(np.ones(8 * K, np.float32)), stream=0x70)
    log = emulator.take_log()
    assert [line for line in log if line.startswith("malloc")] == [
        f"malloc {32 * K}",  # x itself
        f"malloc {4 * N}",  # and the result
    ]


def test_calls_go_to_the_executor_s_stream_unless_they_name_another(emulator: Emulator) -> None:
    executor = qk.cuda.Executor(stream=0x60)
    executor.load("w", W)
    x = on_device(X)
    for stream, expected in ((None, "0x60"), (0x70, "0x70")):
        emulator.take_log()
        q8 = executor.quantize_q8(x, stream=stream)
        executor.gemv_q8("w", q8, stream=stream)
        executor.gemv("w", x, stream=stream)
        executor.gemv("w", X, stream=stream)
        executor.gelu_(on_device(X), stream=stream)
        streams = {line.split()[1] for line in launches(emulator.take_log())}
        assert streams == {f"stream={expected}"}


def test_quantized_activations_are_q8_1(executor: qk.cuda.Executor) -> None:
    x = X[:3].copy()
    x[1] *= 1e25  # a row outside [2^-64, 2^64)
    q8 = executor.quantize_q8(on_device(x))
    quants, scales, sums = q8.numpy()
    groups = -(-K // 32)
    assert (quants.shape, scales.shape, sums.shape) == ((3, groups, 32), (3, groups), (3, groups))
    padded = np.zeros((3, groups, 32))
    padded.reshape(3, -1)[:, :K] = x
    np.testing.assert_allclose(scales, np.abs(padded).max(axis=2) / 127, rtol=1e-6)
    assert (np.abs(quants * scales[..., None].astype(np.float64) - padded)
            <= 0.5001 * scales[..., None]).all()  # fmt: skip
    np.testing.assert_allclose(sums, scales * quants.sum(axis=2), rtol=1e-6, atol=0)


@pytest.mark.parametrize("m", [None, 1, 4, 8])
def test_quantizing_once_serves_several_products(
    executor: qk.cuda.Executor, emulator: Emulator, m: int | None
) -> None:
    executor.load("other", tensor("q8_0", 5, K))
    x = X[0] if m is None else X[:m]
    array = on_device(x)
    q8 = executor.quantize_q8(array)
    out = qk.cuda.DeviceArray((*x.shape[:-1], N))
    emulator.take_log()
    assert executor.quantize_q8(array, out=q8) is q8
    assert executor.gemv_q8(NAME, q8, out) is out
    assert kinds(emulator.take_log()) == ["launch", "launch"]
    assert (out.numpy() == executor.gemv(NAME, array, "int8").numpy()).all()
    assert executor.gemv_q8("other", q8).shape == (*x.shape[:-1], 5)


def test_a_product_waits_for_the_stream_that_quantized(
    executor: qk.cuda.Executor, emulator: Emulator
) -> None:
    q8 = executor.quantize_q8(on_device(X), stream=0x70)
    emulator.take_log()
    executor.gemv_q8(NAME, q8)
    assert "wait stream=(nil) for=0x70" in emulator.take_log()


def test_gelu_runs_in_place(executor: qk.cuda.Executor) -> None:
    t = on_device(X)
    assert executor.gelu_(t, on_device(X[0]), "tanh") is t
    expected = torch.nn.functional.gelu(torch.from_numpy(X + X[0]), approximate="tanh")
    np.testing.assert_allclose(t.numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)


def test_tensors_run_on_torch_s_stream(
    executor: qk.cuda.Executor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_torch, "runtime", EmulatedRuntime())
    with emulator.owning_host_memory(0):
        x = torch.from_numpy(X)
        executor.gemv(NAME, x)
        emulator.take_log()
        y = executor.gemv(NAME, x)
        log = emulator.take_log()
    assert isinstance(y, torch.Tensor)
    assert [line.split()[:2] for line in log] == [["launch", "stream=0x50"]] * 2
    assert relative_error(y.numpy(), REFERENCE) < bound("int16", "q4_k")


def test_the_second_device_is_one_too(emulator: Emulator) -> None:
    with qk.cuda.Executor(1) as executor:
        executor.reserve(1 << 20)
        executor.load("w", W)
        assert executor.device == "cuda:1"
        y = executor.gemv("w", on_device(X, device=1))
        assert y.device == "cuda:1"
        assert relative_error(y.numpy(), REFERENCE) < bound("int16", "q4_k")


def test_closing_frees_everything(emulator: Emulator) -> None:
    emulator.take_log()
    with qk.cuda.Executor() as executor:
        executor.reserve(50_000)
        executor.load("reserved", W)
        executor.load("beyond", tensor("q4_k", 10 * N, K))
        executor.gemv("reserved", X)
    log = kinds(emulator.take_log())
    assert log.count("malloc") == log.count("free") >= 3
    executor.close()
    assert repr(executor) == "Executor(cuda:0, closed)"


def test_threads_may_share_an_executor(executor: qk.cuda.Executor) -> None:
    """One at a time runs here: that no call waits for itself is what this shows."""
    results: list[NDArray] = []
    threads = [
        threading.Thread(target=lambda: results.append(executor.gemv(NAME, X))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
        thread.join()
    assert (results[0] == results[1]).all()


def region(nbytes: int) -> Region:
    return Region(Memory(0, nbytes))


def test_a_region_gives_its_first_gap_and_joins_what_is_freed(emulator: Emulator) -> None:
    whole = region(256 * 10)
    blocks = [whole.take(n) for n in (256, 300, 1, 1024)]
    assert all(block is not None for block in blocks)
    a, b, c, d = (block for block in blocks if block is not None)
    assert [block.pointer - whole.memory.pointer for block in (a, b, c, d)] == [0, 256, 768, 1024]
    assert whole.gaps == [(2048, 512)]
    b.free()
    d.free()
    assert whole.gaps == [(256, 512), (1024, 1536)]
    c.free()
    c.free()
    assert whole.gaps == [(256, 2304)]
    assert whole.take(2305) is None
    again = whole.take(2304)
    assert again is not None
    assert whole.gaps == []
    with pytest.raises(ValueError, match="300 reserved bytes were used after they were freed"):
        _ = b.pointer
    a.free()
    again.free()
    assert whole.gaps == [(0, 2560)]


def test_random_takes_and_frees_never_overlap(emulator: Emulator) -> None:
    rng = np.random.default_rng(0)
    whole = region(1 << 16)
    held: list[Any] = []
    for _ in range(500):
        if held and rng.random() < 0.45:
            held.pop(int(rng.integers(len(held)))).free()
        block = whole.take(int(rng.integers(1, 5000)))
        if block is not None:
            held.append(block)
        spans = sorted((b.pointer, b.pointer + b.nbytes) for b in held)
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
        assert all(0 <= o < o + s <= 1 << 16 for o, s in whole.gaps)
    for block in held:
        block.free()
    assert whole.gaps == [(0, 1 << 16)]
