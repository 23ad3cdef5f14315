"""RoPE against complex numbers in float64."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import fused_reference as reference
import qkernels as qk

NDArray = np.ndarray[Any, Any]
DTYPES: list[Any] = [np.float32, np.float16, ml_dtypes.bfloat16]


def gaussian(*shape: int) -> NDArray:
    return np.random.default_rng(1).standard_normal(shape, np.float32)


@pytest.mark.parametrize("kind", ["interleaved", "neox"])
@pytest.mark.parametrize("head_dim", [2, 6, 64, 80, 256])
def test_pairs_are_turned_by_their_angles(kind: str, head_dim: int) -> None:
    x = gaussian(3, 11, head_dim)
    positions = np.array([0, 1, 2, 5, 100, 1000, 4095, 10**5, 7, 7, 3])
    factors = np.linspace(1, 8, head_dim // 2).astype(np.float32)
    options: dict[str, Any]
    for options in ({}, {"base": 5e5, "scale": 4.0}, {"factors": factors}):
        y = qk.rope(x, positions, kind=kind, **options)
        exact = reference.rope(x, positions, kind=kind, **options)
        np.testing.assert_allclose(y, exact, rtol=0, atol=1e-6)


def test_an_int_is_the_first_position() -> None:
    x = gaussian(4, 9, 64)
    np.testing.assert_array_equal(qk.rope(x, 17), qk.rope(x, np.arange(17, 26)))
    np.testing.assert_array_equal(qk.rope(x, [*range(9)]), qk.rope(x, 0))
    np.testing.assert_array_equal(qk.rope(x, np.array(3, np.uint8)), qk.rope(x, 3))
    np.testing.assert_array_equal(qk.rope(x, torch.arange(9)), qk.rope(x, 0))


def test_scores_depend_on_distances_alone() -> None:
    """What RoPE is for."""
    q, k = gaussian(1, 1, 64), gaussian(1, 1, 64)[..., ::-1]
    near = [(qk.rope(q, p + 7).astype(float) * qk.rope(k, p)).sum() for p in (0, 5, 900)]
    np.testing.assert_allclose(near, near[0], atol=2e-5)


def test_any_leading_dimensions_turn_alike() -> None:
    x = gaussian(2, 3, 5, 16)
    y = qk.rope(x, 4)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(y[i, j], qk.rope(x[i, j], 4))
    assert qk.rope(x[:, :0], 4).shape == (2, 0, 5, 16)
    assert qk.rope(x[..., :0, :], []).shape == (2, 3, 0, 16)


def test_threads_change_no_bit() -> None:
    x = gaussian(4, 100, 64)
    with qk.num_threads(1):
        expected = qk.rope(x, 0)
    for threads in (2, 3, 7):
        with qk.num_threads(threads):
            np.testing.assert_array_equal(qk.rope(x, 0), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_stride_goes_in_and_out(dtype: Any) -> None:
    x = gaussian(3, 5, 16).astype(dtype)
    expected = qk.rope(x.astype(np.float32), 2)
    by_token = np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2)
    for view in (x, by_token, np.asfortranarray(x), x[::-1, :, ::-1][::-1, :, ::-1]):
        np.testing.assert_array_equal(qk.rope(view, 2), expected)
    out = np.empty((5, 3, 32), dtype).transpose(1, 0, 2)[..., ::2]
    assert qk.rope(x, 2, out=out) is out
    np.testing.assert_array_equal(out, expected.astype(dtype))
    assert qk.rope(by_token, 2, out=by_token) is by_token
    np.testing.assert_array_equal(by_token, expected.astype(dtype))


def test_torch_in_torch_out() -> None:
    x = gaussian(3, 5, 16)
    y = qk.rope(torch.from_numpy(x), 2)
    assert isinstance(y, torch.Tensor)
    np.testing.assert_array_equal(y.numpy(), qk.rope(x, 2))
    out = torch.empty(3, 5, 16, dtype=torch.bfloat16)
    assert qk.rope(torch.from_numpy(x), 2, out=out) is out


def test_a_bad_value_stays_in_its_pair() -> None:
    x = gaussian(3, 5, 16)
    clean = qk.rope(x, 2)
    x[1, 3, 4] = np.nan
    y = qk.rope(x, 2)
    assert np.isnan(y[1, 3, 4:6]).all()
    y[1, 3, 4:6] = clean[1, 3, 4:6]
    np.testing.assert_array_equal(y, clean)
