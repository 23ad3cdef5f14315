"""Norm, product and residual in one; gates; feed-forward blocks: all against float64."""

from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import qkernels as qk
from axes import ACTS, FORMATS, ISAS, pairwise
from fused_reference import rms_norm, swiglu
from weights import SANITIZED, bound, dense, random_weights, relative_error, tensor

NDArray = np.ndarray[Any, Any]
Matrix = qk.QTensor | qk.PackedTensor

K, HIDDEN, N = 300, 72, 40  # no multiples of a unit, a block or a panel
BATCHES = (1, 17) if SANITIZED else (1, 5, 17)
DTYPES: list[Any] = [np.float32, np.float16, ml_dtypes.bfloat16]
OUTPUTS = 256 if SANITIZED else 512  # at least as many in a norm


def gaussian(*shape: int, seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


GAINS = 1 + 0.3 * gaussian(K, seed=1)
BIAS = gaussian(N, seed=2)


@lru_cache(maxsize=8)  # one format's weights serve all of its ISAs and acts
def block(fmt: str) -> tuple[qk.QTensor, qk.QTensor, qk.QTensor]:
    """gate, up and down of one format."""
    return (
        tensor(fmt, HIDDEN, K, seed=1),
        tensor(fmt, HIDDEN, K, seed=2),
        tensor(fmt, N, HIDDEN, seed=3),
    )


@lru_cache(maxsize=8)
def references(fmt: str) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """x, and of it: rmsnorm_linear by the gate, swiglu_proj and swiglu_ffn, with residuals."""
    gate, up, down = (dense(w) for w in block(fmt))
    x = gaussian(-(-OUTPUTS // N) + max(BATCHES), K, seed=4)
    normed = rms_norm(x, GAINS)
    residual = x[:, :N].astype(np.float64)
    ffn = swiglu(normed, gate, up) @ down.T + residual
    return x, normed @ gate.T + x[:, :HIDDEN], swiglu(x, gate, up), ffn


def in_batches(call: Any, x: NDArray, m: int) -> NDArray:
    """The results of `call` for as many batches of m rows as make OUTPUTS numbers."""
    rows = -(-OUTPUTS // (N * m)) * m
    return np.concatenate([call(x[i] if m == 1 else x[i : i + m]).reshape(m, -1)
                           for i in range(0, rows, m)])  # fmt: skip


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS, packed=[False, True])
def test_fused_operators_are_within_twice_the_bound(
    fmt: str, isa: str, act: str, packed: bool
) -> None:
    gate, up, down = (w.pack() if packed else w for w in block(fmt))
    x, linear, gated, ffn = references(fmt)
    limit = 2 * bound(act, fmt)
    calls: list[tuple[Any, NDArray]] = [
        (lambda b: qk.rmsnorm_linear(b, GAINS, gate, residual=b[..., :HIDDEN], act=act), linear),
        (lambda b: qk.swiglu_proj(b, gate, up, act=act), gated),
        (lambda b: qk.swiglu_ffn(
            b, gate, up, down, gains=GAINS, residual=b[..., :N], act=act), ffn),
    ]  # fmt: skip
    for call, exact in calls:
        for m in BATCHES:
            y = in_batches(call, x, m)
            error = relative_error(y, exact[: len(y)])
            assert error < limit, f"m={m}: {error:.2e}"


def test_the_parts_add_up(fmt: str, isa: str) -> None:
    """A fused operator is what its parts are one after the other, but for what they round."""
    gate, up, down = block(fmt)
    x = gaussian(5, K)
    product = qk.gemm(gate, rms_norm(x, GAINS).astype(np.float32), act="float32")
    fused = qk.rmsnorm_linear(x, GAINS, gate, act="float32")
    assert relative_error(fused, product.astype(np.float64)) < 1e-6
    projected = qk.swiglu_proj(x, gate, up)
    np.testing.assert_array_equal(qk.swiglu_ffn(x, gate, up, down), qk.gemm(down, projected))


def test_bias_and_residual_are_added(isa: str) -> None:
    weights = tensor("q4_k", N, K)
    x, residual = gaussian(5, K), gaussian(5, N, seed=3)
    plain = qk.rmsnorm_linear(x, GAINS, weights)
    biased = qk.rmsnorm_linear(x, GAINS, weights, bias=BIAS)
    np.testing.assert_array_equal(biased, plain + BIAS)
    onto = qk.rmsnorm_linear(x, GAINS, weights, residual=residual)
    np.testing.assert_array_equal(onto, plain + residual)
    both = qk.rmsnorm_linear(x, GAINS, weights, bias=BIAS, residual=residual)
    np.testing.assert_array_equal(both, plain + (residual + BIAS))


@pairwise(
    isa=ISAS,
    act=ACTS,
    scale=[1e-40, 1e-30, 1e-19, 1e-10, 1.0, 1e10, 1e19, 1e30, 3e37],
    eps=[0.0, 1e-6, 0.5],
)
def test_the_norm_of_tiny_and_huge_rows_is_exact(
    isa: str, act: str, scale: float, eps: float
) -> None:
    """Squares of such values leave the floats; their norms do not."""
    weights = tensor("q8_0", 129, K)
    x = (gaussian(5, K).astype(np.float64) * scale).astype(np.float32)
    y = qk.rmsnorm_linear(x, GAINS, weights, eps=eps, act=act)
    exact = rms_norm(x, GAINS, eps) @ dense(weights).T
    size = np.linalg.norm(exact)
    if size > 1e-35:  # below, results are denormal
        assert np.linalg.norm(y / size - exact / size) < 2 * bound(act, "q8_0")
    else:
        np.testing.assert_allclose(y, exact, rtol=0, atol=1e-36)


def test_a_row_of_zeros_has_the_norm_zero(isa: str, act: str) -> None:
    y = qk.rmsnorm_linear(np.zeros((2, K), np.float32), GAINS, tensor("q4_0", N, K), act=act)
    assert (y == 0).all()


@pytest.mark.parametrize("names", [("f16", "q4_k", "q6_k"), ("q4_k", "bf16", "q6_k")])
def test_float_weights_beside_quantised_ones_take_float32(isa: str, names: tuple[str, ...]) -> None:
    gate, up, _ = (block(name)[i] for i, name in enumerate(names))
    x = gaussian(17, K)
    exact = swiglu(x, dense(gate), dense(up))
    assert relative_error(qk.swiglu_proj(x, gate, up, act="int8"), exact) < 4e-6


def test_native_and_packed_weights_mix(fmt: str, isa: str) -> None:
    gate, up, down = block(fmt)
    x = gaussian(5, K)
    expected = qk.swiglu_ffn(x, gate, up, down).astype(np.float64)
    mixes: list[tuple[Matrix, Matrix, Matrix]] = [
        (gate.pack(), up, down), (gate, up.pack(), down.pack())]  # fmt: skip
    for mixed in mixes:
        assert relative_error(qk.swiglu_ffn(x, *mixed), expected) < 2 * bound("int16", fmt)


def test_raw_blocks_are_taken_with_their_format() -> None:
    gate, up, down = block("q5_0")
    x = gaussian(3, K)
    raws = [np.asarray(w.data) for w in (gate, up, down)]
    np.testing.assert_array_equal(
        qk.swiglu_ffn(x, raws[0], raws[1], raws[2], "q5_0", gains=GAINS),
        qk.swiglu_ffn(x, gate, up, down, gains=GAINS),
    )
    np.testing.assert_array_equal(
        qk.rmsnorm_linear(x, GAINS, raws[0], "Q5_0"), qk.rmsnorm_linear(x, GAINS, gate)
    )


def test_threads_and_repetition_change_no_bit(isa: str, act: str) -> None:
    gate, up = tensor("q4_k", 1025, 288, seed=1), tensor("q6_k", 1025, 288, seed=2)
    down = tensor("q5_1", 513, 1025, seed=3)
    gains = gaussian(288)
    for m in (1, 5, 17):
        x = gaussian(m, 288)
        expected = qk.swiglu_ffn(x, gate, up, down, gains=gains, act=act, threads=1)
        for threads in (1, 2, 3, 7, 64):
            y = qk.swiglu_ffn(x, gate, up, down, gains=gains, act=act, threads=threads)
            np.testing.assert_array_equal(y, expected)


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS, bad=[np.nan, np.inf, -np.inf])
def test_a_bad_batch_row_stays_in_its_row(fmt: str, isa: str, act: str, bad: float) -> None:
    gate, up, down = block(fmt)
    x = gaussian(4, K)

    def results() -> list[NDArray]:
        return [
            qk.rmsnorm_linear(x, GAINS, gate, act=act),
            qk.swiglu_proj(x, gate, up, act=act),
            qk.swiglu_ffn(x, gate, up, down, gains=GAINS, act=act),
        ]

    clean = results()
    x[2, 100] = bad
    for y, before in zip(results(), clean, strict=True):
        np.testing.assert_array_equal(y[[0, 1, 3]], before[[0, 1, 3]])
        assert not np.isfinite(y[2]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_stride_goes_in_and_out(isa: str, dtype: Any) -> None:
    gate, up, down = block("q4_0")
    x = gaussian(2, 3, K).astype(dtype)
    residual, gains = x[..., ::-1][..., :N], GAINS.astype(dtype)[::-1]
    expected = qk.swiglu_ffn(
        x.astype(np.float32), gate, up, down,
        gains=gains.astype(np.float32), residual=residual.astype(np.float32),
    )  # fmt: skip
    strided = np.asfortranarray(x)
    out = np.zeros((3, 2, 2 * N), dtype).transpose(1, 0, 2)[..., ::2]
    for target in (None, out):
        y = qk.swiglu_ffn(strided, gate, up, down, gains=gains, residual=residual, out=target)
        assert target is None or y is target
        np.testing.assert_array_equal(y, expected.astype(y.dtype))
    projected = np.empty((2, 3, HIDDEN), dtype)
    assert qk.swiglu_proj(strided, gate, up, out=projected) is projected
    float_x = x.astype(np.float32)
    np.testing.assert_array_equal(projected, qk.swiglu_proj(float_x, gate, up).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_result_may_take_the_place_of_what_it_is_added_to(isa: str, dtype: Any) -> None:
    gate, up, down = tensor("q4_0", 64, N), tensor("q4_0", 64, N, seed=1), tensor("q4_0", N, 64)
    gains, bias = gaussian(N), gaussian(N, seed=1)
    for place in (np.empty((5, N), dtype), np.empty((2 * N, 5), dtype).T[:, ::2]):
        place[...] = gaussian(5, N, seed=2).astype(dtype)
        x = place.copy()
        expected = qk.swiglu_ffn(x, gate, up, down, gains=gains, residual=x).astype(dtype)
        assert qk.swiglu_ffn(place, gate, up, down, gains=gains, residual=place, out=place) is place
        np.testing.assert_array_equal(place, expected)
        other = gaussian(5, 64)
        expected = qk.rmsnorm_linear(
            other, gaussian(64), down, bias=bias, residual=expected).astype(dtype)  # fmt: skip
        qk.rmsnorm_linear(other, gaussian(64), down, bias=bias, residual=place, out=place)
        np.testing.assert_array_equal(place, expected)


def test_no_rows_and_one_row_are_batches_too(isa: str) -> None:
    gate, up, down = block("q4_k")
    assert qk.swiglu_ffn(np.ones((0, K), np.float32), gate, up, down).shape == (0, N)
    assert qk.swiglu_proj(np.ones((2, 0, K), np.float32), gate, up).shape == (2, 0, HIDDEN)
    x = gaussian(1, K)
    row = qk.rmsnorm_linear(x[0], GAINS, gate)
    assert row.shape == (HIDDEN,)
    np.testing.assert_array_equal(row, qk.rmsnorm_linear(x, GAINS, gate)[0])


def test_torch_in_torch_out() -> None:
    gate, up, down = block("q4_k")
    x = gaussian(3, K)
    t, gains = torch.from_numpy(x), torch.from_numpy(GAINS)
    y = qk.swiglu_ffn(t, gate, up, down, gains=gains, residual=t[:, :N])
    assert isinstance(y, torch.Tensor)
    expected = qk.swiglu_ffn(x, gate, up, down, gains=GAINS, residual=x[:, :N])
    np.testing.assert_array_equal(y.numpy(), expected)
    assert isinstance(qk.rmsnorm_linear(t.bfloat16(), gains, gate), torch.Tensor)
    assert isinstance(qk.swiglu_proj(t, gate, up), torch.Tensor)
    out = torch.empty(3, N, dtype=torch.bfloat16)
    assert qk.swiglu_ffn(t, gate, up, down, gains=gains, residual=t[:, :N], out=out) is out
    assert torch.equal(out, y.bfloat16())


def test_weights_packed_for_another_isa_are_refused() -> None:
    raw = random_weights("q4_0", HIDDEN, K)
    packed = qk.QTensor(raw, "q4_0", (HIDDEN, K)).pack()
    before = qk.info()["isa"]
    try:
        qk._core.force_isa("scalar" if before != "scalar" else qk.isas()[-1])
        if qk.info()["isa"] != before:
            with pytest.raises(ValueError, match=f"packed for {before}"):
                qk.swiglu_proj(gaussian(2, K), packed, packed)
    finally:
        qk._core.force_isa(before)
