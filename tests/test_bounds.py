"""The error bounds: every format, activation kind and ISA against float64.

tests/cpp holds the same kernels to them, at every shape, with the formats' own decode() as the
reference. Here what is decoded is the gguf package's, and the way in is Python's.

Norms are taken over many outputs, by repeating small cases over draws of x: a single output may
cancel, and then its relative error says nothing.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from axes import ACTS, FORMATS, ISAS, pairwise
from weights import block_of, bound, dense, relative_error, tensor

# (n, k, m), for each way to draw x; all batches that neither a vector nor panels have are large.
SHAPES = {
    "gaussian": [(1, 4352, 1), (16, 256, 33), (129, 576, 3)],
    "8 outliers of 20x": [(3, 288, 5), (17, 1280, 2), (129, 32, 33)],
    "one of 1000x": [(17, 576, 33), (129, 288, 7), (16, 1280, 1)],
}
LARGEST_BATCH = 33  # of any test
OUTPUTS = 512  # at least this many outputs a norm

NDArray = np.ndarray[Any, Any]


@lru_cache(maxsize=32)
def activations(draw: str, k: int) -> NDArray:
    """(OUTPUTS + 33, k) rows of x, of which each case takes as many as it needs."""
    rng = np.random.default_rng(k)
    x = rng.standard_normal((OUTPUTS + LARGEST_BATCH, k), np.float32)
    if draw == "8 outliers of 20x":
        for row in x:
            row[rng.choice(k, min(8, k), replace=False)] *= 20
    elif draw == "one of 1000x":
        x[np.arange(len(x)), rng.integers(0, k, len(x))] = 1000
    return x


@lru_cache(maxsize=128)  # all shapes and draws of one format, shared by its ISAs and acts
def weights_and_products(fmt: str, n: int, k: int, draw: str) -> tuple[qk.QTensor, NDArray]:
    """Weights, and the float64 products of `activations` with what gguf decodes them to."""
    weights = tensor(fmt, n, k, seed=n + k)
    rows = -(-OUTPUTS // n) + LARGEST_BATCH
    return weights, activations(draw, k)[:rows].astype(np.float64) @ dense(weights).T


def error_of(fmt: str, n: int, k: int, m: int, draw: str, act: str) -> float:
    """The relative error of at least OUTPUTS outputs, computed in batches of m."""
    weights, exact = weights_and_products(fmt, n, k, draw)
    rows = -(-OUTPUTS // (n * m)) * m
    x = activations(draw, k)[:rows]
    if m == 1:
        y = np.stack([qk.gemv(weights, row, act=act) for row in x])
    else:
        y = np.concatenate([qk.gemm(weights, x[i : i + m], act=act) for i in range(0, rows, m)])
    return relative_error(y, exact[:rows])


def test_products_are_within_the_bound(
    fmt: str, isa: str, act: str, worst_error: Callable[..., None]
) -> None:
    worst = 0.0
    for draw, shapes in SHAPES.items():
        for n, k, m in shapes:
            error = error_of(fmt, n, k, m, draw, act)
            assert error < bound(act, fmt), f"{draw}: n={n} k={k} m={m}: {error:.2e}"
            worst = max(worst, error)
    worst_error(fmt, isa, act, worst)


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS, k=[1, 31, 33, 100, 257, 1000])
def test_k_need_not_be_a_multiple_of_the_block(fmt: str, isa: str, act: str, k: int) -> None:
    """Whatever the last block holds past k meets zeros, even the largest weights."""
    for m in (1, 5, 16):
        assert error_of(fmt, 64, k, m, "gaussian", act) < bound(act, fmt)


def test_the_most_negative_quants_do_not_saturate(isa: str, act: str) -> None:
    """q8_0 quants of -128 against activations of one sign: the largest integer sums there are."""
    raw = np.full((4, 2, 34), 0x80, np.uint8)
    raw[:, :, :2] = np.array([1.0], np.float16).view(np.uint8)
    weights = qk.QTensor(raw.reshape(4, 68), "q8_0", (4, 64))
    for sign in (1.0, -1.0):
        x = np.full(64, sign, np.float32)
        np.testing.assert_allclose(qk.gemv(weights, x, act=act), -128.0 * 64 * sign, rtol=1e-6)
        batch = np.stack([x] * 16)
        np.testing.assert_allclose(
            qk.gemm(weights, batch, act=act), -128.0 * 64 * sign, rtol=bound(act, "q8_0")
        )


def test_typical_int16_error_is_near_2e_5(fmt: str, isa: str) -> None:
    limit = 4e-5 if bound("int16", fmt) == 1e-4 else 2e-6
    for m in (5, 32):
        assert error_of(fmt, 129, 4352, m, "gaussian", "int16") < limit


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS, scale=[1e-39, 1e-36, 1e-20, 1e20, 1e30], m=[5, 17])
def test_tiny_and_huge_x_keep_the_bound(fmt: str, isa: str, act: str, scale: float, m: int) -> None:
    """Denormals too; and what a row's last block holds past k meets no infinity."""
    weights = tensor(fmt, 129, 300, seed=129 + 300)
    x = (activations("gaussian", 300)[:m].astype(np.float64) * scale).astype(np.float32)
    y = qk.gemm(weights, x, act=act)
    assert np.isfinite(y).all()
    ref = x.astype(np.float64) @ dense(weights).T
    assert relative_error(y / scale, ref / scale) < bound(act, fmt)


@pytest.mark.parametrize("packed", [False, True], ids=["native", "packed"])
@pytest.mark.parametrize("name", ["q4_0", "q8_0"])
def test_zero_weights_leave_nothing_of_a_huge_x(
    isa: str, act: str, name: str, packed: bool
) -> None:
    """What a bias adds comes off every lane exactly, before anything is a float."""
    zero, one = ({"q4_0": (0x88, 0x99), "q8_0": (0, 1)})[name]
    nbytes = block_of(name)[1]
    raw = np.full((5, 2, nbytes), zero, np.uint8)
    raw[:, 1] = one
    raw[:, :, :2] = np.array([1.0], np.float16).view(np.uint8)
    weights = qk.QTensor(raw.reshape(5, -1), name, (5, 64))
    x = np.random.default_rng(1).standard_normal(64).astype(np.float32)
    x[:32] *= 1e18
    x[32:] = 1e-3
    taken = weights.pack() if packed else weights
    np.testing.assert_allclose(qk.gemv(taken, x, act=act), 32e-3, rtol=1e-4)
    y = qk.gemm(taken, np.stack([x] * 16), act=act)
    np.testing.assert_allclose(y, 32e-3, rtol=bound(act, name))


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS, m=[1, 5, 17])
def test_zeros_give_zeros(fmt: str, isa: str, act: str, m: int) -> None:
    assert (qk.gemm(tensor(fmt, 16, 64), np.zeros((m, 64), np.float32), act=act) == 0).all()


@pytest.mark.model
@pytest.mark.slow
def test_real_tensors_are_within_the_bound(isa: str, act: str, model_path: Path) -> None:
    names = ["blk.0.attn_q.weight", "blk.3.ffn_down.weight", "blk.17.attn_k.weight"]
    with qk.load_gguf(model_path) as file:
        for name in [*names, "token_embd.weight"]:
            weights = file[name]
            assert isinstance(weights, qk.QTensor)
            weights = weights[:2048] if weights.shape[0] > 2048 else weights
            w = dense(weights).T
            for draw in SHAPES:
                x = activations(draw, weights.shape[1])[:20]
                error = relative_error(qk.gemm(weights, x, act=act), x.astype(np.float64) @ w)
                assert error < bound(act, weights.fmt), f"{name} {draw}: {error:.2e}"
