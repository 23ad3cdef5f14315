"""Products of the columns that gates keep: the bits of products with zeros in x."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from qkernels.bench.problem import random_weights
from qkernels.gates import GateResult, History
from weights import block_of, bound, dense, is_float, relative_error

NDArray = np.ndarray[Any, Any]

ACTS = ("int16", "float32", "int8")


def tensor(fmt: str, n: int, k: int) -> qk.QTensor:
    """Random weights of sensible sizes."""
    return qk.QTensor(random_weights(fmt, n, k), fmt, (n, k))


def bits(y: Any) -> NDArray:
    return np.asarray(y, np.float32).view(np.uint32)


def some(count: int, seed: int = 0) -> NDArray:
    """A mask that keeps about half, and not all."""
    keep = np.random.default_rng(seed).random(count) < 0.5
    keep[0] = False
    keep[count // 2] = True
    return keep


def vector(k: int, seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).standard_normal(k).astype(np.float32)


def spoilt(x: NDArray, columns: NDArray) -> NDArray:
    """X with what would spoil every product wherever columns are dropped."""
    spoils = np.array([np.nan, np.inf, 3e38, -1e-40], np.float32)
    return np.where(columns, x, np.resize(spoils, len(x)))


def trained(gates: NDArray, n: int, k: int, block_k: int, row_group: int | None) -> GateResult:
    """Gates that nobody trained."""
    return GateResult(
        gates=gates.astype(np.float64), shape=(n, k), block_k=block_k, row_group=row_group,
        threshold=0.5, l1=0.0, lr=1.0, rule="projected", normalized=True, mse=0.0,
        relative_error=0.0, history=History.of([]),
    )  # fmt: skip


def same_bits(y: Any, expected: Any, *case: object) -> None:
    np.testing.assert_array_equal(bits(y), bits(expected), err_msg=str(case))


def test_blocks_give_the_bits_of_x_with_zeros(fmt: str, isa: str) -> None:
    # Blocks of gates that are parts of the format's, several of them, neither, and cut short.
    for k, block_k in ((100, 1), (320, 40), (544, 100), (544, 32)):
        weights = tensor(fmt, 19, k)
        keep = some(-(-k // block_k))
        columns = np.repeat(keep, block_k)[:k]
        x = vector(k)
        width = None if block_k == 1 else block_k
        both: tuple[Any, ...] = (weights, weights.pack())
        for w, act in itertools.product(both, ACTS):
            expected = qk.gemv(w, np.where(columns, x, 0), act=act)
            for own in (x, spoilt(x, columns)):
                y = qk.gated_gemv(w, own, gates=keep, block_k=width, act=act)
                same_bits(y, expected, k, block_k, act, w)


def whole_blocks(fmt: str) -> int:
    """The fewest columns with which packed gates promise the same bits."""
    return 256 if is_float(fmt) else block_of(fmt)[0]


def test_panels_without_blocks_give_the_bits_of_x_with_zeros(fmt: str, isa: str) -> None:
    for blocks, rest in ((1, 0), (2, 7), (5, 7)):
        block_k = blocks * whole_blocks(fmt)
        k = 7 * block_k + rest
        weights = tensor(fmt, 37, k)
        keep = some(-(-k // block_k), blocks)
        keep[-1] = blocks == 5  # where it is cut short: dropped once, and kept once
        columns = np.repeat(keep, block_k)[:k]
        x = vector(k, blocks)
        packed, whole = weights.pack(gates=keep, block_k=block_k), weights.pack()
        for act in ACTS:
            expected = qk.gemv(whole, np.where(columns, x, 0), act=act)
            y = qk.gated_gemv(packed, spoilt(x, columns), act=act)
            same_bits(y, expected, k, block_k, act)


def test_floats_in_panels_without_blocks_are_within_the_bound(isa: str) -> None:
    for fmt, block_k in itertools.product(("f32", "f16", "bf16"), (1, 32, 40)):
        k = 600
        weights = tensor(fmt, 256, k)
        keep = some(-(-k // block_k))
        columns = np.repeat(keep, block_k)[:k]
        x = vector(k)
        y = qk.gated_gemv(weights.pack(gates=keep, block_k=block_k), x)
        exact = dense(weights) @ np.where(columns, x, 0).astype(np.float64)
        assert relative_error(y, exact) < bound("float32", fmt)


def test_panels_leave_out_what_is_dropped() -> None:
    weights = tensor("q4_k", 32, 16 * 256)
    keep = np.arange(16) % 2 == 0
    packed = weights.pack(gates=keep, block_k=256)
    assert packed.nbytes * 2 == weights.pack().nbytes
    assert (packed.fmt, packed.shape, packed.block_k, len(packed)) == ("q4_k", (32, 4096), 256, 32)
    np.testing.assert_array_equal(packed.mask, keep)
    assert "8 of 16 blocks of 256 columns" in repr(packed)


def test_groups_of_rows_take_the_columns_of_their_own_gates(fmt: str) -> None:
    block_k = whole_blocks(fmt)
    n, k = 37, 6 * block_k
    weights = tensor(fmt, n, k)
    x, bias = vector(k), vector(n, 1)
    for row_group in (5, 16, 37):
        groups = -(-n // row_group)
        keep = np.stack([some(6, seed) for seed in range(groups)])
        keep[-1] = groups == 1
        gates = trained(keep, n, k, block_k, row_group)
        blocks = qk.gated_gemv(weights, x, gates=gates, bias=bias)
        panels = qk.gated_gemv(weights.pack(gates=gates), x, bias=bias)
        for group in range(groups):
            rows = slice(group * row_group, (group + 1) * row_group)
            zeroed = np.where(np.repeat(keep[group], block_k), x, 0)
            expected = qk.gemv(weights, zeroed, bias=bias)[rows]
            same_bits(blocks[rows], expected, row_group, group)
            expected = qk.gemv(weights.pack(), zeroed, bias=bias)[rows]
            same_bits(panels[rows], expected, row_group, group)


def test_packed_gates_do_not_change_with_the_mask_that_they_were_made_of() -> None:
    weights = tensor("q4_0", 19, 128)
    keep = some(4)
    packed = weights.pack(gates=keep, block_k=32)
    x = vector(128)
    before = packed @ x
    keep[:] = ~keep
    same_bits(packed @ x, before)
    assert not packed.mask.flags.writeable


def test_one_gate_for_all_columns_may_cut_the_last_block() -> None:
    weights = tensor("q4_k", 19, 100)
    packed = weights.pack(gates=np.array([True]), block_k=100)
    same_bits(packed @ vector(100), weights.pack() @ vector(100))


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


def by_rows(kept: bool) -> tuple[qk.QTensor, GateResult]:
    """Weights with groups of one row, of which all but the first keep one block or nothing."""
    gates = np.zeros((8, 2))
    gates[0] = 1
    gates[:, 1] = kept
    return tensor("q4_0", 8, 64), trained(gates, 8, 64, 32, 1)


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


def test_out_of_another_framework_is_returned_as_it_is() -> None:
    weights, gates = by_rows(kept=True)
    mask = np.array([True, False])
    for options in ({"gates": gates}, {"gates": mask, "block_k": 32}):
        out = np.zeros(8, np.float32)
        y = qk.gated_gemv(weights, torch.from_numpy(vector(64)), out=out, **options)
        assert y is out


def test_without_a_single_block_the_result_is_the_bias() -> None:
    weights = tensor("q4_k", 5, 512)
    bias = vector(5)
    none = np.zeros(2, bool)
    packed = weights.pack(gates=none, block_k=256)
    assert packed.nbytes == 0
    for w, gates in ((weights, none), (packed, None)):
        width = None if gates is None else 256
        y = qk.gated_gemv(w, vector(512), gates=gates, block_k=width, bias=bias)
        np.testing.assert_array_equal(y, bias)
        y = qk.gated_gemv(w, vector(512) * np.nan, gates=gates, block_k=width)
        np.testing.assert_array_equal(y, 0)


def test_all_blocks_give_the_bits_of_the_whole_product() -> None:
    weights = tensor("q6_k", 33, 1024)
    x = vector(1024)
    packed = weights.pack(gates=np.ones(4, bool), block_k=256)
    np.testing.assert_array_equal(bits(packed @ x), bits(weights.pack() @ x))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tensors_give_tensors_and_x_stays_as_it_is(dtype: str) -> None:
    weights = tensor("q4_0", 19, 128)
    keep = some(4)
    x = torch.from_numpy(vector(256)).to(getattr(torch, dtype))[::2]
    before = x.clone()
    zeroed = x * torch.from_numpy(np.repeat(keep, 32))
    y = qk.gated_gemv(weights, x, gates=keep, block_k=32)
    assert isinstance(y, torch.Tensor)
    np.testing.assert_array_equal(bits(y), bits(qk.gemv(weights, zeroed)))
    y = qk.gated_gemv(weights.pack(gates=keep, block_k=32), x)
    assert isinstance(y, torch.Tensor)
    np.testing.assert_array_equal(bits(y), bits(qk.gemv(weights.pack(), zeroed)))
    assert torch.equal(x, before)


def test_strides_raw_bytes_masks_of_columns_and_out_are_taken() -> None:
    raw = random_weights("q8_0", 19, 128)
    keep = some(128)
    x = vector(256)[::-2].astype(np.float16)
    expected = qk.gemv(raw, np.where(keep, x, np.float16(0)), "q8_0")
    out = np.zeros(19, np.float32)
    assert qk.gated_gemv(raw, x, "q8_0", gates=keep, out=out, threads=1) is out
    np.testing.assert_array_equal(bits(out), bits(expected))


def test_out_may_be_x_since_x_is_read_first() -> None:
    n = k = 64
    weights = tensor("q4_0", n, k)
    gates = trained(np.array([[1, 0], [0, 1]]), n, k, 32, 32)
    x = vector(k)
    expected = qk.gated_gemv(weights, x, gates=gates)
    np.testing.assert_array_equal(qk.gated_gemv(weights, x, gates=gates, out=x), expected)


def test_trained_gates_are_those_under_their_threshold() -> None:
    rng = np.random.default_rng(0)
    weights = tensor("q4_k", 32, 2048)
    x = rng.standard_normal((4, 2048)).astype(np.float32) * np.repeat(
        np.geomspace(1, 1e-3, 8), 256
    ).astype(np.float32)
    found = qk.gates.train(weights, x, block_k=256, lr="auto", steps=200, l1=0.02)
    assert 0 < found.active < 8
    zeroed = np.where(found.columns(), x[0], 0)
    np.testing.assert_array_equal(
        qk.gated_gemv(weights, x[0], gates=found), qk.gemv(weights, zeroed)
    )
    packed = weights.pack(gates=found)
    np.testing.assert_array_equal(packed @ x[0], weights.pack() @ zeroed)


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


def test_products_that_know_nothing_of_gates_refuse_them() -> None:
    with pytest.raises(TypeError, match="GatedTensor"):
        qk.gemv(PACKED, X)  # type: ignore[call-overload]
