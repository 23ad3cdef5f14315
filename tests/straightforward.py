"""A second reading of the forward pass: float64, head by head, token by token, without a cache."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import qkernels as qk
from qkernels.llama import LlamaConfig

Array = NDArray[Any]


def relative_error(y: Array, exact: Array) -> float:
    return float(np.linalg.norm(y - exact) / np.linalg.norm(exact))


class _Weights:
    """A file's tensors, decoded."""

    def __init__(self, file: qk.GGUFFile) -> None:
        self._file = file

    def __call__(self, name: str) -> Array:
        tensor = self._file.unpacked(name)
        decoded = qk.dequantize(tensor) if isinstance(tensor, qk.QTensor) else tensor
        return cast(Array, decoded.astype(np.float64))

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def project(self, x: Array, name: str) -> Array:
        bias = self(f"{name}.bias") if f"{name}.bias" in self else 0.0
        return cast(Array, x @ self(f"{name}.weight").T + bias)


def _norm(x: Array, gains: Array, epsilon: float) -> Array:
    return np.array([row / np.sqrt(row @ row / row.size + epsilon) for row in x]) * gains


def _rotated(head: Array, position: int, rates: Array, rope: str) -> Array:
    half = head.size // 2
    pairs = (
        head[0::2] + 1j * head[1::2] if rope == "interleaved" else head[:half] + 1j * head[half:]
    )
    pairs = pairs * np.exp(1j * position * rates)
    if rope == "interleaved":
        return np.stack([pairs.real, pairs.imag], axis=1).reshape(-1)
    return np.concatenate([pairs.real, pairs.imag])


def _attention(w: _Weights, c: LlamaConfig, h: Array, block: str, rates: Array) -> Array:
    q, k, v = (w.project(h, f"{block}attn_{name}") for name in "qkv")
    m = len(h)
    q = q.reshape(m, c.heads, c.head_dim)
    k, v = (x.reshape(m, c.kv_heads, c.head_dim) for x in (k, v))
    mixed = np.zeros_like(q)
    for head in range(c.heads):
        shared = head * c.kv_heads // c.heads
        queries, keys = q[:, head], k[:, shared]
        if f"{block}attn_q_norm.weight" in w:
            queries = _norm(queries, w(f"{block}attn_q_norm.weight"), c.rms_epsilon)
            keys = _norm(keys, w(f"{block}attn_k_norm.weight"), c.rms_epsilon)
        for i in range(m):
            query = _rotated(queries[i], i, rates, c.rope)
            past = range(i + 1)
            scores = np.array([query @ _rotated(keys[j], j, rates, c.rope) for j in past])
            chances = np.exp(scores / np.sqrt(c.head_dim))
            mixed[i, head] = chances / chances.sum() @ v[: i + 1, shared]
    return w.project(mixed.reshape(m, -1), f"{block}attn_output")


def straightforward_logits(file: qk.GGUFFile, tokens: list[int]) -> Array:
    """(m, vocabulary) of m tokens from the start of a sequence."""
    c = LlamaConfig.from_metadata(file.metadata)
    w = _Weights(file)
    rates = c.rope_base ** (-2.0 * np.arange(c.head_dim // 2) / c.head_dim) / c.rope_scale
    if "rope_freqs.weight" in w:
        rates = rates / w("rope_freqs.weight")
    x = w("token_embd.weight")[tokens]
    for layer in range(c.layers):
        block = f"blk.{layer}."
        h = _norm(x, w(f"{block}attn_norm.weight"), c.rms_epsilon)
        x = x + _attention(w, c, h, block, rates)
        h = _norm(x, w(f"{block}ffn_norm.weight"), c.rms_epsilon)
        gate = w.project(h, f"{block}ffn_gate")
        inner = gate / (1 + np.exp(-gate)) * w.project(h, f"{block}ffn_up")
        x = x + w.project(inner, f"{block}ffn_down")
    head = "output.weight" if "output.weight" in w else "token_embd.weight"
    logits: Array = _norm(x, w("output_norm.weight"), c.rms_epsilon) @ w(head).T
    return logits
