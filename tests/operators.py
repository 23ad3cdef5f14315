"""Every public operator with arguments that it takes: what a table of wrong calls changes one of.

An argument has a role, which says what is wrong for it: `tests/test_wrong_kinds.py` has a list of
wrong values for each role, so that an operator is tested by standing here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import qkernels as qk
from weights import random_weights

N, K, M = 12, 256, 3
HEADS, POSITIONS, HEAD_DIM = 2, 5, 16

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Operator:
    """A function, arguments of NumPy that it takes, and what each of them is."""

    call: Callable[..., Any]
    arguments: Callable[[], Arguments]
    roles: dict[str, str]


def floats(*shape: int) -> Any:
    """Some numbers, none of which is special."""
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def weights(n: int = N) -> Any:
    """Weights of its own, so that a reference too many shows."""
    return qk.QTensor(random_weights("q4_0", n, K).copy(), "q4_0", (n, K))


def _cache() -> Any:
    cache = qk.KVCache(HEADS, HEAD_DIM, 8)
    cache.append(floats(HEADS, POSITIONS, HEAD_DIM), floats(HEADS, POSITIONS, HEAD_DIM))
    return cache


_PRODUCT = {"weights": "weights", "x": "floats", "bias": "optional floats", "act": "act"}
_LAST = {"out": "out", "threads": "threads"}

OPERATORS: dict[str, Operator] = {
    "gemv": Operator(
        qk.gemv,
        lambda: {
            "weights": weights(), "x": floats(K), "bias": floats(N), "act": "int16",
            "out": floats(N), "threads": 1,
        },
        _PRODUCT | _LAST,
    ),
    "gemm": Operator(
        qk.gemm,
        lambda: {
            "weights": weights(), "x": floats(M, K), "bias": floats(N), "act": "int16",
            "out": floats(M, N), "threads": 1,
        },
        _PRODUCT | _LAST,
    ),
    "gemm, packed": Operator(
        qk.gemm,
        lambda: {
            "weights": weights().pack(), "x": floats(M, K), "bias": floats(N), "act": "int16",
            "out": floats(M, N), "threads": 1,
        },
        _PRODUCT | _LAST,
    ),
    "gemm, raw": Operator(
        qk.gemm,
        lambda: {
            "weights": random_weights("q4_0", N, K).copy(), "x": floats(M, K), "fmt": "q4_0",
            "out": floats(M, N), "threads": 1,
        },
        {"weights": "raw weights", "x": "floats", "fmt": "fmt"} | _LAST,
    ),
    "gated_gemv": Operator(
        qk.gated_gemv,
        lambda: {
            "weights": weights(), "x": floats(K), "gates": np.arange(K // 32) % 2 == 0,
            "block_k": 32, "bias": floats(N), "act": "int16", "out": floats(N), "threads": 1,
        },
        _PRODUCT | {"gates": "gates", "block_k": "count"} | _LAST,
    ),
    "dequantize": Operator(
        qk.dequantize,
        lambda: {"weights": weights(), "rows": slice(2, 5), "out": floats(3, K), "threads": 1},
        {"weights": "weights", "rows": "rows"} | _LAST,
    ),
    "get_rows": Operator(
        qk.get_rows,
        lambda: {
            "weights": weights(), "ids": np.array([1, 3]), "out": floats(2, K), "threads": 1,
        },
        {"weights": "weights", "ids": "ids"} | _LAST,
    ),
    "quantize_activations": Operator(
        qk.quantize_activations,
        lambda: {"x": floats(M, K), "act": "int16", "threads": 1},
        {"x": "floats", "act": "act", "threads": "threads"},
    ),
    "quantize": Operator(
        qk.quantize,
        lambda: {"a": floats(N, K), "fmt": "q4_0", "imatrix": abs(floats(K)), "threads": 1},
        {"a": "floats", "fmt": "fmt", "imatrix": "optional floats", "threads": "threads"},
    ),
    "rmsnorm_linear": Operator(
        qk.rmsnorm_linear,
        lambda: {
            "x": floats(M, K), "gains": floats(K), "weights": weights(), "eps": 1e-5,
            "bias": floats(N), "residual": floats(M, N), "act": "int16", "out": floats(M, N),
            "threads": 1,
        },
        _PRODUCT | {"gains": "floats", "eps": "number", "residual": "optional floats"} | _LAST,
    ),
    "swiglu_proj": Operator(
        qk.swiglu_proj,
        lambda: {
            "x": floats(M, K), "gate": weights(), "up": weights(), "act": "int16",
            "out": floats(M, N), "threads": 1,
        },
        {"x": "floats", "gate": "weights", "up": "weights", "act": "act"} | _LAST,
    ),
    "swiglu_ffn": Operator(
        qk.swiglu_ffn,
        lambda: {
            "x": floats(M, K), "gate": weights(K), "up": weights(K), "down": weights(),
            "gains": floats(K), "eps": 1e-5, "residual": floats(M, N), "act": "int16",
            "out": floats(M, N), "threads": 1,
        },
        {"x": "floats", "gate": "weights", "up": "weights", "down": "weights"}
        | {"gains": "optional floats", "eps": "number", "residual": "optional floats"}
        | {"act": "act"} | _LAST,
    ),
    "attention": Operator(
        qk.attention,
        lambda: {
            "q": floats(4, M, HEAD_DIM), "k": floats(HEADS, POSITIONS, HEAD_DIM),
            "v": floats(HEADS, POSITIONS, HEAD_DIM), "scale": 0.25, "out": floats(4, M, HEAD_DIM),
            "threads": 1,
        },
        {"q": "floats", "k": "floats", "v": "floats", "scale": "number"} | _LAST,
    ),
    "attention, cached": Operator(
        lambda q, scale, out, threads: qk.attention(q, _cache(), scale=scale, out=out,
                                                    threads=threads),
        lambda: {
            "q": floats(4, M, HEAD_DIM), "scale": 0.25, "out": floats(4, M, HEAD_DIM),
            "threads": 1,
        },
        {"q": "floats", "scale": "number"} | _LAST,
    ),
    "attention_scores": Operator(
        qk.attention_scores,
        lambda: {
            "q": floats(4, M, HEAD_DIM), "k": floats(HEADS, POSITIONS, HEAD_DIM), "scale": 0.25,
            "out": floats(4, M, POSITIONS), "threads": 1,
        },
        {"q": "floats", "k": "floats", "scale": "number"} | _LAST,
    ),
    "rope": Operator(
        qk.rope,
        lambda: {
            "x": floats(HEADS, M, HEAD_DIM), "positions": np.arange(M), "base": 1e4,
            "kind": "neox", "scale": 1.0, "factors": abs(floats(HEAD_DIM // 2)) + 1,
            "out": floats(HEADS, M, HEAD_DIM), "threads": 1,
        },
        {"x": "floats", "positions": "positions", "base": "positive number", "kind": "word"}
        | {"scale": "positive number", "factors": "optional floats"} | _LAST,
    ),
    "KVCache.append": Operator(
        lambda k, v: _cache().append(k, v),
        lambda: {"k": floats(HEADS, 2, HEAD_DIM), "v": floats(HEADS, 2, HEAD_DIM)},
        {"k": "floats", "v": "floats"},
    ),
    "KVCache": Operator(
        qk.KVCache,
        lambda: {"kv_heads": 2, "head_dim": 16, "capacity": 8, "dtype": "float16"},
        {"kv_heads": "count", "head_dim": "count", "capacity": "count", "dtype": "word"},
    ),
    "QTensor": Operator(
        qk.QTensor,
        lambda: {
            "data": random_weights("q4_0", N, K).copy(), "fmt": "q4_0", "shape": (N, K),
        },
        {"data": "raw weights", "fmt": "fmt", "shape": "shape"},
    ),
    "pack": Operator(
        lambda threads: weights().pack(threads=threads), lambda: {"threads": 1},
        {"threads": "threads"},
    ),
    "raw_ints": Operator(
        lambda threads: weights().raw_ints(threads=threads), lambda: {"threads": 1},
        {"threads": "threads"},
    ),
    "w @ x": Operator(
        lambda x: weights() @ x, lambda: {"x": floats(K)}, {"x": "operand"}
    ),
    "gates.train": Operator(
        qk.gates.train,
        lambda: {"w": weights(), "x": floats(8, K), "block_k": 32, "threads": 1},
        {"w": "weights", "x": "floats", "block_k": "count", "threads": "threads"},
    ),
}  # fmt: skip
