"""Every argument that an operator takes arrays in, by name: what is true of one is of all."""

from collections.abc import Callable
from typing import Any

import numpy as np

import qkernels as qk
from qkernels.gates import GateResult, History
from weights import random_weights, tensor

N, K = 16, 64
RAW = random_weights("q8_0", N, K)
W = tensor("q8_0", N, K)
DOWN = tensor("q8_0", K, N * 2)
HIDDEN = tensor("q8_0", N * 2, K)
X = np.random.default_rng(0).standard_normal(K).astype(np.float32)
HEADS = np.random.default_rng(1).standard_normal((2, 3, 32)).astype(np.float32)
KEEP = np.array([True, False])

api: Any = qk  # calls that do not type-check are among those made here

Call = Callable[[Any], Any]


def appended(k: Any, v: Any) -> Any:
    """What queries make of keys and values that went through a cache."""
    cache = api.KVCache(2, 32, 8, "float32")
    cache.append(k, v)
    return api.attention(HEADS, cache)


def cached() -> Any:
    """A cache with three positions."""
    cache = api.KVCache(2, 32, 8, "float32")
    cache.append(HEADS, HEADS)
    return cache


CACHE = cached()

# Two groups of rows, of which the second keeps nothing.
GROUPS = GateResult(
    gates=np.array([[1.0, 0.0], [0.0, 0.0]]), shape=(N, K), block_k=32, row_group=N // 2,
    threshold=0.5, l1=0.0, lr=1.0, rule="projected", normalized=True, mse=0.0,
    relative_error=0.0, history=History.of([]),
)  # fmt: skip

# Inputs of real numbers, each with its shape. Positive numbers suit all.
FLOATS: dict[str, tuple[tuple[int, ...], Call]] = {
    "gemv x": ((K,), lambda a: api.gemv(W, a)),
    "gemm x": ((2, K), lambda a: api.gemm(W, a)),
    "gemv of raw weights x": ((K,), lambda a: api.gemv(RAW, a, "q8_0")),
    "gemv bias": ((N,), lambda a: api.gemv(W, X, bias=a)),
    "quantize_activations x": ((K,), lambda a: api.gemv(W, api.quantize_activations(a))),
    "rmsnorm_linear x": ((2, K), lambda a: api.rmsnorm_linear(a, X, W)),
    "rmsnorm_linear gains": ((K,), lambda a: api.rmsnorm_linear(X, a, W)),
    "rmsnorm_linear bias": ((N,), lambda a: api.rmsnorm_linear(X, X, W, bias=a)),
    "rmsnorm_linear residual": ((N,), lambda a: api.rmsnorm_linear(X, X, W, residual=a)),
    "swiglu_proj x": ((K,), lambda a: api.swiglu_proj(a, W, W)),
    "swiglu_ffn x": ((K,), lambda a: api.swiglu_ffn(a, HIDDEN, HIDDEN, DOWN)),
    "swiglu_ffn gains": ((K,), lambda a: api.swiglu_ffn(X, HIDDEN, HIDDEN, DOWN, gains=a)),
    "swiglu_ffn residual": ((K,), lambda a: api.swiglu_ffn(X, HIDDEN, HIDDEN, DOWN, residual=a)),
    "attention q": ((2, 3, 32), lambda a: api.attention(a, HEADS, HEADS)),
    "attention k": ((2, 3, 32), lambda a: api.attention(HEADS, a, HEADS)),
    "attention v": ((2, 3, 32), lambda a: api.attention(HEADS, HEADS, a)),
    "attention with a cache q": ((2, 3, 32), lambda a: api.attention(a, CACHE)),
    "KVCache.append k": ((2, 3, 32), lambda a: appended(a, HEADS)),
    "KVCache.append v": ((2, 3, 32), lambda a: appended(HEADS, a)),
    "attention_scores q": ((2, 3, 32), lambda a: api.attention_scores(a, HEADS)),
    "attention_scores k": ((2, 3, 32), lambda a: api.attention_scores(HEADS, a)),
    "rope x": ((2, 3, 32), lambda a: api.rope(a, 1)),
    "rope factors": ((16,), lambda a: api.rope(HEADS, 1, factors=a)),
    "quantize a": ((2, K), lambda a: api.quantize(a, "q8_0").data),
    "quantize imatrix": ((K,), lambda a: api.quantize(X[None], "q4_0", imatrix=a).data),
    "gated_gemv x": ((K,), lambda a: api.gated_gemv(W, a, gates=KEEP, block_k=32)),
    "gated_gemv bias": ((N,), lambda a: api.gated_gemv(W, X, gates=KEEP, block_k=32, bias=a)),
    "gated_gemv by groups x": ((K,), lambda a: api.gated_gemv(W, a, gates=GROUPS)),
    "gated_gemv by groups bias": ((N,), lambda a: api.gated_gemv(W, X, gates=GROUPS, bias=a)),
}

# What results are written to, in float32, float16 or bfloat16.
OUTS: dict[str, tuple[tuple[int, ...], Call]] = {
    "gemv": ((N,), lambda out: api.gemv(W, X, out=out)),
    "gemm": ((2, N), lambda out: api.gemm(W, np.stack([X, X]), out=out)),
    "dequantize": ((N, K), lambda out: api.dequantize(W, out=out)),
    "get_rows": ((2, K), lambda out: api.get_rows(W, [1, 3], out=out)),
    "rmsnorm_linear": ((N,), lambda out: api.rmsnorm_linear(X, X, W, out=out)),
    "swiglu_proj": ((N,), lambda out: api.swiglu_proj(X, W, W, out=out)),
    "swiglu_ffn": ((K,), lambda out: api.swiglu_ffn(X, HIDDEN, HIDDEN, DOWN, out=out)),
    "attention": ((2, 3, 32), lambda out: api.attention(HEADS, HEADS, HEADS, out=out)),
    "attention with a cache": ((2, 3, 32), lambda out: api.attention(HEADS, CACHE, out=out)),
    "attention_scores": ((2, 3, 3), lambda out: api.attention_scores(HEADS, HEADS, out=out)),
    "rope": ((2, 3, 32), lambda out: api.rope(HEADS, 1, out=out)),
    "gated_gemv": ((N,), lambda out: api.gated_gemv(W, X, gates=KEEP, block_k=32, out=out)),
    "gated_gemv by groups": ((N,), lambda out: api.gated_gemv(W, X, gates=GROUPS, out=out)),
}

# Bytes that are weights, of shape RAW.shape.
BYTES: dict[str, Call] = {
    "raw weights of gemv": lambda a: api.gemv(a, X, "q8_0"),
    "raw weights of get_rows": lambda a: api.get_rows(a, [1], "q8_0"),
    "raw weights of dequantize": lambda a: api.dequantize(a, "q8_0"),
    "QTensor data": lambda a: api.gemv(api.QTensor(a, "q8_0", (N, K)), X),
}

# Integers, of which three are taken.
INTEGERS: dict[str, Call] = {
    "get_rows ids": lambda a: api.get_rows(W, a),
    "rope positions": lambda a: api.rope(HEADS, a),
}


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    """Small positive integers, which every dtype holds."""
    return np.random.default_rng(2).integers(1, 4, shape)


def name_of(role: str) -> str:
    """How messages name the argument of a role."""
    return "weights" if "weights of" in role and not role.endswith(" x") else role.split()[-1]
