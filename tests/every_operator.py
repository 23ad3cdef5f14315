"""Every function that computes, as a call without arguments: for claims that hold for all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import qkernels as qk
from qkernels import _core
from qkernels._base import threads as _threads
from qkernels.demo.random_model import random_llama
from qkernels.weights.raw_ints import raw_scales

NDArray = np.ndarray[Any, Any]
Call = Callable[[], Any]

N, K = 512, 512
HEADS, TOKENS, HEAD_DIM = 4, 48, 64


def values(*shape: int, seed: int, least: float = 1.0) -> NDArray:
    """Random float32 of sizes from `least` to 1 and of both signs."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.uniform(np.log(least), 0.0, shape)) * rng.uniform(1.0, 2.0, shape)
    return np.asarray(sizes * rng.choice([-1.0, 1.0], shape), np.float32)


def products() -> dict[str, Call]:
    dense = values(N, K, seed=1)
    quantised = {fmt: qk.quantize(dense, fmt) for fmt in ("q4_0", "q4_k", "q8_0")}
    tiny = qk.QTensor(values(N, K, seed=2, least=1e-42).view(np.uint8), "f32", (N, K))
    packed = quantised["q4_k"].pack()
    x, rows = values(K, seed=3), values(20, K, seed=4, least=1e-6)
    halves = values(20, K, seed=5, least=1e-7).astype(np.float16)
    bias, gains = values(N, seed=6, least=1e-40), values(K, seed=7)
    gates = np.arange(K // 64) % 2 == 0
    small, thirds = x.astype(np.float64) * 1e-39, x.astype(np.float64) / 3
    w = quantised["q4_k"]
    calls: dict[str, Call] = {
        f"gemm of {fmt}": partial(qk.gemm, v, rows, bias=bias) for fmt, v in quantised.items()
    }
    calls |= {
        "gemv": lambda: qk.gemv(w, x),
        "gemv by int8": lambda: qk.gemv(w, x, act="int8"),
        "gemv of packed": lambda: qk.gemv(packed, x),
        "gemm of denormals": lambda: qk.gemm(tiny, rows),
        "gemv of float64": lambda: qk.gemv(tiny, small, act="float32"),
        "gemv of thirds": lambda: qk.gemv(w, thirds),
        "gemm of halves": lambda: qk.gemm(w, halves, bias=bias, out=np.empty((20, N), np.float16)),
        "gated_gemv": lambda: qk.gated_gemv(tiny, x, gates=gates, block_k=64),
        "rmsnorm_linear": lambda: qk.rmsnorm_linear(rows, gains, w, eps=1e-5, residual=rows),
        "swiglu_ffn": lambda: qk.swiglu_ffn(rows, w, w, w),
        "quantize_activations": lambda: qk.gemm(w, qk.quantize_activations(halves)),
    }
    return calls


def conversions() -> dict[str, Call]:
    dense = values(N, K, seed=8, least=1e-3)
    factors = values(K, seed=9, least=1e-4) ** 2
    w = qk.quantize(dense, "q4_k")
    halves = qk.QTensor(dense.astype(np.float16).view(np.uint8), "f16", (N, K))
    packed = w.pack()
    out = np.empty((N, K), np.float16)
    return {
        "quantize": lambda: qk.quantize(dense, "q4_k").data,
        "quantize by importance": lambda: qk.quantize(dense, "q2_k", imatrix=factors).data,
        "dequantize": lambda: qk.dequantize(w),
        "dequantize to float16": lambda: qk.dequantize(w, out=out).copy(),
        "dequantize of float16": lambda: qk.dequantize(halves),
        "get_rows": lambda: qk.get_rows(w, np.arange(N)),
        "raw_ints": lambda: w.raw_ints(),
        "raw_scales": lambda: np.stack(raw_scales(w)),
        "pack": lambda: w.pack().nbytes,
        "unpack": lambda: packed.unpack().data,
        "read_pass": lambda: _core.read_pass(w.data, "prefetch", 1),
        "read_pass by two": lambda: _core.read_pass(w.data, "prefetch", 2),
    }


def heads() -> dict[str, Call]:
    q = values(HEADS, TOKENS, HEAD_DIM, seed=10)
    k = values(2, TOKENS, HEAD_DIM, seed=11).astype(np.float16)
    positions = np.arange(TOKENS)
    halves = q.astype(np.float16)
    factors = values(HEAD_DIM // 2, seed=12) ** 2

    def attend_cache() -> Any:
        cache = qk.KVCache(2, HEAD_DIM, TOKENS)
        cache.append(q[:2], k)
        return qk.attention(q, cache, causal=True)

    return {
        "attention": lambda: qk.attention(q, k, k, causal=True),
        "attention by a scale": lambda: qk.attention(q, k, k, scale=0.1),
        "attention_scores": lambda: qk.attention_scores(q, k),
        "KVCache": attend_cache,
        "rope": lambda: qk.rope(q, positions, base=12345.6, scale=3.0),
        "rope of halves": lambda: qk.rope(halves, 7, factors=factors, out=np.empty_like(halves)),
    }


def models(folder: Path) -> dict[str, Call]:
    path = random_llama(folder / "model.gguf")
    chosen: dict[str, Any] = {
        "temperature": 0.8,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0.01,
        "seed": 3,
    }
    made = {threads: qk.llama.Model(path, threads=threads) for threads in (1, 2)}

    def model() -> qk.llama.Model:
        return made[_threads.current()]

    return {
        "load_gguf": lambda: [str(t) for t in qk.load_gguf(path, pack=True).values()],
        "logits": lambda: model().logits(list(range(5, 40))),
        "generate": lambda: "".join(
            model().generate("Once upon a time", max_tokens=20, repetition_penalty=1.3, **chosen)
        ),
    }


def every_operator(folder: Path) -> dict[str, Call]:
    """Calls by name, each on inputs that are made once; a model among them lies in `folder`.

    They take their threads, 1 or 2, from `qkernels.num_threads`.
    """
    return products() | conversions() | heads() | models(folder)
