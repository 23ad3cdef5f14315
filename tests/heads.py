"""Queries, keys and values for the tests of attention, and caches of them."""

from typing import Any

import numpy as np

import qkernels as qk

NDArray = np.ndarray[Any, Any]


def heads_of(
    m: int, t: int, head_dim: int = 64, group: int = 3, kv_heads: int = 2
) -> tuple[NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(1000 * t + m)
    q = rng.standard_normal((kv_heads * group, m, head_dim), np.float32)
    k, v = rng.standard_normal((2, kv_heads, t, head_dim), np.float32)
    return q, k, v


def filled(k: NDArray, v: NDArray, dtype: str, capacity: int | None = None) -> qk.KVCache:
    cache = qk.KVCache(k.shape[0], k.shape[2], capacity or k.shape[1], dtype)
    cache.append(k, v)
    return cache
