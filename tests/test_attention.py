"""Attention against float64: heads, masks, caches, and what a row's result may depend on."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fused_reference as reference
import qkernels as qk
from heads import filled, heads_of
from test_properties import EPSILON, FLOATS, bounded, refusals, result_or_refusal, values
from weights import SANITIZED, relative_error

NDArray = np.ndarray[Any, Any]

LENGTHS = [1, 17, 65] if SANITIZED else [1, 15, 16, 17, 64, 65, 200]
HEAD_DIMS = [2, 80, 256] if SANITIZED else [2, 64, 80, 128, 256]
GROUPS = [1, 3, 8]
DTYPES: list[Any] = [np.float32, np.float16, ml_dtypes.bfloat16]


@pytest.mark.parametrize("head_dim", HEAD_DIMS)
@pytest.mark.parametrize("group", GROUPS)
def test_attention_is_within_the_bound_of_float64(isa: str, head_dim: int, group: int) -> None:
    for t in LENGTHS:
        for m in {1, min(t, 17)}:
            q, k, v = heads_of(m, t, head_dim, group, kv_heads=1 if group == 8 else 2)
            half_k, half_v = k.astype(np.float16), v.astype(np.float16)
            for causal in (False, True):
                exact = reference.attention(q, k, v, causal)
                rounded = reference.attention(q, half_k, half_v, causal)
                results = [
                    (qk.attention(q, k, v, causal=causal), exact),
                    (qk.attention(q, filled(k, v, "float32"), causal=causal), exact),
                    (qk.attention(q, filled(k, v, "float16"), causal=causal), rounded),
                    (qk.attention_scores(q, k, causal=causal),
                     reference.softmax_weights(q, k, causal)),
                ]  # fmt: skip
                for i, (y, ref) in enumerate(results):
                    error = relative_error(y, ref)
                    assert error < 2e-6, f"t={t} m={m} causal={causal} #{i}: {error:.2e}"


@pytest.mark.parametrize("t", LENGTHS)
def test_scores_sum_to_one_and_are_zero_where_they_are_masked(isa: str, t: int) -> None:
    for m in {1, t}:
        q, k, _ = heads_of(m, t)
        scores = qk.attention_scores(q, k, causal=True)
        np.testing.assert_allclose(scores.sum(axis=-1, dtype=np.float64), 1, rtol=0, atol=1e-6)
        hidden = np.arange(t) > t - m + np.arange(m)[:, None]
        assert (scores[:, hidden].view(np.uint32) == 0).all()
        assert (scores[:, ~hidden] > 0).all()


def test_the_softmax_is_stable_for_scores_of_1e4(isa: str) -> None:
    """Scores are exact: products of whole numbers, so that only the softmax can be wrong."""
    rng = np.random.default_rng(3)
    k = rng.integers(-5000, 5001, (1, 200, 2)).astype(np.float32)
    k[0, [3, 150, 199]] = [[5000, 0], [4999, 1], [4999, 0]]
    k[0, :, 1] %= 3
    v = rng.standard_normal((1, 200, 2), np.float32)
    for sign in (2.0, -2.0):
        q = np.full((1, 1, 2), sign, np.float32)
        weights = qk.attention_scores(q, k, scale=1.0)
        exact = reference.softmax_weights(q, k, scale=1.0)
        np.testing.assert_allclose(weights, exact, rtol=1e-6, atol=1e-37)
        y = qk.attention(q, k, v, scale=1.0)
        np.testing.assert_allclose(y, reference.attention(q, k, v, scale=1.0), rtol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, -0.5, 3.7])
def test_the_scale_is_any_number(isa: str, scale: float) -> None:
    q, k, v = heads_of(3, 40, head_dim=16)
    exact = reference.attention(q, k, v, scale=scale)
    assert relative_error(qk.attention(q, k, v, scale=scale), exact) < 2e-6


@pytest.mark.parametrize("causal", [False, True])
def test_threads_change_no_bit(isa: str, causal: bool) -> None:
    q, k, v = heads_of(33, 300)
    cache = filled(k, v, "float16")
    expected = [
        qk.attention(q, k, v, causal=causal, threads=1),
        qk.attention(q, cache, causal=causal, threads=1),
        qk.attention_scores(q, k, causal=causal, threads=1),
    ]
    for threads in (1, 2, 3, 7, 64):
        got = [
            qk.attention(q, k, v, causal=causal, threads=threads),
            qk.attention(q, cache, causal=causal, threads=threads),
            qk.attention_scores(q, k, causal=causal, threads=threads),
        ]
        for y, before in zip(got, expected, strict=True):
            np.testing.assert_array_equal(y, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["key", "value"])
@pytest.mark.parametrize("at", [16, 29, 69])
def test_a_bad_key_or_value_reaches_only_those_who_see_it(
    isa: str, bad: float, where: str, at: int
) -> None:
    m = t = 70
    q, k, v = heads_of(m, t)
    clean = qk.attention(q, k, v, causal=True)
    (k if where == "key" else v)[0, at, 5] = bad
    rows = np.arange(m)
    cache = filled(k, v, "float32")
    for y in (qk.attention(q, k, v, causal=True), qk.attention(q, cache, causal=True)):
        np.testing.assert_array_equal(y[:, rows < at], clean[:, rows < at])
        np.testing.assert_array_equal(y[3:], clean[3:])  # the other key head
        if where == "value":
            assert not np.isfinite(y[:3, at:, 5]).any()
            np.testing.assert_array_equal(np.delete(y, 5, axis=-1), np.delete(clean, 5, axis=-1))
    scores = qk.attention_scores(q, k, causal=True)
    assert np.isfinite(scores[:, rows < at]).all()


def test_a_bad_query_stays_in_its_row(isa: str) -> None:
    q, k, v = heads_of(9, 50)
    clean = qk.attention(q, k, v)
    q[1, 4, 7] = np.nan
    y = qk.attention(q, k, v)
    assert np.isnan(y[1, 4]).all()
    y[1, 4] = clean[1, 4]
    np.testing.assert_array_equal(y, clean)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_stride_goes_in_and_out(isa: str, dtype: Any) -> None:
    q, k, v = (a.astype(dtype) for a in heads_of(7, 20, head_dim=24))
    expected = qk.attention(*(a.astype(np.float32) for a in (q, k, v)))
    by_token = [np.ascontiguousarray(a.transpose(1, 0, 2)).transpose(1, 0, 2) for a in (q, k, v)]
    backwards = [np.ascontiguousarray(a[::-1, :, ::-1])[::-1, :, ::-1] for a in (q, k, v)]
    columns = [np.asfortranarray(a) for a in (q, k, v)]
    for arrays in ([q, k, v], by_token, backwards, columns):
        np.testing.assert_array_equal(qk.attention(arrays[0], arrays[1], arrays[2]), expected)
        cache = qk.KVCache(2, 24, 20, "float32")
        cache.append(arrays[1], arrays[2])
        np.testing.assert_array_equal(qk.attention(arrays[0], cache), expected)
    room = np.full((7, 6, 48), 5, dtype)
    out = room.transpose(1, 0, 2)[..., ::2]
    assert qk.attention(q, k, v, out=out) is out
    np.testing.assert_array_equal(out, expected.astype(dtype))
    assert (room[..., 1::2] == 5).all()
    scores = np.empty((7, 6, 20), dtype).transpose(1, 0, 2)
    assert qk.attention_scores(q, k, out=scores) is scores
    np.testing.assert_array_equal(scores, qk.attention_scores(q, k).astype(dtype))


def test_torch_in_torch_out() -> None:
    q, k, v = heads_of(4, 30)
    expected = qk.attention(q, k, v, causal=True)
    tq, tk, tv = (torch.from_numpy(a) for a in (q, k, v))
    y = qk.attention(tq, tk, tv, causal=True)
    assert isinstance(y, torch.Tensor)
    np.testing.assert_array_equal(y.numpy(), expected)
    scores = qk.attention_scores(tq, tk)
    assert isinstance(scores, torch.Tensor)
    assert scores.shape == (6, 4, 30)
    cache = qk.KVCache(2, 64, 30, "float32")
    cache.append(tk, tv)
    out = torch.empty(6, 4, 64, dtype=torch.bfloat16)
    assert qk.attention(tq, cache, causal=True, out=out) is out
    assert torch.equal(out, y.bfloat16())


def test_no_queries_is_a_result_without_rows(isa: str) -> None:
    q, k, v = heads_of(1, 20)
    assert qk.attention(q[:, :0], k, v).shape == (6, 0, 64)
    assert qk.attention_scores(q[:, :0], k, causal=True).shape == (6, 0, 20)


@st.composite
def calls(draw: st.DrawFn) -> tuple[NDArray, NDArray, NDArray, dict[str, Any]]:
    """Attention: most of it right, the rest wrong in one thing or several."""
    head_dim = draw(st.sampled_from([1, 2, 3, 16, 17, 33, 64]))
    kv_heads, group = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    m, t = draw(st.integers(0, 9)), draw(st.integers(0, 90))
    heads = draw(st.sampled_from([kv_heads * group] * 6 + [kv_heads * group + 1]))
    q = draw(values((heads, m, head_dim), FLOATS))
    k = draw(values((kv_heads, t, head_dim), FLOATS))
    v = draw(values((kv_heads, draw(st.sampled_from([t] * 8 + [t + 1])), head_dim), FLOATS))
    options: dict[str, Any] = {
        "causal": draw(st.booleans()),
        "threads": draw(st.sampled_from([None, 1, 3])),
        "scale": draw(st.sampled_from([None, 0.25, -1.0])),
    }
    if draw(st.booleans()):
        options["out"] = draw(values((heads, m, head_dim), FLOATS)).copy(
            order=draw(st.sampled_from("CFK"))
        )
    return q, k, v, options


@bounded(200)
@given(calls())
def test_attention_is_right_or_refused(
    call: tuple[NDArray, NDArray, NDArray, dict[str, Any]],
) -> None:
    q, k, v, options = call
    right = k.shape == v.shape and k.shape[1] > 0 and len(q) % len(k) == 0
    right = right and not (options["causal"] and q.shape[1] > k.shape[1])
    y = result_or_refusal(lambda: qk.attention(q, k, v, **options), refusals(values=not right))
    if y is None:
        return
    exact = reference.attention(q, k, v, options["causal"], options["scale"])
    limit = 5e-6 + EPSILON[y.dtype.name] * np.abs(exact)
    assert (np.abs(y.astype(np.float64) - exact) <= limit).all()
