"""Products of the columns that gates keep: the bits of products with zeros in x."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from gated_inputs import by_rows, some, tensor, trained, vector
from qkernels.bench.problem import random_weights
from weights import block_of, bound, dense, is_float, relative_error

NDArray = np.ndarray[Any, Any]

ACTS = ("int16", "float32", "int8")


def bits(y: Any) -> NDArray:
    return np.asarray(y, np.float32).view(np.uint32)


def spoilt(x: NDArray, columns: NDArray) -> NDArray:
    """X with what would spoil every product wherever columns are dropped."""
    spoils = np.array([np.nan, np.inf, 3e38, -1e-40], np.float32)
    return np.where(columns, x, np.resize(spoils, len(x)))


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
