"""Wrong calls: each raises its exception, with the values at fault, and changes nothing."""

import gc
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from weights import random_weights, tensor

N, K = 12, 256
RAW = random_weights("q4_k", N, K)
W = tensor("q4_k", N, K)
X = np.ones(K, np.float32)
FROZEN = np.zeros(N, np.float32)
FROZEN.flags.writeable = False
strided = np.lib.stride_tricks.as_strided
SHARED = np.zeros(K + N, np.float32)

api: Any = qk  # wrong calls do not type-check, and are not meant to

Case = tuple[Callable[[], Any], type[Exception], str]

CASES: dict[str, Case] = {
    "the design's example": (
        lambda: api.gemv(np.zeros((4, 288), np.uint8), np.ones(100, np.float32), "q4_k"),
        ValueError, "k=100 needs 1 q4_k block (144 bytes) a row, weights have 288"),
    "x too short": (lambda: api.gemv(W, X[:-1]), ValueError,
        "x has k=255, weights have k=256 (q4_k, n=12)"),
    "x complex": (lambda: api.gemv(W, X.astype(np.complex64)), TypeError, "x has dtype <c8"),
    "x a ragged list": (lambda: api.gemm(W, [[1.0], [1.0, 2.0]]), ValueError, "x: "),
    "x None": (lambda: api.gemv(W, None), TypeError, "not NoneType"),
    "x 0-d": (lambda: api.gemm(W, np.array(1, np.float32)), ValueError, "x has no dimensions"),
    "x masked": (lambda: api.gemv(W, np.ma.masked_array(X, X > 0)), TypeError,
        "x is a masked array"),
    "x a matrix for gemv": (lambda: api.gemv(W, X[None]), ValueError,
        "gemv takes one vector x of shape (k,), not 2 dimensions"),
    "x empty": (lambda: api.gemm(RAW, np.ones((2, 0), np.float32), "q4_k"), ValueError, "k=0"),
    "x of nine dimensions": (lambda: api.gemm(W, X.reshape((1,) * 8 + (K,))), ValueError,
        "x has 9 dimensions"),
    "x a sparse tensor": (lambda: api.gemv(W, torch.ones(K).to_sparse()), TypeError,
        "x is a torch.sparse_coo tensor; pass x.to_dense()"),
    "x a meta tensor": (lambda: api.gemv(W, torch.ones(K, device="meta")), TypeError,
        "x is on meta; only CPU tensors are supported"),
    "raw weights without fmt": (lambda: api.gemv(RAW, X), TypeError, "raw weights need fmt"),
    "weights of floats": (lambda: api.gemv(np.ones((N, K), np.float32), X, "f32"), TypeError,
        "weights have dtype float32; raw blocks are uint8"),
    "weights a list": (lambda: api.gemv([1, 2], X), TypeError, "weights must be a QTensor"),
    "weights of one dimension": (lambda: api.gemv(RAW[0], X, "q4_k"), ValueError,
        "weights of shape (256,) are a vector"),
    "unknown format": (lambda: api.gemv(RAW, X, "q4_z"), ValueError, "unknown format 'q4_z'"),
    "fmt of another kind": (lambda: api.gemv(RAW, X, 1.5), TypeError, "not float"),
    "fmt that disagrees": (lambda: api.gemv(W, X, "q4_0"), ValueError,
        "fmt='q4_0' disagrees with the weights, which are q4_k"),
    "act unknown": (lambda: api.gemv(W, X, act="int4"), ValueError,
        "act='int4' is not one of int16, float32, int8"),
    "act not a string": (lambda: api.gemv(W, X, act=16), TypeError, "act must be a str, not int"),
    "threads 0": (lambda: api.gemv(W, X, threads=0), ValueError, "threads=0 is outside 1..256"),
    "threads -1": (lambda: api.gemv(W, X, threads=-1), ValueError, "threads=-1 is outside 1..256"),
    "threads 257": (lambda: api.gemv(W, X, threads=257), ValueError, "threads=257 is outside"),
    "threads a float": (lambda: api.gemv(W, X, threads=2.0), TypeError, "integer"),
    "set_num_threads 0": (lambda: api.set_num_threads(0), ValueError, "threads=0 is outside"),
    "num_threads 0": (lambda: api.num_threads(0).__enter__(), ValueError, "threads=0 is outside"),
    "bias of another length": (lambda: api.gemv(W, X, bias=np.ones(11, np.float32)), ValueError,
        "bias has shape (11,), the result has n=12"),
    "bias of another dtype": (lambda: api.gemv(W, X, bias=np.ones(N, complex)), TypeError,
        "bias has dtype <c16"),
    "bias a list too short": (lambda: api.gemv(W, X, bias=[0.0]), ValueError,
        "bias has shape (1,), the result has n=12"),
    "out of another shape": (lambda: api.gemv(W, X, out=np.zeros(11, np.float32)), ValueError,
        "out has shape (11,), the result (12,)"),
    "out of another dtype": (lambda: api.gemv(W, X, out=np.zeros(N)), TypeError,
        "out has dtype float64; expected float32, float16 or bfloat16"),
    "out read-only": (lambda: api.gemv(W, X, out=FROZEN), ValueError, "out is read-only"),
    "out backwards": (lambda: api.gemv(W, X, out=np.zeros(N, np.float32)[::-1]), ValueError,
        "out has a negative stride (-4) in dimension 0"),
    "out onto itself": (
        lambda: api.gemv(W, X, out=strided(SHARED, (N,), (0,))),
        ValueError, "out has elements that share memory: shape (12,), strides (0,)"),
    "out over x": (lambda: api.gemv(W, SHARED[:K], out=SHARED[K - 1 : K - 1 + N]), ValueError,
        "out shares memory with x"),
    "out over bias": (lambda: api.gemv(W, X, bias=SHARED[:N], out=SHARED[:N]), ValueError,
        "out shares memory with bias"),
    "out over weights": (
        lambda: api.gemv(RAW, X, "q4_k", out=RAW.reshape(-1)[:48].view(np.float32)),
        ValueError, "out shares memory with weights"),
    "activations for float weights": (
        lambda: api.gemv(tensor("f16", 4, K), api.quantize_activations(X)), ValueError,
        "f16 weights take float32 activations; these are int16"),
    "activations of another k": (lambda: api.gemv(W, api.quantize_activations(X[:100])), ValueError,
        "x has k=100, weights have k=256"),
    "ids out of range": (lambda: api.get_rows(W, [0, 12]), IndexError,
        "ids[1]=12 is outside the 12 rows"),
    "ids negative": (lambda: api.get_rows(W, [-1]), IndexError, "ids[0]=-1 is outside the 12 rows"),
    "ids of floats": (lambda: api.get_rows(W, [0.5]), TypeError, "ids must be integers"),
    "ids of bools": (lambda: api.get_rows(W, [True]), TypeError, "ids must be integers"),
    "rows not a slice": (lambda: api.dequantize(W, rows=3), TypeError, "rows must be a slice"),
    "dtype unknown": (lambda: api.dequantize(W, dtype="float64"), ValueError,
        "dtype='float64' is not one of float32, float16"),
    "format with a null byte": (lambda: api.gemv(RAW, X, "q4_k\0"), ValueError,
        r"unknown format 'q4_k\x00'"),
    "format that no file system knows": (lambda: api.gemv(RAW, X, "\ud800"), ValueError,
        r"unknown format '\ud800'"),
    "fmt a bool": (lambda: api.gemv(RAW, X, True), TypeError, "not bool"),
    "fmt past 2^63": (lambda: api.gemv(RAW, X, 2**70), ValueError,
        "GGUF type id 1180591620717411303424 is not a format"),
    "fmt of q8_ks by its id": (lambda: api.gemv(RAW, X, -1), ValueError, "GGUF type id -1 is not"),
    "act with a null byte": (lambda: api.gemv(W, X, act="int16\0"), ValueError,
        r"act='int16\x00' is not one of int16, float32, int8"),
    "act a lone surrogate": (lambda: api.gemv(W, X, act="\udfff"), ValueError, "is not one of"),
    "threads past 2^31": (lambda: api.gemv(W, X, threads=2**40), ValueError,
        "threads=1099511627776 is outside 1..256"),
    "threads a string": (lambda: api.gemv(W, X, threads="2"), TypeError, "integer"),
    "set_num_threads None": (lambda: api.set_num_threads(None), TypeError, "integer"),
    "set_num_threads 2^70": (lambda: api.set_num_threads(2**70), ValueError, "is outside 1..256"),
    "k past 2^63": (lambda: api.QTensor(RAW, "q4_k", (N, 2**70)), ValueError,
        "k=1180591620717411303424 is outside 1..2^63 - 1"),
    "k of 2^63 - 1": (lambda: api.QTensor(RAW, "q8_0", (N, 2**63 - 1)), ValueError,
        "a row of k=9223372036854775807 q8_0 weights passes 2^63 bytes"),
    "n past 2^63": (lambda: api.QTensor(RAW, "q4_k", (2**70, K)), ValueError,
        "shape (1180591620717411303424, 256) does not match the data"),
    "k a float": (lambda: api.QTensor(RAW, "q4_k", (N, 256.0)), TypeError, "integer"),
    "weights empty in k": (lambda: api.gemv(RAW[:, :0], X[:0], "q4_k"), ValueError,
        "k=0; weights need k >= 1"),
    "weights backwards": (lambda: api.gemv(RAW[::-1], X, "q4_k"), ValueError,
        "weights have a negative stride (-144) in dimension 0"),
    "weights 0-d": (lambda: api.dequantize(np.array(3, np.uint8), "q4_0"), ValueError,
        "weights have no dimensions"),
    "weights masked": (lambda: api.dequantize(np.ma.masked_array(RAW), "q4_k"), TypeError,
        "weights is a masked array"),
    "weights of bytes": (lambda: api.gemv(b"abc", X, "q4_k"), TypeError,
        "weights must be a NumPy array or a torch tensor, not bytes"),
    "weights whose rows wrap": (
        lambda: api.get_rows(strided(RAW, (2**40, 144), (2**40, 1)), [0], "q4_k"), ValueError,
        "the weights' rows lie up to 2^63 bytes apart"),
    "several experts": (lambda: api.gemv(np.stack([RAW, RAW]), X, "q4_k"), ValueError,
        "weights of shape (2, 12, 256) are a stack of 2 matrices; select one"),
    "x of objects": (lambda: api.gemv(W, np.array([None] * K)), TypeError, "x has dtype |O"),
    "x of records": (lambda: api.gemv(W, np.zeros(K, [("a", "f4")])), TypeError, "dtype |V4"),
    "x a str": (lambda: api.gemv(W, "abc"), TypeError, "x must be a NumPy array"),
    "out a list": (lambda: api.gemv(W, X, out=[0.0] * N), TypeError, "out must be a NumPy array"),
    "out 0-d": (lambda: api.gemv(W, X, out=np.array(0, np.float32)), ValueError,
        "out has shape (), the result (12,)"),
    "out masked": (lambda: api.gemv(W, X, out=np.ma.zeros(N, np.float32)), TypeError,
        "out is a masked array"),
    "out rows that overlap": (
        lambda: api.gemm(W, np.ones((2, K), np.float32), out=strided(SHARED, (2, N), (4, 4))),
        ValueError, "out has elements that share memory: shape (2, 12), strides (4, 4)"),
    "out of a decoding over its weights": (
        lambda: api.dequantize(
            RAW[:1], "q4_k", out=RAW.reshape(-1)[:1024].view(np.float32).reshape(1, K)),
        ValueError, "out shares memory with weights"),
    "out of a decoding too short": (lambda: api.dequantize(W, out=np.zeros((N, 255), np.float32)),
        ValueError, "out has shape (12, 255), the result (12, 256)"),
    "bias 0-d": (lambda: api.gemv(W, X, bias=np.array(0, np.float32)), ValueError,
        "bias has shape (), the result has n=12"),
    "bias masked": (lambda: api.gemv(W, X, bias=np.ma.zeros(N, np.float32)), TypeError,
        "bias is a masked array"),
    "a product past 2^63": (
        lambda: api.gemm(strided(RAW, (2**20, 4), (0, 1)), strided(X, (2**50, 1), (0, 4)), "f32"),
        ValueError, "the result of shape (1125899906842624, 1048576) passes 2^63 bytes"),
    "ids past 2^63": (lambda: api.get_rows(W, np.array([2**63], np.uint64)), IndexError,
        "an id of 9223372036854775808 is outside the 12 rows"),
    "ids past 2^64": (lambda: api.get_rows(W, [2**64]), IndexError,
        "an id of 18446744073709551616 is outside the 12 rows"),
    "ids None": (lambda: api.get_rows(W, None), TypeError, "ids must be a NumPy array"),
    "ids of nine dimensions": (lambda: api.get_rows(W, np.zeros((1,) * 9, np.int64)), ValueError,
        "10 dimensions; at most 8"),
    "rows backwards": (lambda: api.dequantize(W, rows=slice(None, None, -1)), ValueError,
        "runs backwards"),
    "ragged raw rows": (lambda: api.dequantize(np.zeros((2, 100), np.uint8), "q4_k"), ValueError,
        "a row of 100 bytes is not a whole number of q4_k blocks (144 bytes)"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_call_says_what_is_wrong(name: str) -> None:
    call, error, message = CASES[name]
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_out_keeps_its_bytes_when_a_call_raises() -> None:
    out = np.full(N, 7.0, np.float32)
    for kwargs in ({"bias": np.ones(3, np.float32)}, {"act": "int4"}, {"threads": 0}):
        with pytest.raises(ValueError, match=r"\d"):
            qk.gemv(W, X, out=out, **kwargs)
    rows = np.full((2, K), 7.0, np.float32)
    with pytest.raises(IndexError):
        qk.get_rows(W, [0, 99], out=rows)
    assert (out == 7).all()
    assert (rows == 7).all()


@pytest.mark.usefixtures("few_objects")
@pytest.mark.parametrize("name", CASES)
def test_raising_calls_leak_nothing(name: str) -> None:
    """One leaked object a call would be 200 blocks; one leaked reference, 200 counts."""
    call, error, _ = CASES[name]

    def raise_often(times: int) -> None:
        for _ in range(times):
            try:
                call()
            except error:
                continue
            raise AssertionError("the call did not raise")

    raise_often(300)  # so many until caches and tables of CPython's have grown as they will
    gc.collect()
    references = [sys.getrefcount(shared) for shared in (W, X, RAW, FROZEN, SHARED)]
    blocks = sys.getallocatedblocks()
    raise_often(200)
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 100
    assert [sys.getrefcount(shared) for shared in (W, X, RAW, FROZEN, SHARED)] == references
