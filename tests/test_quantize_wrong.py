"""qkernels.quantize: what it refuses, and how that is named."""

from typing import Any

import numpy as np
import pytest

import qkernels as qk
from qkernels import _core
from test_quantize import FLOATS, QUANTIZABLE, K, N, source

NDArray = np.ndarray[Any, Any]

BLOCKS = sorted(set(QUANTIZABLE) - set(FLOATS))


@pytest.mark.parametrize("fmt", sorted(set(QUANTIZABLE) - set(FLOATS)))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused_by_its_place(fmt: str, value: float) -> None:
    weights = source("gaussian")
    weights[7, 300] = weights[7, 400] = weights[9, 0] = value
    with pytest.raises(ValueError, match=rf"row 7, column 300; {fmt} has none"):
        qk.quantize(weights, fmt)


@pytest.mark.parametrize("fmt", BLOCKS)
def test_a_k_that_cuts_a_block_is_refused_unless_padded(fmt: str) -> None:
    weights = source("gaussian")[:, :300]
    with pytest.raises(ValueError, match=r"k=300 is no multiple of .* pad=True"):
        qk.quantize(weights, fmt)
    made = qk.quantize(weights, fmt, pad=True)
    assert made.shape == (N, 300)
    filled = np.pad(weights, ((0, 0), (0, 512 - 300)))
    nbytes = made.row_bytes
    np.testing.assert_array_equal(made.data, np.asarray(qk.quantize(filled, fmt).data)[:, :nbytes])


def test_formats_without_a_quantiser_say_so() -> None:
    assert not qk.can_quantize("iq1_s")
    with pytest.raises(ValueError, match="nothing is quantised to iq1_s"):
        qk.quantize(source("gaussian"), "iq1_s")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([["1"]], "q8_0"), TypeError, "a has dtype <U1"),
        (([[1.0]], "q8_0"), ValueError, "k=1 is no multiple"),
        ((np.zeros((2, 32), complex), "q8_0"), TypeError, "a has dtype <c16"),
        ((np.float32(1), "q8_0"), ValueError, "a has no dimensions"),
        ((np.zeros((0, 32), np.float32), "q8_0"), ValueError, r"\(0, 32\): no weights"),
        ((np.zeros((2, 0), np.float32), "q8_0"), ValueError, r"\(2, 0\): no weights"),
        ((np.zeros((2, 32), np.float32), "q8_9"), ValueError, "unknown format 'q8_9'"),
        ((np.zeros((2, 32), np.float32), 3.0), TypeError, "fmt must be a name"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: tuple[Any, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        qk.quantize(*arguments)


@pytest.mark.parametrize(
    ("imatrix", "error", "message"),
    [
        (np.ones(31, np.float32), ValueError, r"imatrix has shape \(31,\), a has \(2, 32\)"),
        (np.ones((2, 32), np.float32), ValueError, r"imatrix has shape \(2, 32\)"),
        (np.ones(32, complex), TypeError, "imatrix has dtype <c16"),
        (np.full(32, -1, np.float32), ValueError, "imatrix holds -1 at column 0"),
        (np.full(32, np.nan, np.float32), ValueError, "imatrix holds nan at column 0"),
        (np.full(32, np.inf, np.float32), ValueError, "imatrix holds inf at column 0"),
    ],
)
def test_a_wrong_imatrix_is_named(imatrix: NDArray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        qk.quantize(np.zeros((2, 32), np.float32), "q4_0", imatrix=imatrix)


@pytest.mark.parametrize("fmt", QUANTIZABLE)
def test_an_imatrix_changes_blocks_or_is_refused(fmt: str) -> None:
    importance = np.zeros(K, np.float32)
    importance[::7] = 1
    weights = source("gaussian")
    if _core.takes_importance(fmt):
        made = qk.quantize(weights, fmt, imatrix=importance)
        assert not np.array_equal(made.data, qk.quantize(weights, fmt).data)
        return
    with pytest.raises(ValueError, match=f"imatrix changes nothing of {fmt}, whose blocks"):
        qk.quantize(weights, fmt, imatrix=importance)


@pytest.mark.parametrize(
    ("shape", "place"),
    [
        ((64,), "column 63"),
        ((2, 64), "row 1, column 63"),
        ((2, 2, 64), "expert 1, row 1, column 63"),
        ((2, 1, 2, 64), "matrix 1, row 1, column 63"),
    ],
)
def test_a_weight_at_fault_is_named_by_its_place(shape: tuple[int, ...], place: str) -> None:
    weights = np.zeros(shape, np.float32)
    weights.reshape(-1)[-1] = np.nan
    with pytest.raises(ValueError, match=f" {place}"):
        qk.quantize(weights, "q8_0")


def test_rows_without_end_are_refused_before_memory_is_asked_for() -> None:
    one = np.ones(1, np.float32)
    endless = np.lib.stride_tricks.as_strided(one, (2**40, 2**20), (0, 0))
    with pytest.raises((ValueError, MemoryError)):
        qk.quantize(endless, "q8_0")
