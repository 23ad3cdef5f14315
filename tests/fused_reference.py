"""What the operators around products are in float64 NumPy."""

from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]


def rms_norm(x: NDArray, gains: NDArray, eps: float = 1e-5) -> NDArray:
    exact = x.astype(np.float64)
    mean = (exact**2).mean(axis=-1, keepdims=True)
    return np.asarray(exact / np.sqrt(mean + eps) * gains.astype(np.float64))


def silu(g: NDArray) -> NDArray:
    with np.errstate(over="ignore"):
        return np.asarray(g / (1 + np.exp(-g)))


def swiglu(x: NDArray, gate: NDArray, up: NDArray) -> NDArray:
    """silu(x @ gate.T) * (x @ up.T) of dense weights."""
    exact = x.astype(np.float64)
    return silu(exact @ gate.T) * (exact @ up.T)


def softmax_weights(
    q: NDArray, k: NDArray, causal: bool = False, scale: float | None = None
) -> NDArray:
    """(heads, m, t) of queries (heads, m, d) over keys (kv_heads, t, d)."""
    keys = k.astype(np.float64).repeat(len(q) // len(k), axis=0)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    scores = q.astype(np.float64) @ keys.transpose(0, 2, 1) * factor
    m, t = scores.shape[1:]
    if causal:
        hidden = np.arange(t) > t - m + np.arange(m)[:, None]
        scores = np.where(hidden, -np.inf, scores)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def attention(
    q: NDArray, k: NDArray, v: NDArray, causal: bool = False, scale: float | None = None
) -> NDArray:
    values = v.astype(np.float64).repeat(len(q) // len(v), axis=0)
    return softmax_weights(q, k, causal, scale) @ values


def rope(
    x: NDArray,
    positions: NDArray,
    base: float = 10000.0,
    kind: str = "interleaved",
    scale: float = 1.0,
    factors: NDArray | None = None,
) -> NDArray:
    """x (..., m, d) with token j at positions[j]: pairs as complex numbers, turned."""
    half = x.shape[-1] // 2
    exact = x.astype(np.float64)
    ones = np.ones(half) if factors is None else factors.astype(np.float64)
    angles = positions[:, None] / scale * base ** (-np.arange(half) / half) / ones
    turn = np.exp(1j * angles)
    out = np.empty_like(exact)
    if kind == "interleaved":
        turned = (exact[..., 0::2] + 1j * exact[..., 1::2]) * turn
        out[..., 0::2], out[..., 1::2] = turned.real, turned.imag
    else:
        turned = (exact[..., :half] + 1j * exact[..., half:]) * turn
        out[..., :half], out[..., half:] = turned.real, turned.imag
    return out
