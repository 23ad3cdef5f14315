"""The error bounds: every format, activation kind and ISA against float64.

Norms are taken over many outputs, by repeating small cases over draws of x: a single output may
cancel, and then its relative error says nothing.
"""

import numpy as np
import pytest
from weights import bound, dense, relative_error, tensor

import qkernels as qk

SHAPES_N = [1, 3, 17, 129]
SHAPES_K = [32, 256, 288, 576, 1280]
BATCHES = [1, 2, 5]
OUTPUTS = 1024  # at least this many outputs a norm


def gaussian(rng: np.random.Generator, m: int, k: int) -> np.ndarray:
    return rng.standard_normal((m, k)).astype(np.float32)


def with_outliers(rng: np.random.Generator, m: int, k: int) -> np.ndarray:
    x = gaussian(rng, m, k)
    for row in x:
        row[rng.choice(k, 8, replace=False)] *= 20
    return x


def one_outlier(rng: np.random.Generator, m: int, k: int) -> np.ndarray:
    x = gaussian(rng, m, k)
    x[np.arange(m), rng.integers(0, k, m)] = 1000
    return x


DRAWS = {"gaussian": gaussian, "8 outliers of 20x": with_outliers, "one of 1000x": one_outlier}


def error_over_draws(weights: qk.QTensor, m: int, draw: str, act: str) -> float:
    n, k = weights.shape
    w = dense(weights)
    rng = np.random.default_rng(n * 7919 + k * 31 + m)
    got, ref = [], []
    for _ in range(-(-OUTPUTS // (n * m))):
        x = DRAWS[draw](rng, m, k)
        y = qk.gemv(weights, x[0], act=act)[None] if m == 1 else qk.gemm(weights, x, act=act)
        got.append(y)
        ref.append(x.astype(np.float64) @ w.T)
    return relative_error(np.concatenate(got), np.concatenate(ref))


@pytest.mark.parametrize("draw", DRAWS)
def test_products_are_within_the_bound(fmt: str, isa: str, act: str, draw: str) -> None:
    worst = 0.0
    for n in SHAPES_N:
        for k in SHAPES_K:
            weights = tensor(fmt, n, k, seed=n + k)
            for m in BATCHES:
                error = error_over_draws(weights, m, draw, act)
                assert error < bound(act, fmt), f"n={n} k={k} m={m}: {error:.2e}"
                worst = max(worst, error)
    print(f"{fmt} {isa} {act} {draw}: worst {worst:.1e}")


@pytest.mark.parametrize("k", [1, 31, 33, 100, 257, 1000])
def test_k_need_not_be_a_multiple_of_the_block(fmt: str, isa: str, act: str, k: int) -> None:
    """Whatever the last block holds past k meets zeros, even the largest weights."""
    weights = tensor(fmt, 64, k, seed=k)
    for m in (1, 5):
        assert error_over_draws(weights, m, "gaussian", act) < bound(act, fmt)


def test_the_most_negative_quants_do_not_saturate(isa: str, act: str) -> None:
    """q8_0 quants of -128 against activations of one sign: the largest integer sums there are."""
    raw = np.full((4, 2, 34), 0x80, np.uint8)
    raw[:, :, :2] = np.array([1.0], np.float16).view(np.uint8)
    weights = qk.QTensor(raw.reshape(4, 68), "q8_0", (4, 64))
    for sign in (1.0, -1.0):
        x = np.full(64, sign, np.float32)
        np.testing.assert_allclose(qk.gemv(weights, x, act=act), -128.0 * 64 * sign, rtol=1e-6)


def test_typical_int16_error_is_near_2e_5(fmt: str, isa: str) -> None:
    if bound("int16", fmt) < 1e-4:
        limit = 2e-6
    else:
        limit = 4e-5
    weights = tensor(fmt, 512, 2048, seed=3)
    assert error_over_draws(weights, 5, "gaussian", "int16") < limit


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1e20, 1e30])
def test_tiny_and_huge_x_keep_the_bound(fmt: str, isa: str, act: str, scale: float) -> None:
    weights = tensor(fmt, 129, 288, seed=5)
    rng = np.random.default_rng(6)
    x = (rng.standard_normal((5, 288)) * scale).astype(np.float32)
    y = qk.gemm(weights, x, act=act)
    assert np.isfinite(y).all()
    ref = x.astype(np.float64) @ dense(weights).T
    assert relative_error(y / scale, ref / scale) < bound(act, fmt)


def test_denormal_x_gives_finite_products(fmt: str, isa: str, act: str) -> None:
    weights = tensor(fmt, 16, 64)
    x = np.full(64, 1e-45, np.float32)
    assert np.isfinite(qk.gemv(weights, x, act=act)).all()
    assert (qk.gemv(weights, np.zeros(64, np.float32), act=act) == 0).all()


@pytest.mark.model
@pytest.mark.slow
def test_real_tensors_are_within_the_bound(isa: str, act: str, model_path: str) -> None:
    names = ["blk.0.attn_q.weight", "blk.3.ffn_down.weight", "blk.17.attn_k.weight"]
    with qk.load_gguf(model_path) as file:
        for name in [*names, "token_embd.weight"]:
            weights = file[name]
            assert isinstance(weights, qk.QTensor)
            weights = weights[:2048] if weights.shape[0] > 2048 else weights
            for draw in DRAWS:
                error = error_over_draws(weights, 5, draw, act)
                assert error < bound(act, weights.fmt), f"{name} {draw}: {error:.2e}"
