"""Weights on a device: where they go, what they take there, and what becomes of the memory."""

import gc
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from emulated_cuda import Emulator, on_device
from qkernels.cuda import _memory
from qkernels.cuda import upload as cuda_upload
from weights import random_weights, tensor

N, K = 12, 600
X = np.ones(K, np.float32)


def decoded(weights: qk.cuda.CudaTensor) -> Any:
    out = qk.cuda.DeviceArray(weights.shape, device=weights.device_number)
    return qk.cuda.dequantize(weights, out=out).numpy()


@pytest.mark.parametrize("device", ["cuda:1", 1, np.int64(1), torch.device("cuda", 1)])
def test_a_device_has_many_names(emulator: Emulator, device: Any) -> None:
    weights = tensor("q4_k", N, K)
    on = weights.to(device)
    assert (on.device, on.device_number) == ("cuda:1", 1)
    assert (decoded(on) == weights.dequantize()).all()
    assert weights.device == "cpu"


@pytest.mark.parametrize(
    ("device", "kind", "message"),
    [
        ("cpu", ValueError, "device 'cpu' is not 'cuda' or 'cuda:<number>'"),
        ("cuda:", ValueError, "device 'cuda:' is not"),
        ("cuda:x", ValueError, "device 'cuda:x' is not"),
        ("cuda:-1", ValueError, "device 'cuda:-1' is not"),
        ("mps", ValueError, "device 'mps' is not"),
        (torch.device("cpu"), ValueError, "device 'cpu' is not"),
        (-1, ValueError, "device -1 is negative"),
        (2, IndexError, r"device 2 is outside 0\.\.1"),
        ("cuda:9", IndexError, r"device 9 is outside 0\.\.1"),
        (1.0, TypeError, "device must be a str or an int, not float"),
        (None, TypeError, "not NoneType"),
    ],
)
def test_other_devices_are_refused(
    emulator: Emulator, device: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        tensor("q4_k", N, K).to(device)


def test_weights_say_what_they_are(emulator: Emulator) -> None:
    on = tensor("q6_k", N, K).to("cuda")
    assert (on.fmt, on.shape, on.k, len(on)) == ("q6_k", (N, K), K, N)
    assert (on.layout, tensor("q6_k", N, K).to(0, pack=False).layout) == ("packed", "native")
    assert on.nbytes >= N * 3 * 210
    assert repr(on) == "CudaTensor(q6_k, shape=(12, 600), packed, cuda:0)"


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("name", ["q4_k", "q6_k", "q8_0"])
@pytest.mark.parametrize("chunk", [1, 1000, 1 << 20])
def test_rows_are_copied_in_pieces(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, pack: bool, name: str, chunk: int
) -> None:
    monkeypatch.setattr(cuda_upload, "CHUNK_BYTES", chunk)
    weights = tensor(name, N, K)
    emulator.take_log()
    on = weights.to("cuda", pack=pack)
    copies = [int(line.split()[1]) for line in emulator.take_log() if line.startswith("memcpy")]
    assert sum(copies) == on.nbytes
    assert max(copies) <= max(chunk, on.nbytes // N)
    assert (decoded(on) == weights.dequantize()).all()


@pytest.mark.parametrize("pack", [False, True])
def test_weights_with_strides_are_taken(emulator: Emulator, pack: bool) -> None:
    raw = random_weights("q8_0", N, 2 * K)
    columns = qk.QTensor(raw, "q8_0", (N, 2 * K))[:, 256:512]
    tensors = qk.QTensor(torch.from_numpy(raw), "q8_0", (N, 2 * K))
    single = qk.QTensor(raw[0][None], "q8_0", (1, 2 * K))  # whose rows have a stride of 0
    repeated = qk.QTensor(np.broadcast_to(raw[0], raw.shape), "q8_0", (N, 2 * K))
    for weights in (columns, columns[::3], tensors, single, repeated):
        assert (decoded(weights.to(0, pack=pack)) == np.asarray(weights.dequantize())).all()


def test_a_stack_is_moved_matrix_by_matrix(emulator: Emulator) -> None:
    stack = qk.QTensor(random_weights("q8_0", 6, 64).reshape(2, 3, -1), "q8_0", (2, 3, 64))
    with pytest.raises(ValueError, match=r"\(2, 3, 64\) are no matrix; move the matrices"):
        stack.to("cuda")
    with pytest.raises(ValueError, match=r"\(64,\) are no matrix; .* w\.reshape\(1, -1\)"):
        stack[0, 0].to("cuda")
    with pytest.raises(ValueError, match=r"\(0, 64\) are empty"):
        stack[0, :0].to("cuda")
    assert stack[1].to("cuda").shape == (3, 64)


def test_memory_is_freed_once_and_not_used_afterwards(emulator: Emulator) -> None:
    on, other = tensor("q4_k", N, K).to("cuda"), tensor("q4_k", N, K).to("cuda")
    x, out = on_device(X), qk.cuda.DeviceArray((N, K))
    emulator.take_log()
    on.free()
    on.free()
    was_freed = r"CudaTensor\(q4_k, .*\) was freed"
    with pytest.raises(ValueError, match=was_freed):
        qk.cuda.gemv(on, x)
    with pytest.raises(ValueError, match=was_freed):
        qk.cuda.swiglu_proj(x, other, on)
    with pytest.raises(ValueError, match=was_freed):
        qk.cuda.dequantize(on, out=out)
    del on, other, x, out
    gc.collect()
    assert emulator.take_log().count("free") == 4  # weights, x and out, each once


def test_memory_of_a_failed_copy_is_freed(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise qk.cuda.CudaError("copying: it broke", 719)

    monkeypatch.setattr(_memory, "to_device", fail)
    emulator.take_log()
    with pytest.raises(qk.cuda.CudaError, match="it broke"):
        tensor("q4_k", N, K).to("cuda")
    assert [line.split()[0] for line in emulator.take_log()] == ["malloc", "free"]


def test_weights_past_the_memory_are_an_error_of_memory(emulator: Emulator) -> None:
    """The emulated device has 1 GiB."""
    data = np.lib.stride_tricks.as_strided(np.zeros(34 * 8192, np.uint8), (4096, 34 * 8192), (0, 1))
    weights = qk.QTensor(data, "q8_0", (4096, 32 * 8192))
    with pytest.raises(MemoryError, match="allocating device memory"):
        weights.to("cuda")


def test_rows_that_share_memory_are_moved(emulator: Emulator) -> None:
    data = np.broadcast_to(random_weights("q4_k", 1, K), (5, 3 * 144))
    weights = qk.QTensor(data, "q4_k", (5, K))
    assert (decoded(weights.to("cuda")) == weights.dequantize()).all()


def test_weights_on_a_device_are_not_pickled(emulator: Emulator) -> None:
    with pytest.raises(TypeError, match="pickle the QTensor instead"):
        pickle.dumps(tensor("q4_k", N, K).to("cuda"))
