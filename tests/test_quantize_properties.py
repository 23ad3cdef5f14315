"""Any weights at all: what a round trip through blocks, and through a file, keeps."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import qkernels as qk
from format_facts import FACTS, made
from gguf_contents import matrix_of
from test_properties import bounded
from weights import SANITIZED

NDArray = np.ndarray[Any, Any]

EXAMPLES = 20 if SANITIZED else 120
FLOATS = ("f32", "f16", "bf16")
BLOCKS = [fmt for fmt in qk.formats() if qk.can_quantize(fmt) and fmt not in FLOATS]
SEARCHED = made("search")
WITHOUT_MIN = [fmt for fmt in BLOCKS if not FACTS[fmt].has_min]
STEPS = {fmt: facts.moved for fmt, facts in FACTS.items() if facts.moved is not None}
ROUNDING = 2.0**-9  # of scales and mins to halves, each at most 2^-11 of a range of 2


@st.composite
def rows(draw: st.DrawFn) -> NDArray:
    """A few rows of 256 or 512 floats, of one size, with zeros and repetitions among them."""
    shape = (draw(st.integers(1, 3)), draw(st.sampled_from([256, 512])))
    values = st.floats(-1, 1, width=32)
    # Above 2^-10 scales are normal halves, and their rounding is relative.
    size = draw(st.sampled_from([2.0**-4, 1.0, 3.0, 100.0]))
    return np.asarray(draw(arrays(np.float32, shape, elements=values)) * np.float32(size))


@bounded(EXAMPLES)
@given(st.sampled_from(sorted(STEPS)), rows())
def test_no_weight_moves_further_than_its_format_lets_it(fmt: str, weights: NDArray) -> None:
    dense = np.asarray(qk.quantize(weights, fmt).dequantize(), np.float64)
    largest = np.abs(weights).reshape(len(weights), -1, 256).max(axis=2, keepdims=True)
    moved = np.abs(dense - weights).reshape(len(weights), -1, 256)
    assert (moved <= (STEPS[fmt] + ROUNDING) * np.maximum(largest, 2.0**-9)).all()


@bounded(EXAMPLES)
@given(st.sampled_from(BLOCKS), rows())
def test_a_search_never_ends_above_the_error_of_zeros(fmt: str, weights: NDArray) -> None:
    """Zeros are there to be chosen in every format: no weights are made worse than dropped."""
    dense = np.asarray(qk.quantize(weights, fmt).dequantize(), np.float64)
    error = ((dense - weights) ** 2).sum()
    assert error <= 1.001 * (weights.astype(np.float64) ** 2).sum() + 1e-12


@bounded(EXAMPLES)
@given(st.sampled_from(WITHOUT_MIN), rows(), st.sampled_from([2.0, 8.0]))
def test_a_power_of_two_scales_the_result(fmt: str, weights: NDArray, factor: float) -> None:
    """Blocks depend on the proportions of weights alone, while scales are normal halves.

    Mins may be of any size, and are rounded to whole multiples of 2^-24 where they are small.
    """
    weights[:, ::8] = np.float32(1)  # so that each group has a scale
    weights[np.abs(weights) < 2.0**-12] = 0
    dense = np.asarray(qk.quantize(weights, fmt).dequantize())
    scaled = qk.quantize(weights * np.float32(factor), fmt).dequantize()
    np.testing.assert_array_equal(scaled, dense * np.float32(factor))


@bounded(EXAMPLES)
@given(st.sampled_from(SEARCHED), rows(), st.booleans())
def test_importance_of_one_value_is_none_at_all_for_searched_formats(
    fmt: str, weights: NDArray, tiny: bool
) -> None:
    importance = np.full(weights.shape[1], 1e-30 if tiny else 7.0, np.float32)
    np.testing.assert_array_equal(
        qk.quantize(weights, fmt, imatrix=importance).data, qk.quantize(weights, fmt).data
    )


@bounded(EXAMPLES // 2)
@given(st.sampled_from(sorted({*BLOCKS, *FLOATS} - {"q8_ks"})), rows(), st.integers(1, 512))
def test_a_file_keeps_every_block_and_the_true_k(fmt: str, weights: NDArray, k: int) -> None:
    made = qk.quantize(weights[:, :k], fmt, pad=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gguf"
        qk.save_gguf(path, {"w": made}, pad=True)
        with qk.load_gguf(path) as file:
            found = matrix_of(file, "w")
            assert (found.fmt, found.shape) == (made.fmt, made.shape)
            np.testing.assert_array_equal(found.data, made.data)
            np.testing.assert_array_equal(found.dequantize(), made.dequantize())
