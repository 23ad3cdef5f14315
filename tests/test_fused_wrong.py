"""Wrong calls of the fused operators: each raises its exception, with the values at fault."""

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

K, HIDDEN, N = 256, 40, 12
RAW = random_weights("q4_k", HIDDEN, K)
GATE, UP, DOWN = tensor("q4_k", HIDDEN, K), tensor("q4_0", HIDDEN, K), tensor("q4_0", N, HIDDEN)
X = np.ones((3, K), np.float32)
GAINS = np.ones(K, np.float32)
Q, KEYS = np.ones((6, 4, 16), np.float32), np.ones((2, 9, 16), np.float32)
FROZEN = np.zeros((6, 4, 16), np.float32)
FROZEN.flags.writeable = False
SHARED = np.zeros((6, 9, 16), np.float32)
CACHE = qk.KVCache(2, 16, 10)
CACHE.append(KEYS, KEYS)
EMPTY = qk.KVCache(2, 16, 10)
strided = np.lib.stride_tricks.as_strided

api: Any = qk  # wrong calls do not type-check, and are not meant to

Case = tuple[Callable[[], Any], type[Exception], str]


def huge(*shape: int) -> np.ndarray:
    """Floats of any shape, all of them one."""
    return strided(GAINS, shape, (0,) * len(shape))


CASES: dict[str, Case] = {
    "x complex": (lambda: api.rmsnorm_linear(X.astype(np.complex64), GAINS, GATE), TypeError,
        "x has dtype <c8"),
    "x a str": (lambda: api.swiglu_proj("abc", GATE, UP), TypeError, "not str"),
    "x a list too short": (lambda: api.swiglu_proj([1.0], GATE, UP), ValueError, "x has k=1"),
    "x quantised": (lambda: api.swiglu_proj(api.quantize_activations(X), GATE, UP), TypeError,
        "x must be a NumPy array or a torch tensor, not Activations"),
    "x 0-d": (lambda: api.swiglu_proj(np.array(1, np.float32), GATE, UP), ValueError,
        "x has no dimensions"),
    "x too short": (lambda: api.rmsnorm_linear(X[:, 1:], GAINS[1:], GATE), ValueError,
        "x has k=255, weights have k=256 (q4_k, n=40)"),
    "x with a gradient": (
        lambda: api.swiglu_proj(torch.ones(K, requires_grad=True), GATE, UP), TypeError,
        "x requires a gradient"),
    "gains too short": (lambda: api.rmsnorm_linear(X, GAINS[1:], GATE), ValueError,
        "gains has shape (255,), x has k=256"),
    "gains of two dimensions": (lambda: api.swiglu_ffn(X, GATE, UP, DOWN, gains=X), ValueError,
        "gains has shape (3, 256), x has k=256"),
    "gains complex": (lambda: api.rmsnorm_linear(X, np.ones(K, complex), GATE), TypeError,
        "gains has dtype <c16"),
    "gains None": (lambda: api.rmsnorm_linear(X, None, GATE), TypeError, "see gemm"),
    "eps negative": (lambda: api.rmsnorm_linear(X, GAINS, GATE, eps=-1e-5), ValueError,
        "eps=-1e-05 is not 0 or a positive, finite float32"),
    "eps past float32": (lambda: api.rmsnorm_linear(X, GAINS, GATE, eps=1e39), ValueError,
        "eps=1e+39"),
    "eps NaN": (lambda: api.rmsnorm_linear(X, GAINS, GATE, eps=np.nan), ValueError, "eps=nan"),
    "eps a string": (lambda: api.rmsnorm_linear(X, GAINS, GATE, eps="1"), TypeError,
        "eps must be a number, not str"),
    "eps None": (lambda: api.rmsnorm_linear(X, GAINS, GATE, eps=None), TypeError,
        "eps must be a number, not NoneType"),
    "eps past the floats": (lambda: api.rmsnorm_linear(X, GAINS, GATE, eps=10**400), ValueError,
        f"eps is {10**400}, which is past the floats"),
    "bias of another length": (
        lambda: api.rmsnorm_linear(X, GAINS, GATE, bias=GAINS), ValueError,
        "bias has shape (256,), the result has n=40"),
    "residual of another shape": (
        lambda: api.rmsnorm_linear(X, GAINS, GATE, residual=GAINS[:HIDDEN]), ValueError,
        "residual has shape (40,), the result (3, 40)"),
    "residual of objects": (
        lambda: api.swiglu_ffn(X, GATE, UP, DOWN, residual=np.ones((3, N), object)), TypeError,
        "residual has dtype |O"),
    "act unknown": (lambda: api.swiglu_proj(X, GATE, UP, act="int4"), ValueError,
        "act='int4' is not one of int16, float32, int8"),
    "threads 0": (lambda: api.swiglu_proj(X, GATE, UP, threads=0), ValueError, "threads=0"),
    "raw weights without fmt": (lambda: api.swiglu_proj(X, RAW, RAW), TypeError, "need fmt"),
    "weights a list": (lambda: api.swiglu_proj(X, GATE, [1]), TypeError, "weights must be"),
    "experts": (lambda: api.rmsnorm_linear(X, GAINS, np.stack([RAW, RAW]), "q4_k"), ValueError,
        "are a stack of 2 matrices; select one"),
    "experts below": (
        lambda: api.swiglu_ffn(X, GATE, UP, api.QTensor(
            np.zeros((2, N, 36), np.uint8), "q4_0", (2, N, HIDDEN))), ValueError,
        "are a stack of 2 matrices"),
    "gate and up of other rows": (lambda: api.swiglu_proj(X, GATE, UP[:39]), ValueError,
        "the gate has n=40 rows, up has 39"),
    "gate and up of other depths": (
        lambda: api.swiglu_proj(X, GATE, tensor("q4_0", HIDDEN, 255)), ValueError,
        "x has k=256, weights have k=255 (q4_0, n=40)"),
    "down of another depth": (lambda: api.swiglu_ffn(X, GATE, UP, GATE), ValueError,
        "the gate has n=40 rows, down has k=256"),
    "out of another shape": (lambda: api.swiglu_ffn(X, GATE, UP, DOWN, out=X), ValueError,
        "out has shape (3, 256), the result (3, 12)"),
    "out float64": (lambda: api.swiglu_proj(X, GATE, UP, out=np.ones((3, HIDDEN))), TypeError,
        "out has dtype float64"),
    "out over part of x": (
        lambda: api.swiglu_proj(SHARED.reshape(-1)[: 3 * K].reshape(3, K), GATE, UP,
            out=SHARED.reshape(-1)[: 3 * HIDDEN].reshape(3, HIDDEN)), ValueError,
        "out shares memory with x"),
    "out over part of the residual": (
        lambda: api.rmsnorm_linear(X, GAINS, GATE,
            residual=SHARED.reshape(-1)[1 : 1 + 3 * HIDDEN].reshape(3, HIDDEN),
            out=SHARED.reshape(-1)[: 3 * HIDDEN].reshape(3, HIDDEN)), ValueError,
        "out shares memory with residual"),
    "out over bias": (
        lambda: api.rmsnorm_linear(X[0], GAINS, GATE, bias=SHARED[0].reshape(-1)[:HIDDEN],
            out=SHARED[0].reshape(-1)[:HIDDEN]), ValueError,
        "out shares memory with bias"),
    "out over gains": (
        lambda: api.rmsnorm_linear(X[0], SHARED.reshape(-1)[:K], GATE,
            out=SHARED.reshape(-1)[:HIDDEN]), ValueError,
        "out shares memory with gains"),
    "out over weights": (
        lambda: api.rmsnorm_linear(X[0], GAINS, RAW, "q4_k",
            out=RAW.reshape(-1)[: 4 * HIDDEN].view(np.float32)), ValueError,
        "out shares memory with weights"),
    "activations past 2^63": (
        lambda: api.rmsnorm_linear(huge(2**58, 1), GAINS[:1], tensor("q4_0", N, 1)), ValueError,
        "activations of (m, k) = (288230376151711744, 1) pass 2^63 bytes"),
    "q of two dimensions": (lambda: api.attention(Q[0], KEYS, KEYS), ValueError,
        "q has shape (4, 16); expected (heads, tokens, head_dim)"),
    "q complex": (lambda: api.attention(Q.astype(np.complex64), KEYS, KEYS), TypeError,
        "q has dtype <c8"),
    "q without heads": (lambda: api.attention(Q[:0], KEYS, KEYS), ValueError,
        "q has shape (0, 4, 16): no heads"),
    "k without heads": (lambda: api.attention(Q, KEYS[:0], KEYS[:0]), ValueError,
        "k has shape (0, 9, 16): no heads"),
    "heads of 257": (
        lambda: api.attention(*(np.ones((1, 2, 257), np.float32),) * 3), ValueError,
        "q has heads of 257 values, supported are 1 to 256"),
    "heads of none": (lambda: api.attention_scores(Q[..., :0], KEYS[..., :0]), ValueError,
        "q has heads of 0 values"),
    "heads of other widths": (lambda: api.attention(Q[..., :8], KEYS, KEYS), ValueError,
        "q has heads of 8 values, the keys of 16"),
    "heads that do not divide": (lambda: api.attention(Q[:5], KEYS, KEYS), ValueError,
        "q has 5 heads, which is no multiple of the 2 of the keys"),
    "values of another shape": (lambda: api.attention(Q, KEYS, KEYS[:, 1:]), ValueError,
        "v has shape (2, 8, 16), k has (2, 9, 16)"),
    "values missing": (lambda: api.attention(Q, KEYS), TypeError, "v must be a NumPy array"),
    "values beside a cache": (lambda: api.attention(Q, CACHE, KEYS), TypeError, "v must be None"),
    "no keys": (lambda: api.attention(Q, KEYS[:, :0], KEYS[:, :0]), ValueError, "no keys"),
    "an empty cache": (lambda: api.attention(Q, EMPTY), ValueError, "no keys"),
    "causal with too few keys": (
        lambda: api.attention(Q, KEYS[:, :3], KEYS[:, :3], causal=True), ValueError,
        "causal attention of m=4 queries over t=3 keys"),
    "causal scores with too few keys": (
        lambda: api.attention_scores(Q, KEYS[:, :3], causal=True), ValueError, "m=4"),
    "causal over too short a cache": (
        lambda: api.attention(np.ones((2, 10, 16), np.float32), CACHE, causal=True), ValueError,
        "causal attention of m=10 queries over t=9 keys"),
    "scores of a cache": (lambda: api.attention_scores(Q, CACHE), TypeError,
        "k must be a NumPy array or a torch tensor, not KVCache"),
    "scale NaN": (lambda: api.attention(Q, KEYS, KEYS, scale=np.nan), ValueError, "scale=nan"),
    "scale past float32": (lambda: api.attention(Q, CACHE, scale=1e39), ValueError, "scale=1e+39"),
    "scale a string": (lambda: api.attention(Q, CACHE, scale="1"), TypeError,
        "scale must be a number, not str"),
    "attention out of another shape": (
        lambda: api.attention(Q, KEYS, KEYS, out=np.ones((6, 4, 15), np.float32)), ValueError,
        "out has shape (6, 4, 15), the result (6, 4, 16)"),
    "scores out of another shape": (
        lambda: api.attention_scores(Q, KEYS, out=np.ones((6, 4, 16), np.float32)), ValueError,
        "out has shape (6, 4, 16), the result (6, 4, 9)"),
    "attention out read-only": (lambda: api.attention(Q, CACHE, out=FROZEN), ValueError,
        "out is read-only"),
    "attention out over q": (lambda: api.attention(SHARED, KEYS, KEYS, out=SHARED), ValueError,
        "out shares memory with q"),
    "attention out over k": (
        lambda: api.attention(Q, SHARED[:2], KEYS, out=SHARED[:, :4]), ValueError,
        "out shares memory with k"),
    "attention out over v": (
        lambda: api.attention(Q, KEYS, SHARED[:2], out=SHARED[:, :4]), ValueError,
        "out shares memory with v"),
    "attention past 2^63": (
        lambda: api.attention(Q, huge(2, 2**55, 16), huge(2, 2**55, 16)), ValueError,
        "a cache of 36028797018963968 positions passes 2^63 bytes"),
    "scores past 2^63": (
        lambda: api.attention_scores(huge(2, 2**40, 16), huge(2, 2**40, 16)), ValueError, "2^63"),
    "a cache of no heads": (lambda: api.KVCache(0, 16, 10), ValueError,
        "a cache of 0 heads and 10 positions; each must be 1 or more"),
    "a cache of no positions": (lambda: api.KVCache(2, 16, 0), ValueError, "0 positions"),
    "a cache of wide heads": (lambda: api.KVCache(2, 257, 10), ValueError,
        "heads of 257 values, supported are 1 to 256"),
    "a cache past 2^63": (lambda: api.KVCache(2**30, 256, 2**40), ValueError, "passes 2^63 bytes"),
    "a cache past the integers": (lambda: api.KVCache(2, 16, 2**70), ValueError,
        "capacity=1180591620717411303424 passes 2^63"),
    "a cache of half a head": (lambda: api.KVCache(0.5, 16, 10), TypeError, "integer"),
    "a cache of bytes": (lambda: api.KVCache(2, 16, 10, "int8"), ValueError,
        "dtype='int8' is not one of float16, float32"),
    "a cache of a type": (lambda: api.KVCache(2, 16, 10, np.float16), TypeError,
        "dtype must be a str, not type"),
    "more than the capacity": (lambda: CACHE.append(KEYS[:, :2], KEYS[:, :2]), ValueError,
        "9 + 2 positions exceed the cache's capacity of 10"),
    "keys of other heads": (lambda: CACHE.append(Q[:3, :1], Q[:3, :1]), ValueError,
        "k has 3 heads of 16 values, the cache 2 of 16"),
    "keys without values": (lambda: CACHE.append(KEYS[:, :1], KEYS[:, :0]), ValueError,
        "v has shape (2, 0, 16), k has (2, 1, 16)"),
    "keys of objects": (lambda: api.KVCache.append(CACHE, KEYS.astype(object), KEYS), TypeError,
        "k has dtype |O"),
    "a negative length": (lambda: CACHE.truncate(-1), ValueError,
        "a length of -1, the cache has 9 positions"),
    "a length of more": (lambda: CACHE.truncate(10), ValueError,
        "a length of 10, the cache has 9 positions"),
    "rope of odd heads": (lambda: api.rope(Q[..., :15], 0), ValueError,
        "x has heads of 15 values; RoPE rotates pairs, of 2 to 256 values"),
    "rope of wide heads": (lambda: api.rope(np.ones((2, 258), np.float32), 0), ValueError, "258"),
    "rope of a vector": (lambda: api.rope(GAINS, 0), ValueError,
        "x has shape (256,); expected (..., tokens, head_dim)"),
    "rope of complex numbers": (lambda: api.rope(np.ones((2, 16), complex), 0), TypeError,
        "x has dtype <c16"),
    "positions of floats": (lambda: api.rope(Q, [0.0, 1.0, 2.0, 3.0]), TypeError,
        "positions must be integers, not float64"),
    "position a float": (lambda: api.rope(Q, 1.0), TypeError, "positions must be integers"),
    "positions of bools": (lambda: api.rope(Q, [True] * 4), TypeError,
        "positions must be integers, not bool"),
    "positions None": (lambda: api.rope(Q, None), TypeError, "positions must be a NumPy array"),
    "too few positions": (lambda: api.rope(Q, [0, 1, 2]), ValueError,
        "3 positions in 1 dimensions for 4 tokens"),
    "positions of two dimensions": (lambda: api.rope(Q, [[0, 1, 2, 3]]), ValueError,
        "4 positions in 2 dimensions for 4 tokens"),
    "positions past 2^63": (lambda: api.rope(Q, 2**63 - 2), ValueError,
        "position 9223372036854775806 + 4 tokens passes 2^63"),
    "a position past 2^63": (lambda: api.rope(Q, np.array([2**63] * 4, np.uint64)), ValueError,
        "a position of 9223372036854775808 passes 2^63"),
    "kind unknown": (lambda: api.rope(Q, 0, kind="half"), ValueError,
        "the kind of RoPE 'half' is not one of interleaved, neox"),
    "kind None": (lambda: api.rope(Q, 0, kind=None), TypeError, "kind must be a str, not NoneType"),
    "base 0": (lambda: api.rope(Q, 0, base=0), ValueError,
        "base=0 is not a finite number above 0"),
    "rope scale infinite": (lambda: api.rope(Q, 0, scale=np.inf), ValueError, "scale=inf"),
    "too many factors": (lambda: api.rope(Q, 0, factors=np.ones(16, np.float32)), ValueError,
        "factors has shape (16,), heads of 16 values have 8 pairs"),
    "a factor of 0": (lambda: api.rope(Q, 0, factors=np.zeros(8, np.float32)), ValueError,
        "factors[0]=0 is not a finite number above 0"),
    "rope out over part of x": (lambda: api.rope(SHARED[:5], 0, out=SHARED[1:]), ValueError,
        "out shares memory with x"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_call_says_what_is_wrong(name: str) -> None:
    call, error, message = CASES[name]
    with pytest.raises(error, match=re.escape(message)):
        call()
    assert len(CACHE) == 9


def test_out_keeps_its_bytes_when_a_call_raises() -> None:
    out = np.full((3, N), 7.0, np.float32)
    for kwargs in ({"act": "int4"}, {"eps": -1.0, "gains": GAINS}, {"residual": X}):
        with pytest.raises(ValueError, match=r"\d"):
            api.swiglu_ffn(X, GATE, UP, DOWN, out=out, **kwargs)
    with pytest.raises(ValueError, match="down has k=256"):
        qk.swiglu_ffn(X, GATE, UP, GATE, residual=out, out=out)
    assert (out == 7).all()
    heads = np.full(Q.shape, 7.0, np.float32)
    with pytest.raises(ValueError, match="t=3"):
        qk.attention(Q, KEYS[:, :3], KEYS[:, :3], causal=True, out=heads)
    with pytest.raises(ValueError, match="no keys"):
        qk.attention(Q, EMPTY, out=heads)
    assert (heads == 7).all()


@pytest.mark.usefixtures("few_objects")
def test_raising_calls_leak_nothing() -> None:
    """One leaked object a call would be 200 blocks; one leaked reference, 200 counts."""
    shared = (X, GAINS, RAW, Q, KEYS, SHARED, FROZEN, CACHE, GATE)

    def raise_often(call: Callable[[], Any], error: type[Exception], times: int) -> None:
        for _ in range(times):
            try:
                call()
            except error:
                continue
            raise AssertionError("the call did not raise")

    for name, (call, error, _) in CASES.items():
        raise_often(call, error, 300)  # so many until CPython's caches have grown
        gc.collect()
        references = [sys.getrefcount(thing) for thing in shared]
        blocks = sys.getallocatedblocks()
        raise_often(call, error, 200)
        gc.collect()
        assert sys.getallocatedblocks() - blocks < 100, name
        assert [sys.getrefcount(thing) for thing in shared] == references, name
