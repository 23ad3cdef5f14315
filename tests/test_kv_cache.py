"""Attention over a cache: what was appended is what is seen, one by one or all at once."""

import threading
from typing import Any

import numpy as np
import pytest

import fused_reference as reference
import qkernels as qk
from heads import filled, heads_of
from weights import relative_error

NDArray = np.ndarray[Any, Any]

CACHES = ["float32", "float16"]
GROUPS = [1, 3, 8]


@pytest.mark.parametrize("dtype", CACHES)
@pytest.mark.parametrize("group", GROUPS)
def test_a_causal_prefill_is_decoding_one_by_one_to_the_last_bit(
    isa: str, dtype: str, group: int
) -> None:
    t = 131
    q, k, v = heads_of(t, t, head_dim=80, group=group)
    whole = qk.attention(q, filled(k, v, dtype), causal=True)
    cache = qk.KVCache(2, 80, t, dtype)
    for i in range(t):
        step = slice(i, i + 1)
        cache.append(k[:, step], v[:, step])
        one = qk.attention(q[:, step], cache, causal=True)
        np.testing.assert_array_equal(one, whole[:, step])
    if dtype == "float32":
        np.testing.assert_array_equal(qk.attention(q, k, v, causal=True), whole)


def test_a_prefill_in_parts_is_the_whole_prefill(isa: str) -> None:
    q, k, v = heads_of(100, 100)
    whole = qk.attention(q, filled(k, v, "float16"), causal=True)
    cache = qk.KVCache(2, 64, 1000)
    for part in (slice(0, 37), slice(37, 38), slice(38, 100)):
        cache.append(k[:, part], v[:, part])
        y = qk.attention(q[:, part], cache, causal=True)
        np.testing.assert_array_equal(y, whole[:, part])


@pytest.mark.parametrize("dtype", CACHES)
def test_a_truncated_cache_forgets_what_it_held(isa: str, dtype: str) -> None:
    q, k, v = heads_of(1, 40)
    cache = filled(k[:, :20], v[:, :20], dtype, capacity=40)
    expected = qk.attention(q, cache)
    spoilt = np.full((2, 20, 64), np.nan, np.float32)
    cache.append(spoilt, spoilt)
    assert len(cache) == 40
    assert np.isnan(qk.attention(q, cache)).all()
    cache.truncate(20)
    assert len(cache) == 20
    np.testing.assert_array_equal(qk.attention(q, cache), expected)
    cache.append(k[:, 20:], v[:, 20:])
    np.testing.assert_array_equal(
        qk.attention(q, cache), qk.attention(q, filled(k, v, dtype)))  # fmt: skip


def test_a_cache_says_what_it_is() -> None:
    cache = qk.KVCache(4, 64, 100)
    assert (cache.kv_heads, cache.head_dim, cache.capacity, cache.dtype) == (4, 64, 100, "float16")
    assert len(cache) == 0
    assert cache.nbytes == 2 * 4 * 64 * 112 * 2  # whole panels of 16 positions
    assert qk.KVCache(4, 64, 100, "float32").nbytes == 2 * cache.nbytes
    assert repr(cache) == (
        "KVCache(kv_heads=4, head_dim=64, 0 of 100 positions, float16, 114,688 bytes)"
    )


def test_a_cache_serves_every_isa() -> None:
    q, k, v = heads_of(5, 50)
    cache = filled(k, v, "float16")
    exact = reference.attention(q, k.astype(np.float16), v.astype(np.float16))
    before = qk.info()["isa"]
    try:
        for isa in qk.isas():
            qk._core.force_isa(isa)
            assert relative_error(qk.attention(q, cache), exact) < 2e-6
    finally:
        qk._core.force_isa(before)


def test_readers_and_a_writer_at_once_see_whole_appends() -> None:
    """Every key is zero and every value the same, so that any prefix of them gives that value."""
    cache = qk.KVCache(2, 64, 2000)
    k, v = np.zeros((2, 4, 64), np.float32), np.ones((2, 4, 64), np.float32)
    cache.append(k, v)
    wrong: list[NDArray] = []
    q = np.ones((4, 1, 64), np.float32)

    def read() -> None:
        for _ in range(100):
            y = qk.attention(q, cache)
            if not np.allclose(y, 1, atol=1e-6):
                wrong.append(y)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(200):
        cache.append(k, v)
    for reader in readers:
        reader.join()
    assert len(cache) == 804
    assert wrong == []
