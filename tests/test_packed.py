"""Packed weights: the same blocks come back, the same bounds hold, and refusals are clear."""

import re
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from axes import ACTS, FORMATS, ISAS, pairwise
from format_facts import FACTS
from qkernels import _core
from weights import bound, dense, random_bytes, relative_error, tensor

NDArray = np.ndarray[Any, Any]

SHAPES = [(1, 32), (3, 100), (16, 256), (17, 288), (64, 576), (129, 1280)]


def whole_panels(packed: qk.PackedTensor) -> int:
    """The rows of all panels, those that fill up the last one included."""
    rows = int(packed.layout.split()[2])
    return -(-packed.shape[0] // rows) * rows


def rows_of_x(k: int, m: int) -> NDArray:
    rng = np.random.default_rng(k)
    x = rng.standard_normal((m, k), np.float32)
    x[np.arange(m), rng.integers(0, k, m)] *= 20
    return x


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS)
def test_packed_products_are_within_the_bound(fmt: str, isa: str, act: str) -> None:
    for n, k in SHAPES:
        weights = tensor(fmt, n, k, seed=n)
        packed = weights.pack()
        x = rows_of_x(k, -(-256 // n))
        exact = x.astype(np.float64) @ dense(weights).T
        for m in (1, 5):
            rows = [qk.gemm(packed, x[i : i + m], act=act) for i in range(0, len(x), m)]
            error = relative_error(np.concatenate(rows), exact)
            assert error < bound(act, fmt), f"n={n} k={k} m={m}: {error:.2e}"
        np.testing.assert_array_equal(
            qk.gemv(packed, x[0], act=act), qk.gemm(packed, x[:1], act=act)[0]
        )


def as_unpacked(fmt: str, raw: NDArray) -> NDArray:
    """Rows of blocks as they come back: what decoding ignores is as a quantiser would write it."""
    blocks = raw.reshape(-1, _core.format_info(fmt).block_bytes).copy()
    if fmt == "q8_k":
        quants = blocks[:, 4:260].view(np.int8).reshape(-1, 16, 16)
        blocks[:, 260:] = quants.sum(axis=-1, dtype=np.int16).view(np.uint8).reshape(-1, 32)
    if fmt == "q8_ks":
        blocks[:, 272:288] = 0
    if fmt == "tq1_0":  # the least byte with the same digits, of which the last four have no fifth
        number = blocks[:, :52].astype(np.int64) * 243 // 256
        number[:, 48:] -= number[:, 48:] % 3
        blocks[:, :52] = (number * 256 + 242) // 243
    return blocks.reshape(raw.shape)


def test_unpacking_restores_every_byte_that_decoding_reads(fmt: str, isa: str) -> None:
    block_bytes = _core.format_info(fmt).block_bytes
    # The last of them has every row of every grid.
    for n, blocks in ((1, 1), (15, 3), (16, 2), (33, 5), (64, 64)):
        raw = random_bytes(fmt, n * blocks, seed=n).reshape(n, blocks * block_bytes)
        weights = qk.QTensor(raw, fmt, (n, blocks * _core.format_info(fmt).block))
        packed = weights.pack(threads=3)
        assert packed.shape == weights.shape
        assert packed.isa == isa
        panel_bytes = FACTS[fmt].panel_bytes or block_bytes
        assert packed.nbytes == whole_panels(packed) * blocks * panel_bytes
        back = packed.unpack()
        np.testing.assert_array_equal(back.data, as_unpacked(fmt, raw))
        np.testing.assert_array_equal(
            np.asarray(back.dequantize()), np.asarray(weights.dequantize())
        )


def bits(floats: Any) -> NDArray:
    return np.asarray(floats, np.float32).view(np.uint32)


# Rows of several pieces, and panels of 16, 8 and 4 rows whose last one is partly filled.
@pairwise(fmt=FORMATS, isa=ISAS, shape=[(1, 32), (19, 100), (37, 544), (18, 4352)])
def test_packed_rows_decode_bit_for_bit_as_blocks(
    fmt: str, isa: str, shape: tuple[int, int]
) -> None:
    n, k = shape
    weights = tensor(fmt, n, k, seed=n)
    packed = weights.pack()
    ids: Any
    for ids in ([n - 1], [0, n // 2, 0, n - 1, n - 1], np.arange(2 * n).reshape(2, n) % n, []):
        np.testing.assert_array_equal(
            bits(qk.get_rows(packed, ids)), bits(qk.get_rows(weights, ids))
        )
    np.testing.assert_array_equal(bits(qk.dequantize(packed)), bits(weights.dequantize()))


def test_any_bytes_decode_in_panels_as_in_blocks(fmt: str, isa: str) -> None:
    raw = random_bytes(fmt, 64 * 5, seed=9).reshape(64, -1)
    weights = qk.QTensor(raw, fmt, (64, 5 * _core.format_info(fmt).block))
    np.testing.assert_array_equal(qk.dequantize(weights.pack()), weights.dequantize())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_packed_rows_are_written_where_they_are_asked_for(fmt: str, dtype: str) -> None:
    weights = tensor(fmt, 21, 4352)
    packed = weights.pack()
    expected = np.asarray(qk.dequantize(weights, dtype=dtype))
    np.testing.assert_array_equal(qk.dequantize(packed, dtype=dtype, threads=3), expected)
    out = np.full((3, 2 * 4352), 7, dtype)
    qk.get_rows(packed, [20, 4, 20], out=out[:, 1::2])
    np.testing.assert_array_equal(out[:, 1::2], expected[[20, 4, 20]])
    assert (out[:, ::2] == 7).all()


def test_a_wrong_id_into_packed_weights_is_refused_as_into_blocks() -> None:
    packed = tensor("q4_0", 12, 64).pack()
    out = np.full((2, 64), 7, np.float32)
    for ids, named in (([0, 12], "ids[1]=12"), ([-1, 0], "ids[0]=-1")):
        message = re.escape(f"{named} is outside the 12 rows of the weights")
        with pytest.raises(IndexError, match=message):
            qk.get_rows(packed, ids, out=out)
    assert (out == 7).all()


def test_every_scale_of_nvfp4_is_exact_in_panels(isa: str) -> None:
    # All groups of block b have byte b as their scale, and all of its weights the code 7.
    raw = np.full((256, 36), 0x77, np.uint8)
    raw[:, :4] = np.arange(256, dtype=np.uint8)[:, None]
    weights = qk.QTensor(raw, "nvfp4", (256, 64))
    exact = np.asarray(weights.dequantize())[:, 37]
    assert exact[0x7F] == 0 < exact[1]
    one = np.eye(1, 64, 37, np.float32)[0]
    np.testing.assert_array_equal(qk.gemv(weights.pack(), one, act="float32"), exact)


def test_threads_do_not_change_a_bit(fmt: str, act: str) -> None:
    packed = tensor(fmt, 517, 576).pack()
    x = rows_of_x(576, 3)
    alone = qk.gemm(packed, x, act=act, threads=1)
    for threads in (2, 3, 7, 64):
        np.testing.assert_array_equal(qk.gemm(packed, x, act=act, threads=threads), alone)


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS)
def test_large_batches_of_blocks_go_through_panels(fmt: str, isa: str, act: str) -> None:
    for n, k in ((3, 100), (37, 576), (257, 1280)):
        weights = tensor(fmt, n, k)
        x = rows_of_x(k, 16 + n % 5)
        bias = np.arange(n, dtype=np.float32)
        y = qk.gemm(weights, x, bias=bias, act=act)
        if fmt in ("f32", "f16", "bf16"):
            exact = x.astype(np.float64) @ dense(weights).T + bias
            assert relative_error(y, exact) < bound("float32", fmt)
        else:
            np.testing.assert_array_equal(y, qk.gemm(weights.pack(), x, bias=bias, act=act))
        np.testing.assert_array_equal(y, qk.gemm(weights, x, bias=bias, act=act, threads=1))
        np.testing.assert_array_equal(
            y[:, n // 2 :], qk.gemm(weights[n // 2 :], x, bias=bias[n // 2 :], act=act)
        )


def test_packed_weights_are_taken_as_weights_are() -> None:
    weights = tensor("q4_k", 40, 512)
    packed = weights.pack()
    x = rows_of_x(512, 4)
    expected = qk.gemm(packed, x)
    np.testing.assert_array_equal(packed @ x[0], expected[0])
    np.testing.assert_array_equal(packed @ x.T, expected.T)
    np.testing.assert_array_equal(qk.gemm(packed, qk.quantize_activations(x)), expected)
    out, bias = np.empty((4, 40), np.float32), np.arange(40, dtype=np.float32)
    assert qk.gemm(packed, x, bias=bias, out=out) is out
    np.testing.assert_array_equal(out, expected + bias)
    assert torch.equal(qk.gemm(packed, torch.from_numpy(x)), torch.from_numpy(expected))
    assert len(packed) == 40
    assert (
        repr(packed)
        == f"PackedTensor(q4_k, shape=(40, 512), {packed.nbytes:,} bytes, {packed.isa})"
    )
    assert re.fullmatch(r"panels of \d+ rows, version 1", packed.layout)


def test_a_large_matrix_lies_at_a_huge_page() -> None:
    packed = tensor("q8_0", 2048, 2048).pack()
    x = rows_of_x(2048, 1)[0]
    assert relative_error(packed @ x, dense(packed.unpack()) @ x.astype(np.float64)) < 1e-4


def test_weights_packed_for_another_isa_are_refused() -> None:
    if len(qk.isas()) < 2:
        pytest.skip("this CPU runs one ISA only")
    before = _core.isa()
    try:
        _core.force_isa(qk.isas()[0])
        packed = tensor("q4_0", 4, 64).pack()
        _core.force_isa(qk.isas()[1])
        for use in (
            lambda: qk.gemv(packed, np.ones(64, np.float32)),
            lambda: qk.get_rows(packed, [0]),
            lambda: qk.dequantize(packed),
        ):
            with pytest.raises(ValueError, match="packed for scalar; the ISA in use is"):
                use()
    finally:
        _core.force_isa(before)


def test_what_packed_weights_cannot_do_is_refused() -> None:
    packed = tensor("q4_0", 4, 64).pack()
    x = np.ones(64, np.float32)
    with pytest.raises(TypeError, match="packed weights have no slices; get_rows decodes"):
        qk.dequantize(packed, rows=slice(0, 2))
    with pytest.raises(TypeError, match="the weights are packed already"):
        packed._weights.pack(1, False)
    with pytest.raises(TypeError, match=re.escape("call .dequantize()")):
        np.asarray(packed)
    with pytest.raises(ValueError, match="x has k=63, weights have k=64"):
        qk.gemv(packed, x[:63])
    with pytest.raises(ValueError, match="fmt='q8_0' disagrees with the weights, which are q4_0"):
        qk.gemv(packed, x, "q8_0")
    with pytest.raises(ValueError, match="a stack of 2 matrices; select one"):
        qk.QTensor(np.zeros((2, 4, 36), np.uint8), "q4_0", (2, 4, 64)).pack()
    with pytest.raises(ValueError, match="threads=0 is outside"):
        tensor("q4_0", 4, 64).pack(threads=0)
