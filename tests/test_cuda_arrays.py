"""Arrays of other libraries: what their protocols say is honoured, in and out."""

import ctypes
import gc
import weakref
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import qkernels as qk
from emulated_cuda import Emulator, Foreign, on_device
from qkernels.cuda import _dlpack
from qkernels.cuda import _dlpack_abi as dl
from weights import tensor

NDArray = np.ndarray[Any, Any]

N, K = 6, 64
X = np.random.default_rng(0).standard_normal((4, K)).astype(np.float32)


class Producer:
    """What has DLPack's methods only, and remembers what it was asked."""

    def __init__(self, source: Any, device: tuple[int, int] = (dl.CUDA, 0)) -> None:
        self.source = source
        self.device = device
        self.asked: dict[str, Any] = {}
        self.capsule: Any = None

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, **asked: Any) -> object:
        self.asked = asked
        self.capsule = self.source.__dlpack__(**{**asked, "stream": None})
        return self.capsule


class OldProducer(Producer):
    """As before DLPack 1.0."""

    def __dlpack__(self, **asked: Any) -> object:
        if set(asked) != {"stream"}:
            raise TypeError("an unexpected keyword argument")
        return super().__dlpack__(**asked)


class HostProducer(Producer):
    """A NumPy array whose memory is taken for the device's: capsules that are not of our making."""

    def __dlpack__(self, **asked: Any) -> object:
        self.asked = asked
        asked.pop("stream")
        return self.source.__dlpack__(**asked)


@pytest.fixture
def weights(emulator: Emulator) -> qk.cuda.CudaTensor:
    return tensor("q4_0", N, K).to("cuda")


def plain_product(weights: qk.cuda.CudaTensor, x: NDArray) -> NDArray:
    return np.asarray(qk.cuda.gemm(weights, on_device(x)).numpy())


@pytest.mark.parametrize("dtype", ["f4", "f2", ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 5)])
def test_arrays_come_back_as_they_went(
    emulator: Emulator, dtype: Any, shape: tuple[int, ...]
) -> None:
    host = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    array = on_device(host, device=1)
    assert (array.shape, array.dtype, array.device) == (shape, host.dtype.name, "cuda:1")
    assert (array.numpy() == host.astype(array.numpy().dtype)).all()


def test_strided_rows_are_read_where_they_are(weights: qk.cuda.CudaTensor) -> None:
    wide = on_device(np.concatenate([X, np.full_like(X, np.nan)], axis=1))
    x = Foreign(wide, shape=(4, K), strides=(2 * K * 4, 4))
    assert (qk.cuda.gemm(weights, x).numpy() == plain_product(weights, X)).all()


def test_results_go_to_strided_rows_and_nowhere_else(weights: qk.cuda.CudaTensor) -> None:
    wide = on_device(np.full((4, N + 3), 7, np.float32))
    out = Foreign(wide, shape=(4, N), strides=((N + 3) * 4, 4))
    assert qk.cuda.gemm(weights, on_device(X), out=out) is out
    assert (wide.numpy()[:, :N] == plain_product(weights, X)).all()
    assert (wide.numpy()[:, N:] == 7).all()


def test_x_and_out_may_be_columns_of_one_matrix(weights: qk.cuda.CudaTensor) -> None:
    both = on_device(np.concatenate([X, np.zeros((4, N), np.float32)], axis=1))
    strides = ((K + N) * 4, 4)
    x = Foreign(both, shape=(4, K), strides=strides)
    out = Foreign(both, shape=(4, N), strides=strides, data=(both.pointer + 4 * K, False))
    qk.cuda.gemm(weights, x, out=out)
    assert (both.numpy()[:, K:] == plain_product(weights, X)).all()


@pytest.mark.parametrize(
    ("producer", "log"),
    [
        (None, []),  # there is nothing to wait for
        (1, []),  # ours is the default stream
        (2, ["wait stream=(nil) for=0x2"]),
        (0x70, ["wait stream=(nil) for=0x70"]),
    ],
)
def test_our_stream_waits_for_the_one_that_an_array_names(
    emulator: Emulator, weights: qk.cuda.CudaTensor, producer: int | None, log: list[str]
) -> None:
    x, out = Foreign(on_device(X[0]), stream=producer), qk.cuda.DeviceArray((N,))
    qk.cuda.gemv(weights, x, out=out)
    emulator.take_log()
    qk.cuda.gemv(weights, x, out=out)
    assert [line for line in emulator.take_log() if line.startswith("wait")] == log


def test_the_reader_of_out_waits_for_us(emulator: Emulator, weights: qk.cuda.CudaTensor) -> None:
    x, out = on_device(X[0]), Foreign(qk.cuda.DeviceArray((N,)), stream=0x70)
    emulator.take_log()
    qk.cuda.gemv(weights, x, out=out)
    log = [line for line in emulator.take_log() if not line.startswith("malloc")]
    assert log[0] == "wait stream=(nil) for=0x70"
    assert log[-1] == "wait stream=0x70 for=(nil)"
    assert len(log) == 4


def test_an_array_of_ours_names_its_stream(emulator: Emulator) -> None:
    assert on_device(X).__cuda_array_interface__["stream"] == 1
    described = on_device(X, stream=0x70).__cuda_array_interface__
    assert described.pop("data")[1] is False
    assert described == {
        "shape": (4, K),
        "typestr": "<f4",
        "version": 3,
        "strides": None,
        "stream": 0x70,
    }


@pytest.mark.parametrize("kind", [Producer, OldProducer])
def test_dlpack_arrays_are_taken_for_our_stream(
    weights: qk.cuda.CudaTensor, kind: type[Producer]
) -> None:
    x = kind(on_device(X))
    assert (qk.cuda.gemm(weights, x, stream=0x70).numpy() == plain_product(weights, X)).all()
    assert x.asked["stream"] == 0x70
    assert dl.capsule_name(x.capsule) == b"used_dltensor"
    qk.cuda.gemm(weights, x)
    assert x.asked["stream"] == 1  # DLPack's number for the default stream


@pytest.mark.parametrize("transposed", [False, True])
def test_capsules_of_other_libraries_are_understood(
    emulator: Emulator, weights: qk.cuda.CudaTensor, transposed: bool
) -> None:
    host = np.concatenate([X, X], axis=1)[:, :K] if transposed else X.copy()
    x = HostProducer(host)
    with emulator.owning_host_memory(0):
        assert (qk.cuda.gemm(weights, x).numpy() == plain_product(weights, X)).all()
    assert x.asked == {"max_version": (1, 0)}


def test_a_capsule_that_says_it_is_read_only_takes_no_results(
    emulator: Emulator, weights: qk.cuda.CudaTensor
) -> None:
    frozen = np.zeros((4, N), np.float32)
    frozen.flags.writeable = False
    with emulator.owning_host_memory(0), pytest.raises(ValueError, match="out is read-only"):
        qk.cuda.gemm(weights, on_device(X), out=HostProducer(frozen))


def test_results_go_to_dlpack_arrays(weights: qk.cuda.CudaTensor) -> None:
    array = qk.cuda.DeviceArray((4, N))
    out = Producer(array)
    assert qk.cuda.gemm(weights, on_device(X), out=out) is out
    assert (array.numpy() == plain_product(weights, X)).all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_capsule_of_ours_says_what_it_holds(emulator: Emulator, dtype: str) -> None:
    array = qk.cuda.DeviceArray((2, 3), dtype, device=1)
    capsule = array.__dlpack__()
    managed = dl.Managed.from_address(dl.capsule_pointer(capsule, b"dltensor"))
    t = managed.tensor
    assert (t.data, t.byte_offset, t.device.kind, t.device.number) == (array.pointer, 0, 2, 1)
    assert (list(t.shape[:2]), list(t.strides[:2])) == ([2, 3], [3, 1])
    assert (t.dtype.code, t.dtype.bits, t.dtype.lanes) == {
        "float32": (2, 32, 1),
        "float16": (2, 16, 1),
        "bfloat16": (4, 16, 1),
    }[dtype]


@pytest.mark.parametrize("consumed", [False, True])
def test_an_exported_array_lives_as_long_as_its_consumer(
    emulator: Emulator, weights: qk.cuda.CudaTensor, consumed: bool
) -> None:
    array = on_device(X)
    capsule = array.__dlpack__()
    taken = _dlpack._taken(capsule, "x") if consumed else capsule
    alive = weakref.ref(array)
    del array, capsule
    gc.collect()
    assert alive() is not None
    emulator.take_log()
    del taken
    gc.collect()
    assert alive() is None
    assert emulator.take_log() == ["free"]
    assert not _dlpack._exported


def test_an_export_waits_for_the_stream_of_the_array(emulator: Emulator) -> None:
    array = on_device(X, stream=0x70)
    emulator.take_log()
    for stream in (0x50, 0x70, -1, None):
        array.__dlpack__(stream=stream)
    assert emulator.take_log() == ["wait stream=0x50 for=0x70", "wait stream=0x1 for=0x70"]
    with pytest.raises(BufferError, match="makes no copies"):
        array.__dlpack__(copy=True)


def test_memory_is_freed_once(emulator: Emulator) -> None:
    array = on_device(X)
    emulator.take_log()
    array.free()
    array.free()
    del array
    gc.collect()
    assert emulator.take_log() == ["free"]


def test_nothing_turns_into_a_host_array_by_accident(weights: qk.cuda.CudaTensor) -> None:
    with pytest.raises(TypeError, match=r"call \.numpy\(\)"):
        np.asarray(on_device(X))
    with pytest.raises(TypeError, match=r"call \.dequantize\(\)"):
        np.asarray(weights)


def test_a_capsule_without_deleter_is_let_go(emulator: Emulator) -> None:
    managed = dl.Managed()
    managed.tensor.dtype.lanes = 1
    address = ctypes.addressof(managed)
    capsule = dl.new_capsule(address, b"dltensor", _dlpack._destructor)
    taken = _dlpack._taken(capsule, "x")
    del taken
    gc.collect()
    assert dl.capsule_name(capsule) == b"used_dltensor"
