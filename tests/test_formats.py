"""Formats: names, sizes, and decoding that is right to the last bit."""

import itertools
from typing import Any

import gguf
import numpy as np
import pytest

import qkernels as qk
from format_facts import FACTS
from qkernels import _core
from weights import (
    IN_GGUF,
    SANITIZED,
    block_of,
    gguf_type,
    random_bytes,
    random_weights,
    reference,
)

NDArray = np.ndarray[Any, Any]


def test_every_format_has_a_row_of_facts() -> None:
    assert set(FACTS) == set(qk.formats())


def test_a_format_says_what_its_row_has(fmt: str) -> None:
    info, facts = _core.format_info(fmt), FACTS[fmt]
    assert info.name == fmt
    assert (info.gguf_id, info.block, info.block_bytes) == (
        facts.gguf_id,
        facts.block,
        facts.nbytes,
    )
    assert info.is_float == facts.is_float
    assert info.panel_bytes == (facts.panel_bytes or facts.nbytes)
    assert (info.integers is None) == (info.group is None) == facts.is_float


@pytest.mark.parametrize("fmt", IN_GGUF)
def test_block_sizes_and_ids_are_those_of_gguf(fmt: str) -> None:
    info = _core.format_info(fmt)
    assert info.gguf_id == int(gguf_type(fmt))
    if fmt != "q8_1":  # of which that package has the size of another struct
        assert (info.block, info.block_bytes) == gguf.GGML_QUANT_SIZES[gguf_type(fmt)]


def test_all_that_the_gguf_package_decodes_are_formats() -> None:
    decoded = []
    for kind, (_, nbytes) in gguf.GGML_QUANT_SIZES.items():
        try:
            gguf.quants.dequantize(np.zeros((1, nbytes), np.uint8), kind)
        except NotImplementedError:
            continue
        decoded.append(kind.name.lower())
    assert set(decoded) <= set(qk.formats())


def test_a_format_is_named_in_any_case_or_by_gguf_type(fmt: str) -> None:
    raw = random_weights(fmt, 2, 256)
    expected = qk.dequantize(raw, fmt)
    ids = [gguf_type(fmt)] if fmt in IN_GGUF else []
    name: Any
    for name in (fmt.upper(), fmt.title(), *ids):
        np.testing.assert_array_equal(qk.dequantize(raw, name), expected)


def assert_decodes_as_gguf(raw: NDArray, fmt: str) -> None:
    """To the last bit; of a NaN, only that it is one."""
    expected = reference(raw, fmt)
    got = qk.dequantize(raw, fmt)
    nan = np.isnan(expected)
    assert nan.mean() < 0.5
    assert ((got.view(np.uint32) == expected.view(np.uint32)) | (nan & np.isnan(got))).all()


def test_every_isa_decodes_bit_for_bit_as_gguf(fmt: str, isa: str) -> None:
    """Random bytes: every pattern of scales, quants and mins, denormals and infinities included."""
    assert_decodes_as_gguf(random_bytes(fmt, 10_000, seed=7), fmt)


def every_word(nbytes: int, start: int) -> NDArray:
    """65,536 blocks in which each two bytes, from `start` on, take every value once."""
    rng = np.random.default_rng(nbytes)
    words = [rng.permutation(1 << 16).astype("<u2") for _ in range((nbytes - start) // 2)]
    blocks = rng.integers(0, 256, (1 << 16, nbytes), np.uint8)
    blocks[:, start : start + 2 * len(words)] = np.stack(words, axis=1).view(np.uint8)
    return blocks


@pytest.mark.slow
def test_every_value_of_every_two_bytes_decodes_bit_for_bit_as_gguf(fmt: str) -> None:
    """The ISAs take turns, so that each decodes its share of them."""
    nbytes = block_of(fmt)[1]
    blocks = np.concatenate([every_word(nbytes, start) for start in range(1 + nbytes % 2)])
    if SANITIZED:  # tests/cpp decodes by every ISA
        blocks = blocks[::8]
    before = _core.isa()
    isas = itertools.cycle(_core.isas(for_tests=True))
    try:
        for start in range(0, len(blocks), 4096):
            _core.force_isa(next(isas))
            assert_decodes_as_gguf(blocks[start : start + 4096], fmt)
    finally:
        _core.force_isa(before)


def test_rows_end_at_k_whatever_the_block(fmt: str) -> None:
    for k in (1, 31, 32, 33, 100, 255, 256, 257, 4097):
        raw = random_weights(fmt, 3, k)
        got = qk.QTensor(raw, fmt, (3, k)).dequantize()
        assert got.shape == (3, k)
        np.testing.assert_array_equal(got, reference(raw, fmt)[:, :k])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_dequantize_rounds_once_to_the_dtype_asked_for(fmt: str, dtype: str) -> None:
    raw = random_weights(fmt, 5, 256)
    got = qk.dequantize(raw, fmt, dtype=dtype)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, reference(raw, fmt).astype(dtype))


def test_dequantize_takes_a_slice_of_rows_and_any_out(fmt: str) -> None:
    raw = random_weights(fmt, 9, 288)
    weights = qk.QTensor(raw, fmt, (9, 288))
    expected = reference(raw, fmt)[:, :288]
    np.testing.assert_array_equal(qk.dequantize(weights, rows=slice(2, 9, 3)), expected[2:9:3])
    wide = np.full((9, 600), 7.0, np.float32)
    assert qk.dequantize(weights, out=wide[:, 1:577:2]).base is wide
    np.testing.assert_array_equal(wide[:, 1:577:2], expected)
    assert (wide[:, 0:577:2] == 7).all()
    assert (wide[:, 577:] == 7).all()


def test_get_rows_equals_the_rows_of_dequantize(fmt: str) -> None:
    weights = qk.QTensor(random_weights(fmt, 50, 288), fmt, (50, 288))
    dense = weights.dequantize()
    ids: Any
    for ids in ([3], [49, 0, 49], np.array([[1, 2, 3], [4, 5, 6]]), np.int64(7), []):
        got = qk.get_rows(weights, ids)
        np.testing.assert_array_equal(got, dense[np.asarray(ids, np.int64)])
