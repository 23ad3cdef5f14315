"""Wrong calls of qkernels.cuda: each raises its exception, with the values at fault."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from emulated_cuda import Emulator, Foreign, launches, on_device
from weights import tensor

N, K = 12, 256

api: Any = qk.cuda  # wrong calls do not type-check, and are not meant to


class Sound:
    """What calls take, to be spoilt."""

    def __init__(self) -> None:
        self.w = tensor("q4_k", N, K).to("cuda")
        self.host = np.ones(K, np.float32)
        self.x = on_device(self.host)
        self.batch = on_device(np.ones((3, K), np.float32))
        self.out = qk.cuda.DeviceArray((N,))
        self.elsewhere = on_device(self.host, device=1)
        self.freed = on_device(self.host)
        self.address = self.freed.pointer
        self.freed.free()


class NoCapsule:
    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, **_: Any) -> object:
        return "a string"


class Consumed(NoCapsule):
    def __init__(self, array: qk.cuda.DeviceArray) -> None:
        self.capsule = array.__dlpack__()

    def __dlpack__(self, **_: Any) -> object:
        return self.capsule


class OnDevice(NoCapsule):
    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, 0


class Versioned:
    """The interface as an object of another library might have it."""

    def __init__(self, **described: Any) -> None:
        self.__cuda_array_interface__ = described


def consumed(s: Sound) -> Consumed:
    x = Consumed(s.x)
    qk.cuda.gemv(s.w, x)
    return x


Case = tuple[Callable[[Sound], Any], type[Exception], str]

CASES: dict[str, Case] = {
    "weights on the CPU": (lambda s: api.gemv(tensor("q4_k", N, K), s.x), TypeError,
        "weights must be a CudaTensor, such as QTensor.to('cuda') gives, not QTensor"),
    "up on the CPU": (lambda s: api.swiglu_proj(s.x, s.w, tensor("q4_k", N, K)), TypeError,
        "up must be a CudaTensor"),
    "x a list": (lambda s: api.gemv(s.w, [1.0] * K), TypeError, "x must be a torch CUDA tensor, "
        "or an array with __cuda_array_interface__ or __dlpack__, not list"),
    "x None": (lambda s: api.gemv(s.w, None), TypeError, "not NoneType"),
    "x a NumPy array": (lambda s: api.gemv(s.w, s.host), TypeError,
        "x is in host memory (ndarray, DLPack device 1); copy it to the device first"),
    "x a CPU tensor": (lambda s: api.gemv(s.w, torch.ones(K)), TypeError, "x is on cpu"),
    "x pinned": (lambda s: api.gemv(s.w, OnDevice(3)), TypeError, "x is in host memory (OnDevice"),
    "x of a ROCm device": (lambda s: api.gemv(s.w, OnDevice(10)), TypeError,
        "x is not on a CUDA device (OnDevice, DLPack device 10)"),
    "x a pointer of the host": (lambda s: api.gemv(s.w, Foreign(s.x, data=(s.host.ctypes.data,
        False))), TypeError, "is memory of the host, or was freed"),
    "x a pointer that was freed": (lambda s: api.gemv(s.w, Foreign(s.x, data=(s.address, False))),
        TypeError, "is memory of the host, or was freed"),
    "x freed": (lambda s: api.gemv(s.w, s.freed), ValueError,
        "1024 bytes of device 0 were used after free()"),
    "x null": (lambda s: api.gemv(s.w, Foreign(s.x, data=(0, False))), ValueError, "x is null"),
    "x on another device": (lambda s: api.gemv(s.w, s.elsewhere), ValueError,
        "x is on cuda:1, the weights on cuda:0"),
    "bias on another device": (lambda s: api.gemv(s.w, s.x, bias=on_device(s.host[:N], 1)),
        ValueError, "bias is on cuda:1, the weights on cuda:0"),
    "out on another device": (lambda s: api.gemv(s.w, s.x, out=s.elsewhere), ValueError,
        "out is on cuda:1, the weights on cuda:0"),
    "up on another device": (lambda s: api.swiglu_proj(s.x, s.w, tensor("q4_k", N, K).to(1)),
        ValueError, "up is CudaTensor(q4_k, shape=(12, 256), native, cuda:1)"),
    "up of another shape": (lambda s: api.swiglu_proj(s.x, s.w, tensor("q4_k", 11, K).to(0)),
        ValueError, "one launch takes two of a kind"),
    "up of another format": (lambda s: api.swiglu_proj(s.x, s.w, tensor("q4_0", N, K).to(0)),
        ValueError, "one launch takes two of a kind"),
    "x not aligned": (lambda s: api.gemv(s.w, Foreign(s.batch, shape=(K,), data=(s.batch.pointer
        + 2, False))), ValueError, "is not aligned to 4 bytes"),
    "x too short": (lambda s: api.gemv(s.w, on_device(s.host[:-1])), ValueError,
        "x has k=255, weights have k=256 (q4_k, n=12)"),
    "x a matrix for gemv": (lambda s: api.gemv(s.w, s.batch), ValueError,
        "gemv takes one vector x of shape (k,), not 2 dimensions; see gemm"),
    "x 0-d": (lambda s: api.gemm(s.w, on_device(np.float32(1))), ValueError, "has no dimensions"),
    "x float64": (lambda s: api.gemv(s.w, Foreign(s.x, typestr="<f8")), TypeError,
        "x has dtype <f8; expected float32, float16 or bfloat16"),
    "x of the other byte order": (lambda s: api.gemv(s.w, Foreign(s.x, typestr=">f4")), TypeError,
        "x has dtype >f4"),
    "x every second element": (lambda s: api.gemv(s.w, Foreign(s.x, shape=(K,), strides=(8,))),
        ValueError, "x of shape (256,) has strides (2,) in elements"),
    "x backwards": (lambda s: api.gemv(s.w, Foreign(s.x, strides=(-4,))), ValueError,
        "has strides (-1,) in elements"),
    "x of rows at irregular places": (lambda s: api.gemm(s.w, Foreign(s.batch, shape=(2, 3, K),
        strides=(5 * 4 * K, 4 * K, 4))), ValueError, "rows equally far apart"),
    "x of rows that overlap": (lambda s: api.gemm(s.w, Foreign(s.batch, strides=(4, 4))),
        ValueError, "stride=1"),
    "x of odd strides": (lambda s: api.gemv(s.w, Foreign(s.x, strides=(3,))), ValueError,
        "x of shape (256,) and float32 has strides (3,)"),
    "x masked": (lambda s: api.gemv(s.w, Foreign(s.x, mask=s.x)), TypeError, "x is a masked array"),
    "x of stream 0": (lambda s: api.gemv(s.w, Foreign(s.x, stream=0)), ValueError,
        "x names stream 0, which __cuda_array_interface__ forbids"),
    "x of version 1": (lambda s: api.gemv(s.w, Foreign(s.x, version=1)), ValueError,
        "x has version 1 of __cuda_array_interface__; expected 2 or later"),
    "x that says too little": (lambda s: api.gemv(s.w, Versioned(shape=(K,), version=3)),
        TypeError, "x.__cuda_array_interface__ has no data, typestr"),
    "x without a capsule": (lambda s: api.gemv(s.w, NoCapsule()), TypeError,
        "x.__dlpack__() gave no capsule, but 'a string'"),
    "x consumed before": (lambda s: api.gemv(s.w, consumed(s)), ValueError,
        "gave a capsule named b'used_dltensor'"),
    "bias of another length": (lambda s: api.gemv(s.w, s.x, bias=s.x), ValueError,
        "bias has shape (256,), the result has n=12"),
    "bias of another dtype": (lambda s: api.gemv(s.w, s.x, bias=on_device(np.ones(N, "f2"))),
        TypeError, "bias has dtype float16; expected float32"),
    "bias in host memory": (lambda s: api.gemv(s.w, s.x, bias=s.host[:N]), TypeError,
        "bias is in host memory"),
    "out of another shape": (lambda s: api.gemv(s.w, s.x, out=s.x), ValueError,
        "out has shape (256,), the result has (12,)"),
    "out in host memory": (lambda s: api.gemv(s.w, s.x, out=s.host[:N]), TypeError,
        "out is in host memory"),
    "out read-only": (lambda s: api.gemv(s.w, s.x, out=Foreign(s.out, data=(s.out.pointer, True))),
        ValueError, "out is read-only"),
    "out over x": (lambda s: api.gemv(s.w, s.x, out=Foreign(s.x, shape=(N,))), ValueError,
        "out overlaps x"),
    "out over the bias": (lambda s: api.gemv(s.w, s.x, bias=s.out, out=s.out), ValueError,
        "out overlaps bias"),
    "act unknown": (lambda s: api.gemv(s.w, s.x, act="int4"), ValueError,
        "act='int4' is not one of int16, float32, int8"),
    "act not a string": (lambda s: api.gemv(s.w, s.x, act=16), TypeError, "act must be a str"),
    "function unknown": (lambda s: api.gemv(s.w, s.x, function="relu"), ValueError,
        "function='relu' is not one of None, silu, gelu, gelu_tanh, gelu_sigmoid"),
    "stream no stream": (lambda s: api.gemv(s.w, s.x, stream="fast"), TypeError,
        "stream must be a stream or its number, not 'fast'"),
    "stream negative": (lambda s: api.gemv(s.w, s.x, stream=-1), ValueError, "stream=-1"),
    "dtype unknown": (lambda s: api.dequantize(s.w, dtype="float64"), ValueError,
        "dtype='float64' is not one of float32, float16, bfloat16"),
    "decoding to another shape": (lambda s: api.dequantize(s.w, out=s.x), ValueError,
        "out has shape (256,), the result has (12, 256)"),
    "decoding weights on the CPU": (lambda s: api.dequantize(tensor("q4_k", N, K)), TypeError,
        "weights must be a CudaTensor"),
    "decoding some rows": (lambda s: qk.dequantize(s.w, rows=slice(0, 1)), TypeError,
        "weights on a device have no slices"),
    "gelu of a list": (lambda s: api.gelu_([1.0]), TypeError, "t must be a torch CUDA tensor"),
    "gelu in host memory": (lambda s: api.gelu_(s.host), TypeError, "t is in host memory"),
    "gelu 0-d": (lambda s: api.gelu_(on_device(np.float32(1))), ValueError, "t has no dimensions"),
    "gelu read-only": (lambda s: api.gelu_(Foreign(s.x, data=(s.x.pointer, True))), ValueError,
        "t is read-only"),
    "gelu unknown": (lambda s: api.gelu_(s.x, approximate="erf"), ValueError,
        "approximate='erf' is not one of none, tanh, sigmoid"),
    "gelu with another bias": (lambda s: api.gelu_(s.batch, s.out), ValueError,
        "bias has shape (12,), t has n=256"),
    "gelu with a bias elsewhere": (lambda s: api.gelu_(s.x, s.elsewhere), ValueError,
        "bias is on cuda:1, t on cuda:0"),
    "an array of another dtype": (lambda s: api.DeviceArray((1,), "int8"), ValueError,
        "dtype='int8' is not one of float32, float16, bfloat16"),
    "an array of a negative shape": (lambda s: api.DeviceArray((2, -1)), ValueError, "(2, -1)"),
    "an array on no device": (lambda s: api.DeviceArray((1,), device=7), IndexError,
        "device 7 is outside 0..1"),
    "an array of integers": (lambda s: api.DeviceArray.from_numpy(np.ones(3, int)), TypeError,
        "dtype int64 is not one of"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_call_raises_and_launches_nothing(emulator: Emulator, name: str) -> None:
    call, kind, message = CASES[name]
    sound = Sound()
    if name == "x consumed before":  # whose first use is right
        qk.cuda.gemv(sound.w, sound.x)
    emulator.take_log()
    with pytest.raises(kind, match=re.escape(message)):
        call(sound)
    launched = launches(emulator.take_log())
    assert len(launched) == (2 if name == "x consumed before" else 0)


class Loaded(Sound):
    """An executor, and what its calls take."""

    def __init__(self) -> None:
        super().__init__()
        self.e = qk.cuda.Executor()
        self.e.load("blk.0.attn_q.weight", tensor("q4_k", N, K))
        self.e.load("floats", tensor("f16", N, K))
        self.e.load("gone", tensor("q4_k", N, K))
        self.e.unload("gone")
        self.q8 = self.e.quantize_q8(self.x)
        self.old = self.e.quantize_q8(self.x)
        self.old.free()
        other = qk.cuda.Executor(1)
        other.load("w", tensor("q4_k", N, K))
        self.q8_elsewhere = other.quantize_q8(self.elsewhere)
        self.closed = qk.cuda.Executor()
        self.closed.close()


NAME = "blk.0.attn_q.weight"

LoadedCase = tuple[Callable[[Any], Any], type[Exception], str]

EXECUTOR_CASES: dict[str, LoadedCase] = {
    "an unknown name": (lambda s: s.e.gemv("blk.0.attn_k.weight", s.x), KeyError,
        "no weights are loaded as 'blk.0.attn_k.weight'; did you mean 'blk.0.attn_q.weight'?"),
    "a name like no other": (lambda s: s.e.gemv("zzz", s.x), KeyError, "nothing is like it"),
    "weights that were unloaded": (lambda s: s.e.gemv("gone", s.x), KeyError,
        "'gone' was unloaded"),
    "unloading twice": (lambda s: s.e.unload("gone"), KeyError, "'gone' was unloaded"),
    "loading twice": (lambda s: s.e.load("floats", tensor("q4_k", N, K)), ValueError,
        "'floats' is loaded already; unload it first"),
    "loading an array": (lambda s: s.e.load("x", s.host), TypeError,
        "weights must be a QTensor, not ndarray"),
    "reserving nothing": (lambda s: s.e.reserve(0), ValueError, "bytes=0 is not positive"),
    "reserving too much": (lambda s: s.e.reserve(1 << 40), MemoryError,
        "allocating device memory"),
    "a wrong k": (lambda s: s.e.gemv(NAME, s.out), ValueError,
        "x has k=12, weights have k=256 (q4_k, n=12)"),
    "a wrong k on the host": (lambda s: s.e.gemv(NAME, s.host[:-1]), ValueError,
        "x has shape (255,), weights have k=256 (q4_k, n=12)"),
    "a wrong k of q8": (lambda s: s.e.gemv_q8(NAME, s.e.quantize_q8(s.out)), ValueError,
        "q8 has k=12, 'blk.0.attn_q.weight' has k=256 (q4_k)"),
    "x null": (lambda s: s.e.gemv(NAME, Foreign(s.x, data=(0, False))), ValueError, "x is null"),
    "x of another device": (lambda s: s.e.gemv(NAME, s.elsewhere), ValueError,
        "x is on cuda:1, the weights on cuda:0"),
    "x of another device to quantize": (lambda s: s.e.quantize_q8(s.elsewhere), ValueError,
        "x is on cuda:1, the executor on cuda:0"),
    "x of the host to quantize": (lambda s: s.e.quantize_q8(s.host), TypeError,
        "x is in host memory"),
    "x of integers": (lambda s: s.e.gemv(NAME, s.host.astype(int)), TypeError,
        "x has dtype int64; expected float32, float16 or bfloat16"),
    "x on the host, out on the device": (lambda s: s.e.gemv(NAME, s.host, out=s.out), TypeError,
        "x is a NumPy array, out is not: DeviceArray"),
    "x on the device, out on the host": (lambda s: s.e.gemv(NAME, s.x, out=s.host[:N]), TypeError,
        "out is in host memory"),
    "out on the host of another shape": (lambda s: s.e.gemv(NAME, s.host, out=s.host), ValueError,
        "out has shape (256,), the result has (12,)"),
    "out on the host of another dtype": (lambda s: s.e.gemv(NAME, s.host, out=np.ones(N)),
        TypeError, "out has dtype float64"),
    "act unknown": (lambda s: s.e.gemv(NAME, s.host, "q8"), ValueError, "act='q8' is not one of"),
    "nine rows to quantize": (lambda s: s.e.quantize_q8(on_device(np.ones((9, K), "f4"))),
        ValueError, "x has shape (9, 256); expected (k,), or (m, k) with m <= 8"),
    "no rows to quantize": (lambda s: s.e.quantize_q8(on_device(np.ones((0, K), "f4"))),
        ValueError, "x has shape (0, 256)"),
    "q8 of another shape": (lambda s: s.e.quantize_q8(s.batch, s.q8), ValueError,
        "out has shape (256,), x has (3, 256)"),
    "q8 an array": (lambda s: s.e.gemv_q8(NAME, s.x), TypeError,
        "q8 must be Activations of quantize_q8, not DeviceArray"),
    "q8 freed": (lambda s: s.e.gemv_q8(NAME, s.old), ValueError,
        "Activations(int8, shape=(256,), cuda:0) was freed"),
    "q8 of another device": (lambda s: s.e.gemv_q8(NAME, s.q8_elsewhere), ValueError,
        "q8 is on cuda:1, the executor on cuda:0"),
    "float weights with q8": (lambda s: s.e.gemv_q8("floats", s.q8), ValueError,
        "'floats' holds f16 weights: they take no int8"),
    "no such device": (lambda s: api.Executor(2), IndexError, "device 2 is outside 0..1"),
    "closed: gemv": (lambda s: s.closed.gemv(NAME, s.x), ValueError, "the executor is closed"),
    "closed: load": (lambda s: s.closed.load("a", tensor("q4_k", N, K)), ValueError,
        "the executor is closed"),
    "closed: reserve": (lambda s: s.closed.reserve(1), ValueError, "the executor is closed"),
    "closed: quantize_q8": (lambda s: s.closed.quantize_q8(s.x), ValueError, "is closed"),
    "closed: gelu_": (lambda s: s.closed.gelu_(s.x), ValueError, "is closed"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXECUTOR_CASES)
def test_a_wrong_call_of_an_executor_raises(emulator: Emulator, name: str) -> None:
    call, kind, message = EXECUTOR_CASES[name]
    with pytest.raises(kind, match=re.escape(message)):
        call(Loaded())


def test_an_executor_of_a_failed_call_still_works(emulator: Emulator) -> None:
    loaded = Loaded()
    with pytest.raises(ValueError, match="is null"):
        loaded.e.gemv(NAME, Foreign(loaded.x, data=(0, False)))
    assert np.isfinite(loaded.e.gemv(NAME, loaded.host)).all()
