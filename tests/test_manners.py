"""Weights among NumPy's and torch's operands: `@` on either side, `.T`, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from qkernels._base.arrays import floats_of
from weights import NDArray, random_weights, tensor

W = tensor("q4_k", 12, 256)
STACK = qk.QTensor(random_weights("q4_0", 10, 64).reshape(2, 5, -1), "q4_0", (2, 5, 64))
RNG = np.random.default_rng(0)
BOTH = [np.asarray, torch.from_numpy]


def floats(*shape: int) -> NDArray:
    return RNG.standard_normal(shape, np.float32)


@pytest.mark.parametrize("like", BOTH)
@pytest.mark.parametrize("weights", [W, W.pack()], ids=["blocks", "packed"])
@pytest.mark.parametrize("shape", [(256,), (1, 256), (3, 256), (2, 3, 256), (0, 256)])
def test_x_times_transposed_weights_is_gemm(
    like: Any, weights: Any, shape: tuple[int, ...]
) -> None:
    x = like(floats(*shape))
    for y in (x @ weights.T, x @ weights.mT):
        assert type(y) is type(x)
        np.testing.assert_array_equal(np.asarray(y), np.asarray(qk.gemm(weights, x)))


@pytest.mark.parametrize("like", BOTH)
@pytest.mark.parametrize("shape", [(64,), (3, 64), (2, 3, 64), (4, 1, 3, 64)])
def test_stacks_transpose_matrix_by_matrix(like: Any, shape: tuple[int, ...]) -> None:
    x = floats(*shape)
    want = np.matmul(x, np.asarray(STACK.dequantize(), np.float64).swapaxes(-1, -2))
    y = np.asarray(like(x) @ STACK.mT)
    assert y.shape == want.shape
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-3 * float(np.abs(want).max()))
    with pytest.raises(ValueError, match=r"are a stack; weights\.mT transposes"):
        _ = STACK.T


@pytest.mark.parametrize("weights", [W, W.pack()], ids=["blocks", "packed"])
def test_a_transposed_view_has_the_shape_of_an_array_s(weights: Any) -> None:
    dense = weights.dequantize()
    t = weights.T
    assert t.T is weights
    assert (t.shape, t.ndim, t.size, len(t)) == ((256, 12), 2, 12 * 256, 256)
    assert (np.shape(t), np.ndim(t)) == ((256, 12), 2)
    np.testing.assert_array_equal(t.dequantize(), dense.T)
    assert repr(t) == f"{weights!r}.T"
    assert (STACK.mT.shape, STACK.mT.mT) == ((2, 64, 5), STACK)
    assert W[0].T.shape == (256,)


def test_lists_numbers_and_activations_are_operands() -> None:
    x = [1.0] * 256
    ones = np.ones(256, np.float32)
    want = qk.gemv(W, ones)
    for y in (W @ x, tuple(x) @ W.T, x @ W.T, W @ ([1] * 256), [True] * 256 @ W.T):
        np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(W @ qk.quantize_activations(ones), want)
    rows = qk.quantize_activations(floats(3, 256))
    np.testing.assert_array_equal(rows @ W.T, qk.gemm(W, rows))
    with pytest.raises(ValueError, match=r"activations of shape \(3, 256\) are rows"):
        W @ rows


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (lambda w: w @ w, "weights @ weights is not offered, and x is a "),
        (lambda w: w @ w.T, "weights @ weights is not offered"),
        (lambda w: w.T @ w, r"multiply from the right only, as in x @ weights\.T"),
        (lambda w: w.T @ np.ones(12, np.float32), "multiply from the right only"),
        (lambda w: np.ones(12, np.float32) @ w, r"weights\.T multiplies x of shape \(\.\.\., 2"),
        (lambda w: torch.ones(12) @ w, "x @ weights would need the columns"),
        (lambda w: [1.0] * 12 @ w, "x @ weights would need the columns"),
        (lambda w: w @ "x", "unsupported operand type"),
        (lambda w: object() @ w.T, "unsupported operand type"),
        (lambda w: w * 2, "unsupported operand type"),
        (lambda w: np.float32(2) * w, "unsupported operand type"),
        (np.asarray, r"call \.dequantize\(\)"),
        (np.array, r"call \.dequantize\(\)"),
        (lambda w: np.asarray(w, copy=False), r"call \.dequantize\(\)"),
        (lambda w: np.asarray(w, np.float64), r"call \.dequantize\(\)"),
        (lambda w: np.asarray(w.T), r"call \.dequantize\(\)"),
        (lambda w: np.matmul(w, np.ones(256)), "does not support ufuncs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("weights", [W, W.pack()], ids=["blocks", "packed"])
def test_what_weights_do_not_do_is_a_type_error(product: Any, message: str, weights: Any) -> None:
    with pytest.raises(TypeError, match=message):
        product(weights)


@pytest.mark.parametrize("make", [torch.tensor, torch.as_tensor, torch.asarray])
@pytest.mark.parametrize("weights", [W, W[0], STACK, W.pack()])
def test_torch_makes_no_tensor_of_weights(make: Any, weights: Any) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        make(weights)


def test_gated_weights_have_the_manners_too() -> None:
    keep = np.array([True, False])
    w = tensor("q4_0", 6, 64).pack(gates=keep, block_k=32)
    x = floats(64)
    np.testing.assert_array_equal(x @ w.T, w @ x)
    with pytest.raises(TypeError, match="x @ weights would need the columns"):
        floats(6) @ w
    with pytest.raises(TypeError, match="weights @ weights is not offered"):
        w @ w


def test_a_vector_of_floats_is_decoded_where_gains_are_meant() -> None:
    gains = qk.quantize(floats(2, 64), "bf16")[0]
    np.testing.assert_array_equal(floats_of(gains), gains.dequantize())
    for other in (None, W, floats(3)):
        assert floats_of(other) is other
