"""Where formats end: what blocks hold is held, what they do not is refused, nothing is infinite.

A block ends where its scale does, the largest half. Under an importance matrix the search may want
a larger one than the weights need, which must not refuse them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qkernels as qk
from format_facts import FACTS, FLOAT
from qkernels import _core

NDArray = np.ndarray[Any, Any]

QUANTIZABLE = [fmt for fmt in qk.formats() if qk.can_quantize(fmt)]
WEIGHTED = [fmt for fmt in QUANTIZABLE if _core.takes_importance(fmt)]
LEAST_HALF = 2.0**-24
K = 256

PAIRS = [(fmt, way) for fmt in QUANTIZABLE for way in ("plain", "weighted")]
PAIRS = [(fmt, way) for fmt, way in PAIRS if way == "plain" or fmt in WEIGHTED]


def importance(way: str) -> NDArray | None:
    return None if way == "plain" else np.random.default_rng(3).random(K, np.float32)


def decoded(weights: NDArray, fmt: str, way: str) -> NDArray:
    made = qk.quantize(weights, fmt, imatrix=importance(way)).dequantize()
    return np.asarray(made, np.float64)


@pytest.mark.parametrize(("fmt", "way"), PAIRS)
@pytest.mark.parametrize("share", [0.8, 0.95, 0.999, 1.0])
@pytest.mark.parametrize("end", [0, 1], ids=["least", "largest"])
def test_what_a_block_can_hold_is_held(fmt: str, way: str, share: float, end: int) -> None:
    value = share * FACTS[fmt].ends[end]
    one = np.zeros((2, K), np.float32)
    one[1, 37] = value
    got = decoded(one, fmt, way)
    assert np.isfinite(got).all()
    assert got[1, 37] == pytest.approx(value, rel=1 / FACTS[fmt].steps)


@pytest.mark.parametrize(("fmt", "way"), PAIRS)
@pytest.mark.parametrize("end", [0, 1], ids=["least", "largest"])
def test_what_no_block_holds_is_refused_by_its_place(fmt: str, way: str, end: int) -> None:
    value = np.float32(
        1.3 * FACTS[fmt].ends[end] if abs(FACTS[fmt].ends[end]) < 1e38 else 3.4e38 * (2 * end - 1)
    )
    if abs(FACTS[fmt].ends[end]) == FLOAT:
        assert np.isfinite(decoded(np.full((2, K), value), fmt, way)).all()
        return
    weights = np.random.default_rng(1).standard_normal((9, K)).astype(np.float32)
    weights[5, 37] = weights[7, 3] = value
    message = rf"a holds {value:g} in row 5, column 37, which is too large for {fmt}$"
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        qk.quantize(weights, fmt, imatrix=importance(way))


def test_a_stack_s_weights_are_named_with_their_expert() -> None:
    stack = np.zeros((3, 4, 32), np.float32)
    stack[2, 1, 9] = 1e9
    with pytest.raises(ValueError, match=r"a holds 1e\+09 in expert 2, row 1, column 9, which"):
        qk.quantize(stack, "q8_0")
    stack[1, 3, 5] = np.nan
    with pytest.raises(ValueError, match="infinity in expert 1, row 3, column 5; q8_0 has none"):
        qk.quantize(stack, "q8_0")


@pytest.mark.parametrize(
    ("fmt", "last", "past"),
    [
        ("f16", 65519.996, 65520.0),
        ("bf16", np.uint32(0x7F7F7FFF).view(np.float32), np.uint32(0x7F7F8000).view(np.float32)),
    ],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_floats_are_refused_from_the_first_that_rounds_to_infinity(
    fmt: str, last: float, past: float, sign: int
) -> None:
    row = np.full((1, 3), np.float32(sign * last))
    assert np.isfinite(qk.quantize(row, fmt).dequantize()).all()
    row[0, 1] = sign * past
    with pytest.raises(ValueError, match=rf"row 0, column 1, which is too large for {fmt}"):
        qk.quantize(row, fmt)


@pytest.mark.parametrize("fmt", ["f16", "bf16"])
def test_floats_that_are_infinite_stay_so_beside_one_that_is_refused(fmt: str) -> None:
    row = np.array([[np.inf, -np.inf, np.nan, 1.0]], np.float32)
    np.testing.assert_array_equal(qk.quantize(row, fmt).dequantize(), row)
    with pytest.raises(ValueError, match=f"row 0, column 3, which is too large for {fmt}"):
        qk.quantize(np.array([[np.inf, np.nan, 1.0, 3.4e38]], np.float32), fmt)


def rows_of_every_size(count: int) -> NDArray:
    """Rows of sizes from denormals up to the largest float; in some of them sizes differ wildly."""
    rng = np.random.default_rng(4)
    ends = rng.uniform(-149, 128, (count, 1))
    ends[:20, 0] = np.linspace(127, 127.9999, 20)
    spread = rng.choice([0.0, 1.0, 20.0, 250.0], (count, 1))
    sizes = np.exp2(np.maximum(ends - spread * rng.random((count, K)), -149))
    signs = np.where(rng.random((count, 1)) < 0.5, rng.choice([-1, 1], (count, K)), 1)
    filled = rng.random((count, K)) < rng.choice([0.01, 0.5, 1.0], (count, 1))
    return np.asarray(np.minimum(sizes, FLOAT) * signs * filled, np.float32)


@pytest.mark.parametrize(("fmt", "way"), PAIRS)
def test_finite_weights_never_become_infinite_nor_are_refused_for_nothing(
    fmt: str, way: str
) -> None:
    least, most = FACTS[fmt].ends
    refused = 0
    for row in rows_of_every_size(400):
        low, high = min(0.0, float(row.min())), max(0.0, float(row.max()))
        try:
            got = decoded(row[None], fmt, way)
        except ValueError:
            refused += 1
            assert (
                low < least
                or high - (low if least != -most else 0.0) > most
                or np.abs(row).sum() > (FACTS[fmt].most_sum or np.inf)
                or fmt == "q8_ks"
            )
            continue
        assert np.isfinite(got).all()
        assert np.abs(got).max() <= 1.5 * max(high, -low, 127 * LEAST_HALF)
    assert (refused > 0) == (most < 1e38)


@pytest.mark.parametrize("fmt", ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs"])
def test_small_weights_take_fewer_steps_rather_than_vanish(fmt: str) -> None:
    """Of a scale that would round to zero, a few steps of the least half are left."""
    weights = np.random.default_rng(8).standard_normal((4, K)).astype(np.float32) * np.float32(2e-6)
    got = decoded(weights, fmt, "plain")
    assert np.linalg.norm(got - weights) < 0.5 * np.linalg.norm(weights)
