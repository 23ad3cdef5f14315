"""Products with weights of any rank: by @ as those of NumPy's arrays, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from test_qtensor_ranks import floats, of_shape
from weights import bound, relative_error

OPERANDS = [
    ((300,), (300,)),
    ((300,), (300, 4)),
    ((300,), (2, 300, 3)),
    ((5, 300), (300,)),
    ((5, 300), (300, 4)),
    ((5, 300), (2, 1, 300, 4)),
    ((3, 5, 300), (300,)),
    ((3, 5, 300), (300, 4)),
    ((3, 5, 300), (3, 300, 4)),
    ((3, 5, 300), (2, 1, 300, 4)),
    ((1, 5, 300), (4, 300, 2)),
    ((2, 3, 5, 300), (300,)),
    ((2, 3, 5, 300), (300, 2)),
    ((2, 3, 5, 300), (3, 300, 2)),
    ((2, 1, 5, 300), (2, 3, 300, 2)),
    ((1, 2, 5, 300), (3, 1, 300, 2)),
    ((5, 300), (300, 0)),
]


@pytest.mark.parametrize(("shape", "other"), OPERANDS)
@pytest.mark.parametrize("name", ["f32", "q4_0", "q6_k", "iq2_xs"])
@pytest.mark.parametrize("like", [np.asarray, torch.from_numpy])
def test_products_broadcast_as_those_of_arrays(
    name: str, shape: tuple[int, ...], other: tuple[int, ...], like: Any
) -> None:
    w, x = of_shape(name, *shape), floats(*other)
    want = np.matmul(np.asarray(w.dequantize(), np.float64), x)
    y = w @ like(x)
    assert isinstance(y, torch.Tensor) == (like is not np.asarray)
    y = np.asarray(y)
    assert y.dtype == np.float32
    assert y.shape == want.shape
    assert y.size == 0 or relative_error(y, want) < 10 * bound("int16", name)


def test_a_vector_times_a_vector_is_a_number() -> None:
    w = of_shape("q8_0", 64)
    y = w @ np.ones(64, np.float32)
    assert isinstance(y, np.float32)
    t = w @ torch.ones(64)
    assert t.ndim == 0
    assert float(t) == y


def test_products_of_stacks_are_those_of_their_matrices_to_the_bit() -> None:
    whole = of_shape("q4_k", 4, 3, 7, 512)
    uneven = whole[:, :2, 1::3, :256]  # no reshape to rows is a view
    x, batch = floats(256), floats(256, 20)
    ready = qk.quantize_activations(x)
    for product in (uneven @ x, uneven @ ready):
        np.testing.assert_array_equal(product, [[m @ x for m in group] for group in uneven])
    np.testing.assert_array_equal(
        uneven @ batch, [[qk.gemm(m, batch.T).T for m in group] for group in uneven]
    )


@pytest.mark.parametrize(
    ("shape", "x", "error", "message"),
    [
        ((5, 64), np.ones(63, np.float32), ValueError, r"x of shape \(63,\) has 63 rows"),
        ((2, 5, 64), np.ones((63, 64), np.float32), ValueError, r"\(2, 5, 64\) have k=64"),
        ((2, 5, 64), np.ones((3, 64, 1), np.float32), ValueError, "do not broadcast"),
        ((5, 64), np.float32(3), ValueError, "x has no dimensions"),
        ((5, 64), 3, ValueError, "x has no dimensions"),
        ((5, 64), "x", TypeError, "unsupported operand"),
        ((5, 64), None, TypeError, "unsupported operand"),
        ((5, 64), [None] * 64, TypeError, "x must hold real numbers, not object"),
        ((5, 64), [1j] * 64, TypeError, "x must hold real numbers, not complex128"),
    ],
)
def test_wrong_operands_are_refused(
    shape: tuple[int, ...], x: Any, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        of_shape("q4_0", *shape) @ x


def test_operators_of_matrices_say_what_to_make_of_vectors_and_stacks() -> None:
    x = np.ones(64, np.float32)
    vector, stack = of_shape("q4_0", 64), of_shape("q4_0", 2, 3, 5, 64)
    calls: list[Any] = [
        lambda w: qk.gemv(w, x),
        lambda w: qk.gemm(w, torch.from_numpy(x)),
        lambda w: qk.gemv(np.asarray(w.data), x, "q4_0"),
        lambda w: qk.get_rows(w, [0]),
        lambda w: qk.rmsnorm_linear(x, x, w),
        lambda w: qk.swiglu_proj(x, w, w),
        lambda w: w.pack(),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"are a vector; .* w\.reshape\(1, -1\)"):
            call(vector)
        with pytest.raises(
            ValueError,
            match=r"a stack of 6 matrices; select one, as in w\[0\], .*reshape\(-1",
        ):
            call(stack)
