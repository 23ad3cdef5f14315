"""QTensors of any rank: shapes, indices and decoded values, with NumPy's manners."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import as_strided

import qkernels as qk
from axes import SOME_FORMATS
from weights import NDArray, is_float, random_weights, reference

SHAPES = [(300,), (5, 300), (3, 5, 300), (2, 3, 5, 300), (2, 1, 3, 2, 1, 1, 2, 300)]
RNG = np.random.default_rng(0)


@pytest.fixture(params=SOME_FORMATS)
def fmt(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def of_shape(fmt: str, *shape: int) -> qk.QTensor:
    raw = random_weights(fmt, math.prod(shape[:-1]), shape[-1])
    return qk.QTensor(raw.reshape(*shape[:-1], -1), fmt, shape)


def floats(*shape: int) -> NDArray:
    return RNG.standard_normal(shape, np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_of_any_rank_decode_to_their_shape(fmt: str, shape: tuple[int, ...]) -> None:
    w = of_shape(fmt, *shape)
    raw = np.asarray(w.data)
    assert (w.shape, w.ndim, w.size, len(w)) == (shape, len(shape), math.prod(shape), shape[0])
    assert (w.nbytes, np.shape(w), np.ndim(w), np.size(w)) == (
        raw.nbytes, shape, len(shape), w.size,
    )  # fmt: skip
    assert repr(w) == f"QTensor({fmt}, shape={shape}, {raw.nbytes:,} bytes)"
    dense = np.asarray(w.dequantize())
    np.testing.assert_array_equal(dense, reference(raw, fmt)[..., : shape[-1]])
    out = np.empty(shape[::-1], np.float16).T
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(qk.dequantize(w, out=out), dense.astype(np.float16))
    if is_float(fmt):
        return
    np.testing.assert_array_equal(w.raw_ints(), w.reshape(-1, shape[-1]).raw_ints().reshape(shape))
    found = w.raw_ints(with_scales=True)
    assert (found.ints.shape, found.scales.shape[:-1]) == (shape, shape[:-1])


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        np.int8(1),
        slice(1, None),
        ...,
        (0, 1),
        (1, slice(None, None, 2)),
        (..., slice(256, 512)),
        (0, ..., slice(0, 256)),
        (1, 2, 4),
        (slice(None), 1, slice(3, 4), slice(256, 500)),
        (-1, -1, -1, ...),
        (1, slice(3, 3)),
    ],
)
def test_an_index_selects_what_it_selects_of_an_array(index: Any) -> None:
    w = of_shape("q4_k", 2, 3, 5, 512)
    dense = w.dequantize()
    if isinstance(index, tuple) and index[-1] == slice(256, 500):
        w, dense = of_shape("q4_k", 2, 3, 5, 500), of_shape("q4_k", 2, 3, 5, 500).dequantize()
    part = w[index]
    assert part.shape == dense[index].shape
    assert part.size == 0 or np.shares_memory(part.data, w.data)
    np.testing.assert_array_equal(part.dequantize(), dense[index])


def test_a_row_of_a_matrix_is_a_vector_and_iteration_goes_by_rows(fmt: str) -> None:
    w = of_shape(fmt, 4, 300)
    assert w[2].shape == (300,)
    assert w[2].data.shape == (w.row_bytes,)
    rows = list(w)
    assert len(rows) == len(w)
    np.testing.assert_array_equal([row.dequantize() for row in rows], w.dequantize())
    assert [matrix.shape for matrix in of_shape(fmt, 2, 3, 300)] == [(3, 300)] * 2
    with pytest.raises(TypeError, match=r"single weights of a vector .* \.dequantize\(\)"):
        list(w[0])


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ((0, 0, 0, 0), TypeError, "index 0 in the last dimension is not a slice"),
        (2, IndexError, r"index 2 is outside dimension 0 of \(2, 3, 5, 64\)"),
        ((0, -4), IndexError, "index -4 is outside dimension 1"),
        (True, TypeError, "index True in dimension 0 is neither an int nor a slice"),
        (None, TypeError, r"neither an int nor a slice; .*reshape\(\) adds dimensions"),
        ([0, 1], TypeError, r"qkernels\.get_rows\(\) takes arrays"),
        (np.array([0, 1]), TypeError, "neither an int nor a slice"),
        (1.0, TypeError, "index 1.0 in dimension 0"),
        ((0,) * 5, IndexError, "5 indices for 4 dimensions"),
        ((..., 0, ...), IndexError, r"one '\.\.\.' at most"),
        ((..., slice(0, 0)), ValueError, "selects nothing"),
        ((..., slice(1, None)), ValueError, "cuts q4_0 blocks of 32"),
        (slice(None, None, -1), ValueError, "runs backwards"),
    ],
)  # fmt: skip
def test_wrong_indices_name_their_dimension(index: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        of_shape("q4_0", 2, 3, 5, 64)[index]


@pytest.mark.parametrize("like", ["numpy", "torch"])
def test_reshape_keeps_k_and_copies_nothing(fmt: str, like: str) -> None:
    w = of_shape(fmt, 2, 3, 5, 300)
    if like == "torch":
        w = qk.QTensor(torch.from_numpy(np.array(w.data)), fmt, w.shape)
    dense = w.dequantize()
    for shape in ((-1, 300), (6, 5, 300), (2, -1, 5, 300), (30, -1), (1, 30, 1, 300)):
        for view in (w.reshape(*shape), w.reshape(shape), w.reshape(list(shape))):
            assert view.shape == dense.reshape(shape).shape
            assert np.shares_memory(np.asarray(view.data), np.asarray(w.data))
            np.testing.assert_array_equal(view.dequantize(), dense.reshape(shape))
    assert w[0, 0, 0].reshape(1, -1).shape == (1, 300)
    assert w[0, 0, 0].reshape(-1).shape == (300,)
    assert w[:, 1].reshape(2, 1, 5, 300).shape == (2, 1, 5, 300)
    with pytest.raises(ValueError, match="would copy them: their rows do not lie at one distance"):
        w[:, :2].reshape(-1, 300)


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((-1,), ValueError, "would cut rows: the last dimension stays 64"),
        ((2, 3, 10, 32), ValueError, "would cut rows"),
        ((7, 64), ValueError, r"\(2, 3, 5, 64\) cannot be reshaped into \(7, 64\)"),
        ((-1, -1, 64), ValueError, "cannot be reshaped"),
        ((-1, 0, 64), ValueError, "cannot be reshaped"),
        ((-5, -6, 64), ValueError, "cannot be reshaped"),
        ((2**62, 4, 64), ValueError, "cannot be reshaped"),
        ((), ValueError, "cannot be reshaped"),
        ((30.0, 64), TypeError, r"shape \(30.0, 64\) is not of integers"),
        ((True, 30, 64), TypeError, "not of integers"),
        (("30", 64), TypeError, "not of integers"),
        ((None,), TypeError, "shape must be a tuple, not NoneType"),
    ],
)
def test_what_cannot_be_reshaped_says_why(
    shape: tuple[Any, ...], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        of_shape("q4_0", 2, 3, 5, 64).reshape(*shape)


EMPTY = [(0, 64), (0, 5, 64), (2, 0, 64), (2, 0, 5, 64)]


@pytest.mark.parametrize("shape", EMPTY)
def test_empty_weights_give_empty_results(fmt: str, shape: tuple[int, ...]) -> None:
    w = qk.QTensor(np.empty((*shape[:-1], of_shape(fmt, 64).row_bytes), np.uint8), fmt, shape)
    x = floats(64)
    assert (w.size, w.nbytes, w.compression_ratio) == (0, 0, 4 * 64 / w.row_bytes)
    assert w.dequantize().shape == shape
    assert (w @ x).shape == shape[:-1]
    assert (w @ floats(64, 20)).shape == (*shape[:-1], 20)
    assert w.reshape(-1, 64).shape == (0, 64)
    if not is_float(fmt):
        assert w.raw_ints().shape == shape


def test_operators_of_empty_matrices(fmt: str) -> None:
    w, x = of_shape(fmt, 4, 64)[2:2], floats(64)
    assert w.shape == (0, 64)
    packed = w.pack()
    assert (packed.shape, packed.nbytes, packed.unpack().shape) == ((0, 64), 0, (0, 64))
    for weights in (w, packed):
        out = np.empty(0, np.float32)
        assert qk.gemv(weights, x, out=out) is out
        assert qk.gemm(weights, floats(20, 64)).shape == (20, 0)
        assert qk.dequantize(weights).shape == (0, 64)
        assert qk.get_rows(weights, []).shape == (0, 64)
        assert qk.rmsnorm_linear(x, x, weights).shape == (0,)
        assert qk.swiglu_proj(x, weights, weights).shape == (0,)
        with pytest.raises(IndexError, match="outside the 0 rows"):
            qk.get_rows(weights, 0)


@pytest.mark.parametrize("shape", [(True, 64), (2.0, 64), ("2", 64), (None, 64), 64, None])
def test_a_shape_is_of_integers(shape: Any) -> None:
    with pytest.raises(TypeError, match="shape"):
        qk.QTensor(np.zeros((1, 36), np.uint8), "q4_0", shape)


def test_a_shape_may_be_of_numpys_integers() -> None:
    w = qk.QTensor(np.zeros((2, 36), np.uint8), "q4_0", (np.int64(2), np.uint8(64)))  # type: ignore[arg-type]
    assert w.shape == (2, 64)
    assert {type(extent) for extent in w.shape} == {int}


def test_more_dimensions_than_eight_are_refused() -> None:
    with pytest.raises(ValueError, match="9 dimensions; at most 8"):
        qk.QTensor(np.zeros((1,) * 8 + (36,), np.uint8), "q4_0", (1,) * 8 + (64,))


def test_rows_that_lie_past_the_address_space_are_refused() -> None:
    raw = np.zeros(36, np.uint8)
    far = as_strided(raw, (2, 2, 36), (2**62, 2**62, 1))
    with pytest.raises(ValueError, match=r"2\^63 bytes apart"):
        qk.QTensor(far, "q4_0", (2, 2, 64))
    many = as_strided(raw, (2**28, 2**30, 18), (0, 0, 1))
    with pytest.raises(ValueError, match=r"over 2\^63 weights"):
        qk.QTensor(many, "q4_0", (2**28, 2**30, 32))
