"""Raw integers: what every format's are, and that with scales and mins they are the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from format_facts import FACTS, with_unit_scales
from qkernels import _core
from qkernels.raw_ints import raw_scales
from weights import SANITIZED, dense, is_float, random_bytes, random_weights, reference, tensor

NDArray = np.ndarray[Any, Any]

QUANTISED = [fmt for fmt in qk.formats() if not is_float(fmt)]
FLOATS = [fmt for fmt in qk.formats() if is_float(fmt)]

WITH_MIN = [fmt for fmt in QUANTISED if FACTS[fmt].has_min]


def ints_of(weights: qk.QTensor) -> NDArray:
    return np.asarray(weights.raw_ints())


@pytest.mark.parametrize("fmt", QUANTISED)
def test_integers_are_the_documented_ones(fmt: str) -> None:
    raw = random_bytes(fmt, 256 if SANITIZED else 2048, seed=3)
    k = len(raw) * _core.format_info(fmt).block
    found = ints_of(qk.QTensor(raw.reshape(1, -1), fmt, (1, k)))
    assert found.dtype == np.int8
    assert set(map(int, np.unique(found))) == set(FACTS[fmt].integers)


@pytest.mark.parametrize("fmt", QUANTISED)
def test_integers_are_what_the_gguf_package_decodes_where_scales_are_one(fmt: str) -> None:
    raw = random_bytes(fmt, 64, seed=4)
    expected = reference(with_unit_scales(raw, fmt), fmt) - FACTS[fmt].centre
    found = ints_of(qk.QTensor(raw, fmt, expected.shape))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("fmt", [fmt for fmt in QUANTISED if fmt not in WITH_MIN])
def test_without_mins_scale_times_integer_is_the_weight_to_the_bit(fmt: str) -> None:
    weights = tensor(fmt, 5, 1000)
    raw = weights.raw_ints(with_scales=True)
    assert not np.any(raw.mins)
    np.testing.assert_array_equal(raw.dequantize(), dense(weights))


@pytest.mark.parametrize("fmt", WITH_MIN)
def test_with_mins_the_weight_comes_back_to_the_rounding_of_float32(fmt: str) -> None:
    weights = tensor(fmt, 5, 1000)
    raw = weights.raw_ints(with_scales=True)
    scales, mins = (
        np.repeat(of_groups, raw.group, axis=1)[:, :1000].astype(np.float64)
        for of_groups in (raw.scales, raw.mins)
    )
    ints = np.asarray(raw.ints, np.float64)
    decoded = dense(weights)
    # Decoding rounds scale * quant and then the sum; the min beside integers is rounded once.
    terms = np.abs(scales * (ints + FACTS[fmt].centre)) + np.abs(decoded) + np.abs(mins)
    half_an_ulp = np.finfo(np.float32).eps / 2
    assert np.all(np.abs(scales * ints + mins - decoded) <= 1.0001 * half_an_ulp * terms)
    # One's own float32 product and sum are two roundings more.
    difference = np.abs(np.asarray(raw.dequantize(), np.float64) - decoded)
    assert np.all(difference <= 2.0001 * half_an_ulp * terms)


def test_integers_of_q8_0_are_the_int8_of_its_blocks() -> None:
    raw = random_weights("q8_0", 3, 96)
    blocks = raw.reshape(3, 3, 34)[:, :, 2:].view(np.int8)
    expected = blocks.reshape(3, 96)
    np.testing.assert_array_equal(ints_of(qk.QTensor(raw, "q8_0", (3, 96))), expected)


def test_integers_of_q4_k_are_its_nibbles_less_8() -> None:
    raw = random_weights("q4_k", 2, 512)
    runs = raw.reshape(2, 2, 144)[:, :, 16:].reshape(2, 2, 4, 1, 32)
    nibbles = np.concatenate([runs & 15, runs >> 4], axis=3).reshape(2, 512)
    expected = nibbles.astype(np.int8) - 8
    np.testing.assert_array_equal(ints_of(qk.QTensor(raw, "q4_k", (2, 512))), expected)


@pytest.mark.parametrize("fmt", QUANTISED)
def test_there_is_a_scale_for_every_group_of_a_row(fmt: str) -> None:
    k = 700
    raw = tensor(fmt, 3, k).raw_ints(with_scales=True)
    assert raw.group in (8, 16, 32)
    assert raw.ints.shape == (3, k)
    assert raw.scales.shape == raw.mins.shape == (3, -(-k // raw.group))
    assert raw.scales.dtype == raw.mins.dtype == np.float32


def test_a_scale_that_is_no_number_leaves_its_integers_alone() -> None:
    raw = random_weights("q4_k", 1, 256)
    before = ints_of(qk.QTensor(raw, "q4_k", (1, 256)))
    raw[0, :2] = (0, 0x7E)  # a binary16 NaN
    weights = qk.QTensor(raw, "q4_k", (1, 256))
    np.testing.assert_array_equal(ints_of(weights), before)
    assert np.isnan(raw_scales(weights)[0]).all()


@pytest.mark.parametrize("fmt", ["q4_0", "q6_k"])
def test_views_have_the_integers_of_what_they_show(fmt: str) -> None:
    weights = tensor(fmt, 6, 768)
    whole = ints_of(weights)
    np.testing.assert_array_equal(ints_of(weights[1:6:2, 256:512]), whole[1:6:2, 256:512])
    stack = qk.QTensor(np.asarray(weights.data).reshape(2, 3, -1), fmt, (2, 3, 768))
    np.testing.assert_array_equal(ints_of(stack), whole.reshape(2, 3, 768))
    scales = stack.raw_ints(with_scales=True)
    assert scales.scales.shape == (2, 3, 768 // scales.group)
    np.testing.assert_array_equal(scales.dequantize(), stack.dequantize())


def test_integers_do_not_depend_on_the_number_of_threads() -> None:
    weights = tensor("q5_k", 300, 512)
    one = weights.raw_ints(with_scales=True, threads=1)
    four = weights.raw_ints(with_scales=True, threads=4)
    for a, b in zip(one[:3], four[:3], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("fmt", ["q8_0", "q4_k"])
def test_torch_weights_have_torch_integers(fmt: str) -> None:
    weights = tensor(fmt, 4, 320)
    as_torch = qk.QTensor(torch.from_numpy(weights.data), fmt, (4, 320))
    raw = as_torch.raw_ints(with_scales=True)
    assert isinstance(raw.ints, torch.Tensor)
    assert raw.ints.dtype == torch.int8
    assert isinstance(raw.dequantize(), torch.Tensor)
    expected = weights.raw_ints(with_scales=True)
    np.testing.assert_array_equal(np.asarray(raw.ints), expected.ints)
    np.testing.assert_array_equal(np.asarray(raw.dequantize()), expected.dequantize())


@pytest.mark.parametrize("fmt", FLOATS)
def test_float_weights_have_no_integers(fmt: str) -> None:
    weights = tensor(fmt, 2, 32)
    for with_scales in (False, True):
        with pytest.raises(TypeError, match=f"{fmt} weights are floats: they have no integers"):
            weights.raw_ints(with_scales=with_scales)


def test_packed_weights_are_unpacked_first() -> None:
    packed = tensor("q4_0", 4, 64).pack()
    with pytest.raises(TypeError, match=r"raw integers are of blocks; see unpack\(\)"):
        _core.raw_ints(packed._weights, 1)
    assert ints_of(packed.unpack()).shape == (4, 64)


@pytest.mark.parametrize("threads", [0, 257])
def test_a_wrong_number_of_threads_is_refused(threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads={threads} is outside 1..256"):
        tensor("q4_0", 4, 64).raw_ints(threads=threads)
