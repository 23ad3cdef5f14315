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
SHARED = np.zeros(K + N, np.float32)

Case = tuple[Callable[[], Any], type[Exception], str]

CASES: dict[str, Case] = {
    "the design's example": (
        lambda: qk.gemv(np.zeros((4, 288), np.uint8), np.ones(100, np.float32), "q4_k"),
        ValueError, "k=100 needs 1 q4_k block (144 bytes) a row, weights have 288"),
    "x too short": (lambda: qk.gemv(W, X[:-1]), ValueError,
        "x has k=255, weights have k=256 (q4_k, n=12)"),
    "x float64": (lambda: qk.gemv(W, X.astype(np.float64)), TypeError,
        "x has dtype float64; expected float32, float16 or bfloat16"),
    "x integers": (lambda: qk.gemv(W, np.ones(K, np.int32)), TypeError, "x has dtype int32"),
    "x complex": (lambda: qk.gemv(W, X.astype(np.complex64)), TypeError, "x has dtype <c8"),
    "x of the other byte order": (lambda: qk.gemv(W, X.astype(">f4")), TypeError,
        "x has dtype >f4"),
    "x a list": (lambda: qk.gemv(W, [1.0] * K), TypeError,
        "x must be a NumPy array or a torch tensor, not list"),
    "x None": (lambda: qk.gemv(W, None), TypeError, "not NoneType"),
    "x 0-d": (lambda: qk.gemm(W, np.array(1, np.float32)), ValueError, "x has no dimensions"),
    "x masked": (lambda: qk.gemv(W, np.ma.masked_array(X, X > 0)), TypeError,
        "x is a masked array"),
    "x a matrix for gemv": (lambda: qk.gemv(W, X[None]), ValueError,
        "gemv takes one vector x of shape (k,), not 2 dimensions"),
    "x empty": (lambda: qk.gemm(RAW, np.ones((2, 0), np.float32), "q4_k"), ValueError, "k=0"),
    "x of nine dimensions": (lambda: qk.gemm(W, X.reshape((1,) * 8 + (K,))), ValueError,
        "x has 9 dimensions"),
    "x a sparse tensor": (lambda: qk.gemv(W, torch.ones(K).to_sparse()), TypeError,
        "x is a torch.sparse_coo tensor; pass x.to_dense()"),
    "x a meta tensor": (lambda: qk.gemv(W, torch.ones(K, device="meta")), TypeError,
        "x is on meta; only CPU tensors are supported"),
    "raw weights without fmt": (lambda: qk.gemv(RAW, X), TypeError, "raw weights need fmt"),
    "weights of floats": (lambda: qk.gemv(np.ones((N, K), np.float32), X, "f32"), TypeError,
        "weights have dtype float32; raw blocks are uint8"),
    "weights a list": (lambda: qk.gemv([1, 2], X), TypeError, "weights must be a QTensor"),
    "weights of one dimension": (lambda: qk.gemv(RAW[0], X, "q4_k"), ValueError,
        "weights have shape (144,)"),
    "unknown format": (lambda: qk.gemv(RAW, X, "q4_z"), ValueError, "unknown format 'q4_z'"),
    "fmt of another kind": (lambda: qk.gemv(RAW, X, 1.5), TypeError, "not float"),
    "fmt that disagrees": (lambda: qk.gemv(W, X, "q4_0"), ValueError,
        "fmt='q4_0' disagrees with the weights, which are q4_k"),
    "act unknown": (lambda: qk.gemv(W, X, act="int4"), ValueError,
        "act='int4' is not one of int16, float32, int8"),
    "act not a string": (lambda: qk.gemv(W, X, act=16), TypeError, "act must be a str, not int"),
    "threads 0": (lambda: qk.gemv(W, X, threads=0), ValueError, "threads=0 is outside 1..256"),
    "threads -1": (lambda: qk.gemv(W, X, threads=-1), ValueError, "threads=-1 is outside 1..256"),
    "threads 257": (lambda: qk.gemv(W, X, threads=257), ValueError, "threads=257 is outside"),
    "threads a float": (lambda: qk.gemv(W, X, threads=2.0), TypeError, "integer"),
    "set_num_threads 0": (lambda: qk.set_num_threads(0), ValueError, "threads=0 is outside"),
    "num_threads 0": (lambda: qk.num_threads(0).__enter__(), ValueError, "threads=0 is outside"),
    "bias of another length": (lambda: qk.gemv(W, X, bias=np.ones(11, np.float32)), ValueError,
        "bias has shape (11,), the result has n=12"),
    "bias of another dtype": (lambda: qk.gemv(W, X, bias=np.ones(N)), TypeError,
        "bias has dtype float64"),
    "bias a list": (lambda: qk.gemv(W, X, bias=[0.0] * N), TypeError, "bias must be a NumPy array"),
    "out of another shape": (lambda: qk.gemv(W, X, out=np.zeros(11, np.float32)), ValueError,
        "out has shape (11,), the result (12,)"),
    "out of another dtype": (lambda: qk.gemv(W, X, out=np.zeros(N)), TypeError,
        "out has dtype float64; expected float32, float16 or bfloat16"),
    "out read-only": (lambda: qk.gemv(W, X, out=FROZEN), ValueError, "out is read-only"),
    "out backwards": (lambda: qk.gemv(W, X, out=np.zeros(N, np.float32)[::-1]), ValueError,
        "out has a negative stride (-4) in dimension 0"),
    "out onto itself": (
        lambda: qk.gemv(W, X, out=np.lib.stride_tricks.as_strided(SHARED, (N,), (0,))),
        ValueError, "out has elements that share memory: shape (12,), strides (0,)"),
    "out over x": (lambda: qk.gemv(W, SHARED[:K], out=SHARED[K - 1 : K - 1 + N]), ValueError,
        "out shares memory with x"),
    "out over bias": (lambda: qk.gemv(W, X, bias=SHARED[:N], out=SHARED[:N]), ValueError,
        "out shares memory with bias"),
    "out over weights": (lambda: qk.gemv(RAW, X, "q4_k", out=RAW.reshape(-1)[:48].view(np.float32)),
        ValueError, "out shares memory with weights"),
    "activations for float weights": (
        lambda: qk.gemv(tensor("f16", 4, K), qk.quantize_activations(X)), ValueError,
        "f16 weights take float32 activations; these are int16"),
    "activations of another k": (lambda: qk.gemv(W, qk.quantize_activations(X[:100])), ValueError,
        "x has k=100, weights have k=256"),
    "ids out of range": (lambda: qk.get_rows(W, [0, 12]), IndexError,
        "ids[1]=12 is outside the 12 rows"),
    "ids negative": (lambda: qk.get_rows(W, [-1]), IndexError, "ids[0]=-1 is outside the 12 rows"),
    "ids of floats": (lambda: qk.get_rows(W, [0.5]), TypeError, "ids must be integers"),
    "ids of bools": (lambda: qk.get_rows(W, [True]), TypeError, "ids must be integers"),
    "rows not a slice": (lambda: qk.dequantize(W, rows=3), TypeError, "rows must be a slice"),
    "dtype unknown": (lambda: qk.dequantize(W, dtype="float64"), ValueError,
        "dtype='float64' is not one of float32, float16"),
    "ragged raw rows": (lambda: qk.dequantize(np.zeros((2, 100), np.uint8), "q4_k"), ValueError,
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


@pytest.mark.parametrize("name", CASES)
def test_1000_raising_calls_leak_nothing(name: str) -> None:
    """One leaked object a call would be 1,000 blocks; one leaked reference, 1,000 counts."""
    call, error, _ = CASES[name]

    def raise_often(times: int) -> None:
        for _ in range(times):
            try:
                call()
            except error:
                continue
            raise AssertionError("the call did not raise")

    raise_often(10)
    gc.collect()
    references = [sys.getrefcount(shared) for shared in (W, X, RAW, FROZEN, SHARED)]
    blocks = sys.getallocatedblocks()
    raise_often(1000)
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 500
    assert [sys.getrefcount(shared) for shared in (W, X, RAW, FROZEN, SHARED)] == references
