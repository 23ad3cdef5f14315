"""NaN and infinity: where they go, and where they do not."""

import numpy as np

import qkernels as qk
from axes import ACTS, FORMATS, ISAS, pairwise
from weights import is_float, random_weights, tensor

BAD = [np.nan, np.inf, -np.inf]


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS, bad=BAD, m=[6, 19])
def test_a_bad_batch_row_spoils_all_its_outputs_and_no_other_row(
    fmt: str, isa: str, act: str, bad: float, m: int
) -> None:
    weights = tensor(fmt, 17, 288)
    x = np.random.default_rng(1).standard_normal((m, 288)).astype(np.float32)
    clean = qk.gemm(weights, x, act=act)
    x[2, 100] = bad
    x[5, 287] = bad
    y = qk.gemm(weights, x, act=act)
    bad_rows = [2, 5]
    good_rows = [j for j in range(m) if j not in bad_rows]
    np.testing.assert_array_equal(y[good_rows], clean[good_rows])
    if act == "float32" or is_float(fmt):
        assert not np.isfinite(y[bad_rows]).any()
    else:
        assert np.isnan(y[bad_rows]).all()
    assert not np.isfinite(qk.gemv(weights, x[2], act=act)).any()


@pairwise(fmt=["q4_0", "q4_1", "q8_0", "q4_k", "f16"], isa=ISAS, act=ACTS, bad=BAD)
def test_a_bad_scale_stays_in_its_row(fmt: str, isa: str, act: str, bad: float) -> None:
    raw = random_weights(fmt, 7, 288).copy()
    x = np.random.default_rng(2).standard_normal(288).astype(np.float32)
    clean = qk.gemv(raw, x, fmt, act=act)
    raw[3, :2] = np.array([bad], np.float16).view(np.uint8)
    y = qk.gemv(raw, x, fmt, act=act)
    assert not np.isfinite(y[3])
    others = np.arange(7) != 3
    np.testing.assert_array_equal(y[others], clean[others])
    batch = np.stack([x] * 17)
    y = qk.gemm(raw, batch, fmt, act=act)
    assert not np.isfinite(y[:, 3]).any()
    assert np.isfinite(y[:, others]).all()


def test_float32_products_overflow_only_where_the_reference_does(isa: str) -> None:
    """Weights and x near the ends of the float range meet in the middle."""
    w = np.array([[1e38, 1.0], [1e-38, 0.0]], np.float32)
    weights = qk.QTensor(w.view(np.uint8).reshape(2, 8), "f32", (2, 2))
    small = qk.gemv(weights, np.array([1e-38, 1e-30], np.float32))
    np.testing.assert_allclose(small, [1.0, 1e-38 * 1e-38], rtol=1e-5, atol=1e-44)
    large = qk.gemv(weights, np.array([1e38, 0.0], np.float32))
    assert large[0] == np.inf
    np.testing.assert_allclose(large[1], 1.0, rtol=1e-5)
