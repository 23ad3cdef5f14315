"""Products of the columns that gates keep: what is refused, and that nothing is written then."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from gated_inputs import by_rows, some, tensor, trained, vector
from weights import block_of, is_float


def test_nothing_is_written_where_an_argument_is_wrong() -> None:
    n, k = 64, 64
    weights = tensor("q4_0", n, k)
    gates = trained(np.array([[0, 0], [0, 1]]), n, k, 32, 32)
    packed = weights.pack(gates=gates)
    out = np.full(n, 7, np.float32)
    for options in ({"act": "int4"}, {"threads": 0}, {"bias": vector(3)}):
        with pytest.raises(ValueError):  # noqa: PT011 (each says something else)
            qk.gated_gemv(packed, vector(k), out=out, **options)
        assert (out == 7).all()
    kinds: list[dict[str, Any]] = [{"out": [0.0] * n}, {"bias": "abc"}, {"act": 3}]
    for wrong in kinds:
        with pytest.raises(TypeError, match=r"^(out|bias|act) must be"):
            qk.gated_gemv(packed, vector(k), **wrong)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_a_call_by_groups_is_checked_as_a_whole(packed: bool, kept: bool) -> None:
    weights, gates = by_rows(kept)
    x, bias = vector(64), vector(8)
    raw = np.array(weights.data)
    own = qk.QTensor(raw, "q4_0", (8, 64))
    call = functools.partial(qk.gated_gemv, x=x)
    if packed:
        call = functools.partial(call, weights.pack(gates=gates))
    else:
        call = functools.partial(call, own, gates=gates)
    shared = np.concatenate([bias, bias])
    read_only = np.zeros(8, np.float32)
    read_only.flags.writeable = False
    wrong: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (ValueError, "out shares memory with bias", {"bias": shared[:8], "out": shared[1:9]}),
        (ValueError, "out is read-only", {"out": read_only}),
        (ValueError, r"out has shape \(9,\)", {"out": np.zeros(9, np.float32)}),
        (ValueError, "out has a negative stride", {"out": np.zeros(8, np.float32)[::-1]}),
        (TypeError, "out has dtype float64", {"out": np.zeros(8)}),
        (ValueError, r"bias has shape \(9,\)", {"bias": np.zeros(9, np.float32)}),
        (TypeError, "bias has dtype <c16", {"bias": np.zeros(8, complex)}),
        (ValueError, "act='int4'", {"act": "int4"}),
        (TypeError, "act must be a str", {"act": 8}),
        (ValueError, "threads=0", {"threads": 0}),
    ]
    if not packed:
        over = raw.reshape(-1)[-32:].view(np.float32)
        wrong.append((ValueError, "out shares memory with weights", {"out": over}))
    for error, message, options in wrong:
        before = [np.array(a) for a in (*options.values(), raw, x, bias, shared)]
        with pytest.raises(error, match=message):
            call(**options)
        for array, was in zip((*options.values(), raw, x, bias, shared), before, strict=True):
            np.testing.assert_array_equal(np.array(array), was)
    expected = call(bias=bias)
    for dtype in (np.float16, np.float32):
        out = np.zeros((8, 2), dtype)[:, 1]
        assert call(bias=bias, out=out) is out
        np.testing.assert_array_equal(out, expected.astype(dtype))
    tensor_out = torch.zeros(8)
    assert call(bias=torch.from_numpy(bias), out=tensor_out) is tensor_out
    np.testing.assert_array_equal(tensor_out.numpy(), expected)
    assert tensor_out._version == 1


W = tensor("q4_k", 4, 512)
X = vector(512)
KEEP = np.array([True, False])
PACKED = W.pack(gates=KEEP, block_k=256)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((W, X), {}, TypeError, "gates are missing"),
        ((W, X, None, KEEP), {}, TypeError, "positional"),
        ((W, X, KEEP), {}, TypeError, "the third argument is fmt; give gates by name"),
        ((W, X), {"gates": np.ma.masked_array(KEEP, KEEP), "block_k": 256}, TypeError, "masked"),
        ((W, X), {"gates": [1.0, 0.0], "block_k": 256}, TypeError, "array of bool, not of float64"),
        ((W, X), {"gates": KEEP}, ValueError, r"a mask of shape \(2,\); k=512 has 512 blocks of 1"),
        ((W, X), {"gates": KEEP, "block_k": 100}, ValueError, "k=512 has 6 blocks of 100"),
        ((W, X), {"gates": KEEP, "block_k": 0}, ValueError, r"block_k=0 is outside 1\.\.512"),
        ((W, X), {"gates": KEEP[None], "block_k": 256}, ValueError, r"a mask of shape \(1, 2\)"),
        ((W, X[1:]), {"gates": KEEP, "block_k": 256}, ValueError, "x has k=511"),
        ((W, X[None]), {"gates": KEEP, "block_k": 256}, ValueError, "one vector x"),
        ((W, "abc"), {"gates": KEEP, "block_k": 256}, TypeError, "not str"),
        ((W, qk.quantize_activations(X)), {"gates": KEEP}, TypeError, "not Activations"),
        ((W.data, X), {"gates": KEEP, "block_k": 256}, TypeError, "raw weights need fmt"),
        ((W, X), {"gates": KEEP, "block_k": 256, "fmt": "q8_0"}, ValueError, "disagrees"),
        ((W, X), {"gates": KEEP, "block_k": 256, "bias": X}, ValueError, "bias"),
        ((W, X), {"gates": KEEP, "block_k": 256, "act": "int4"}, ValueError, "int4"),
        ((PACKED, X), {"gates": KEEP, "block_k": 256}, TypeError, "give neither"),
        ((PACKED, X[1:]), {}, ValueError, "x has k=511, the weights have k=512"),
    ],
)
def test_what_is_wrong_is_said_with_its_value(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        qk.gated_gemv(*arguments, **options)


def test_trained_gates_are_refused_for_other_weights() -> None:
    gates = trained(np.array([1, 0]), 4, 512, 256, None)
    with pytest.raises(ValueError, match=r"gates for weights of \(4, 512\)"):
        qk.gated_gemv(tensor("q4_k", 4, 256), X[:256], gates=gates)
    with pytest.raises(TypeError, match="block_k=256 is for a mask"):
        qk.gated_gemv(W, X, gates=gates, block_k=256)
    by_rows = trained(np.array([[1, 0], [0, 1]]), 4, 512, 256, 2)
    with pytest.raises(ValueError, match="gates for weights of"):
        qk.gated_gemv(tensor("q4_k", 5, 512), X, gates=by_rows)
    with pytest.raises(TypeError, match="gates by rows take a QTensor"):
        qk.gated_gemv(W.pack(), X, gates=by_rows)
    with pytest.raises(ValueError, match=r"bias has shape \(3,\), the result has n=4"):
        qk.gated_gemv(W, X, gates=by_rows, bias=X[:3])


def test_gates_that_cut_a_formats_blocks_are_not_packed(fmt: str) -> None:
    block = block_of(fmt)[0]
    weights = tensor(fmt, 4, 512)
    if is_float(fmt):
        assert weights.pack(gates=some(171), block_k=3).block_k == 3
        return
    half = block // 2
    with pytest.raises(ValueError, match=f"block_k={half} is no multiple of the {block} weights"):
        weights.pack(gates=np.ones(512 // half, bool), block_k=half)


def test_packing_refuses_stacks_and_widths_without_a_mask() -> None:
    stack = qk.QTensor(np.asarray(W.data)[None], "q4_k", (1, 4, 512))
    with pytest.raises(ValueError, match=r"gates take a matrix, not weights of shape \(1,"):
        stack.pack(gates=KEEP, block_k=256)
    with pytest.raises(TypeError, match="block_k=256 is for a mask, and gates are None"):
        W.pack(block_k=256)  # type: ignore[call-overload]


def test_packed_gates_are_not_inflated() -> None:
    with pytest.raises(TypeError, match="do not turn into an array; the QTensor has all"):
        np.asarray(PACKED)


def test_a_gated_matrix_has_a_product_with_one_vector_by_either_name() -> None:
    bias = vector(4)
    np.testing.assert_array_equal(
        qk.gemv(PACKED, X, bias=bias), qk.gated_gemv(PACKED, X, bias=bias)
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: qk.gemm(PACKED, X[None]),  # type: ignore[call-overload]
        lambda: qk.dequantize(PACKED),  # type: ignore[arg-type]
        lambda: qk.get_rows(PACKED, 0),  # type: ignore[arg-type]
        lambda: qk.rmsnorm_linear(X, X, PACKED),  # type: ignore[arg-type]
    ],
)
def test_what_needs_all_columns_refuses_gated_weights(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"GatedTensor|gated weights"):
        call()
