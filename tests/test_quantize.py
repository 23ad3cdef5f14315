"""qkernels.quantize: bit for bit as the gguf package and as ggml define it."""

from collections.abc import Callable
from typing import Any

import gguf
import numpy as np
import pytest
import torch

import qkernels as qk
from format_facts import made
from qkernels import _core
from weights import IN_GGUF, block_of, gguf_type

NDArray = np.ndarray[Any, Any]
AS_GGUF = made("gguf")
FLOATS = ["f32", "f16", "bf16"]
QUANTIZABLE = [fmt for fmt in qk.formats() if qk.can_quantize(fmt)]
N, K = 48, 768
NEGATIVE_ZERO = 0x8000  # in binary16


def _gaussian(rng: np.random.Generator) -> NDArray:
    return rng.standard_normal((N, K))


def _outliers(rng: np.random.Generator) -> NDArray:
    weights = rng.standard_normal((N, K))
    weights[rng.random((N, K)) < 0.01] *= 1000
    return weights


def _near_powers_of_two(rng: np.random.Generator) -> NDArray:
    """Where a rounded logarithm jumps."""
    powers = np.exp2(rng.integers(-12, 12, (N, K))).astype(np.float32)
    steps = rng.integers(-3, 4, (N, K)).astype(np.int32)
    near = (powers.view(np.int32) + steps).view(np.float32)
    return np.asarray(near * rng.choice([-1, 1], (N, K)))


def _ties(rng: np.random.Generator) -> NDArray:
    """Halves of a step, so that each rounding rule shows."""
    weights = rng.integers(-254, 255, (N, K)) / 2.0
    weights[:, ::32] = 127
    return weights


SOURCES: dict[str, Callable[[np.random.Generator], Any]] = {
    "gaussian": _gaussian,
    "laplacian": lambda rng: rng.laplace(size=(N, K)),
    "uniform, positive": lambda rng: rng.random((N, K)) + 1,
    "negative": lambda rng: -rng.random((N, K)) - 1,
    "zeros": lambda _: np.zeros((N, K)),
    "constants": lambda rng: np.repeat(rng.standard_normal((N, 1)), K, axis=1),
    "sparse": lambda rng: rng.standard_normal((N, K)) * (rng.random((N, K)) < 0.02),
    "outliers": _outliers,
    "near powers of two": _near_powers_of_two,
    "ties": _ties,
    "small": lambda rng: rng.standard_normal((N, K)) * 1e-7,
    "scales that are zero as halves": lambda rng: rng.standard_normal((N, K)) * 1e-30,
    "ternary": lambda rng: rng.integers(-1, 2, (N, K)) * 0.37,
}


def source(name: str, seed: int = 0) -> NDArray:
    """(48, 768) float32."""
    return np.asarray(SOURCES[name](np.random.default_rng(seed)), np.float32)


@pytest.mark.parametrize("fmt", AS_GGUF)
@pytest.mark.parametrize("name", SOURCES)
def test_the_bytes_are_those_of_the_gguf_package(fmt: str, name: str) -> None:
    weights = source(name)
    expected = gguf.quants.quantize(weights, gguf_type(fmt)).view(np.uint8)
    got = np.asarray(qk.quantize(weights, fmt).data)
    np.testing.assert_array_equal(_zeros_alike(got, fmt), _zeros_alike(expected, fmt))


def _zeros_alike(raw: NDArray, fmt: str) -> NDArray:
    """Blocks (count, bytes) whose min is 0.0 where it is -0.0.

    Which of them is the least of a block that has both, NumPy leaves to the processor.
    """
    blocks = np.array(raw).reshape(-1, block_of(fmt)[1])
    if fmt in ("q4_1", "q5_1"):
        mins = np.ascontiguousarray(blocks[:, 2:4]).view(np.uint16)
        blocks[:, 2:4] = np.where(mins == NEGATIVE_ZERO, 0, mins).astype(np.uint16).view(np.uint8)
    return blocks


def test_every_format_that_the_gguf_package_quantises_to_is_among_these() -> None:
    one_row = np.zeros((1, 256), np.float32)
    known = []
    for fmt in IN_GGUF:
        try:
            gguf.quants.quantize(one_row, gguf_type(fmt))
        except NotImplementedError:
            continue
        known.append(fmt)
    assert set(known) - {"nvfp4"} == set(AS_GGUF)


@pytest.mark.parametrize("fmt", QUANTIZABLE)
@pytest.mark.parametrize("scale", [2**-127, 1e-39, 1e-44])
def test_denormal_weights_become_zeros_or_what_they_are(fmt: str, scale: float) -> None:
    weights = source("gaussian").clip(-4, 4) * np.float32(scale)
    dense = qk.quantize(weights, fmt).dequantize()
    assert np.isfinite(dense).all()
    assert np.abs(dense).max() <= 1.1 * np.abs(weights).max()


@pytest.mark.parametrize("fmt", FLOATS)
def test_floats_keep_every_kind_of_value_bit_for_bit(fmt: str) -> None:
    """Zeros, denormals, halfway cases, infinities and NaNs of both signs."""
    rng = np.random.default_rng(5)
    special = [0x0, 0x1, 0x7FFFFF, 0x800000, 0x33000000, 0x33000001, 0x387FE000, 0x387FF000]
    special += [0x3F801000, 0x3F803000, 0x3F808000, 0x477FE000, 0x477FEFFF, 0x477FF000, 0x7F7FFFFF]
    special += [0x7F800000, 0x7FC00000]
    bits = np.concatenate([special, rng.integers(0, 0x7F800000, 4096 - len(special))])
    weights = np.concatenate([bits, bits | 0x80000000]).astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        rounded = gguf.quants.dequantize(
            gguf.quants.quantize(weights, gguf_type(fmt)), gguf_type(fmt)
        )
        weights[np.isinf(rounded) & np.isfinite(weights)] = 0  # which is refused
        expected = gguf.quants.quantize(weights.reshape(2, -1), gguf_type(fmt)).view(np.uint8)
    np.testing.assert_array_equal(qk.quantize(weights.reshape(2, -1), fmt).data, expected)


@pytest.mark.parametrize("fmt", sorted(set(AS_GGUF) - set(FLOATS)))
@pytest.mark.parametrize("power", [-110, -30, -24, -14, 0, 15])
def test_the_bytes_are_those_of_the_gguf_package_at_every_size(fmt: str, power: int) -> None:
    """From scales that are zero as halves, by denormal ones, up to the largest."""
    weights = (source("uniform, positive") - 1.5) * np.float32(2.0) ** power
    expected = gguf.quants.quantize(weights, gguf_type(fmt)).view(np.uint8)
    np.testing.assert_array_equal(qk.quantize(weights, fmt).data, expected)


@pytest.mark.parametrize("fmt", ["mxfp4", "q8_k"])
def test_formats_of_wide_scales_hold_the_largest_floats(fmt: str) -> None:
    weights = source("gaussian").clip(-4, 4) * np.float32(8e37)
    dense = np.asarray(qk.quantize(weights, fmt).dequantize(), np.float64)
    assert np.abs(dense - weights).max() <= 0.25 * np.abs(weights).max()


@pytest.mark.parametrize("fmt", QUANTIZABLE)
def test_a_row_does_not_depend_on_threads_or_neighbours(fmt: str) -> None:
    weights = np.random.default_rng(1).standard_normal((9, 8192 + 256)).astype(np.float32)
    whole = np.asarray(qk.quantize(weights, fmt, threads=1).data)
    np.testing.assert_array_equal(qk.quantize(weights, fmt, threads=4).data, whole)
    for row in (0, 8):
        alone = qk.quantize(weights[row : row + 1], fmt)
        np.testing.assert_array_equal(np.asarray(alone.data)[0], whole[row])


@pytest.mark.parametrize("fmt", QUANTIZABLE)
def test_the_blocks_are_the_same_on_every_isa(fmt: str) -> None:
    names = ["gaussian", "outliers", "sparse", "near powers of two", "small", "ties"]
    weights = np.concatenate([source(name) for name in names])
    importance = np.random.default_rng(6).random(K, np.float32)
    before = _core.isa()
    made: list[NDArray] = []
    try:
        for isa in qk.isas():
            _core.force_isa(isa)
            ways = (None, importance if _core.takes_importance(fmt) else None)
            made.extend(np.asarray(qk.quantize(weights, fmt, imatrix=way).data) for way in ways)
    finally:
        _core.force_isa(before)
    for plain, weighted in zip(made[::2], made[1::2], strict=True):
        np.testing.assert_array_equal(plain, made[0])
        np.testing.assert_array_equal(weighted, made[1])


@pytest.mark.parametrize("fmt", QUANTIZABLE)
def test_strides_and_dtypes_change_nothing(fmt: str) -> None:
    wide = np.random.default_rng(2).standard_normal((40, 1536)).astype(np.float16)
    expected = np.asarray(qk.quantize(wide[::-2, ::-3].astype(np.float32), fmt).data)
    np.testing.assert_array_equal(qk.quantize(wide[::-2, ::-3], fmt).data, expected)
    fortran = np.asfortranarray(wide[::-2, ::-3].astype(np.float32))
    np.testing.assert_array_equal(qk.quantize(fortran, fmt).data, expected)


@pytest.mark.parametrize("fmt", QUANTIZABLE)
def test_torch_weights_make_torch_blocks(fmt: str) -> None:
    weights = source("gaussian")
    made = qk.quantize(torch.from_numpy(weights).bfloat16(), fmt)
    assert isinstance(made.data, torch.Tensor)
    rounded = torch.from_numpy(weights).bfloat16().float().numpy()
    np.testing.assert_array_equal(made.data.numpy(), qk.quantize(rounded, fmt).data)


@pytest.mark.parametrize("fmt", QUANTIZABLE)
def test_a_stack_is_its_experts(fmt: str) -> None:
    stack = source("gaussian").reshape(3, 16, K)
    made = qk.quantize(stack, fmt)
    assert made.shape == stack.shape
    for e in range(3):
        np.testing.assert_array_equal(made[e].data, qk.quantize(stack[e], fmt).data)


@pytest.mark.parametrize("shape", [(64,), (3, 64), (2, 3, 64), (2, 1, 3, 64), (1, 2, 1, 2, 3, 64)])
def test_weights_of_any_rank_are_quantised_row_by_row(shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    made = qk.quantize(weights, "q8_0")
    rows = qk.quantize(weights.reshape(-1, 64), "q8_0")
    assert made.shape == shape
    np.testing.assert_array_equal(np.asarray(made.data).reshape(rows.data.shape), rows.data)
