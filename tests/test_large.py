"""Products past 2^31 weights and sources that are gone: no index is cut short, no memory freed."""

import gc
from pathlib import Path

import numpy as np
import pytest

import qkernels as qk
from gguf_files import Q4_K, Q8_0, Tensor, image, load
from weights import random_weights


@pytest.mark.parametrize("fmt", ["q4_0", "q4_k", "f16"])
def test_n_times_k_past_2_to_the_31_works(fmt: str) -> None:
    # One row over and over: no memory for it, and all outputs are equal.
    n, k = 40_000, 65_536
    row = random_weights(fmt, 1, k)
    x = np.random.default_rng(0).standard_normal(k).astype(np.float32)
    y = qk.gemv(np.broadcast_to(row[0], (n, row.shape[1])), x, fmt)
    assert n * k > 2**31
    assert (y == qk.gemv(row, x, fmt)).all()


def test_n_past_2_to_the_31_rows_can_be_looked_up() -> None:
    rows = np.broadcast_to(random_weights("q4_k", 1, 256)[0], (2**54, 144))
    ids = [0, 2**31, 2**32 + 1, 2**54 - 1]
    expected = qk.dequantize(rows[:1], "q4_k").repeat(4, axis=0)
    np.testing.assert_array_equal(qk.get_rows(rows, ids, "q4_k"), expected)
    with pytest.raises(IndexError, match=r"ids\[0\]=18014398509481984 is outside"):
        qk.get_rows(rows, [2**54], "q4_k")


def test_m_times_n_past_memory_raises() -> None:
    w = random_weights("q4_k", 4, 256)
    x = np.broadcast_to(np.float32(1), (2**50, 256))
    with pytest.raises(MemoryError):
        qk.gemm(w, x, "q4_k")
    with pytest.raises(MemoryError, match=r"cannot allocate \d+ bytes"):
        qk.quantize_activations(x[: 2**44])


def test_tensors_of_a_closed_and_deleted_file_still_multiply(tmp_path: Path) -> None:
    raw = random_weights("q8_0", 8, 64)
    path = tmp_path / "gone.gguf"
    file = load(path, image([], [Tensor("w", (64, 8), Q8_0, raw.tobytes())]))
    w = file["w"]
    assert isinstance(w, qk.QTensor)
    rows = w[2:5]
    x = np.random.default_rng(1).standard_normal(64).astype(np.float32)
    expected = qk.gemv(raw, x, "q8_0")
    file.close()
    path.unlink()
    del file
    gc.collect()
    np.testing.assert_array_equal(w @ x, expected)
    del w
    gc.collect()
    np.testing.assert_array_equal(rows @ x, expected[2:5])


def test_views_keep_memory_that_nobody_else_holds() -> None:
    x = np.random.default_rng(2).standard_normal(256).astype(np.float32)
    expected = qk.gemv(random_weights("q4_k", 512, 256), x, "q4_k")
    w = qk.QTensor(random_weights("q4_k", 512, 256).copy(), "q4_k", (512, 256))[100:]
    activations = qk.quantize_activations(x.copy())
    gc.collect()
    np.testing.assert_array_equal(qk.gemv(w, activations), expected[100:])


def test_a_row_past_2_to_the_31_bytes_and_weights_is_read(tmp_path: Path) -> None:
    # 2.3 GiB, all of it a hole but for the first and the last row.
    n, k = 65537, 65536
    row = k // 256 * 144
    raw = image([], [Tensor("w", (k, n), Q4_K, bytes(row))])
    path = tmp_path / "large.gguf"
    with path.open("wb") as file:
        file.write(raw)
        file.truncate(len(raw) + (n - 1) * row)
        file.seek(len(raw) + (n - 2) * row)
        block = np.zeros(144, np.uint8)
        block[:2] = np.array([1], np.float16).view(np.uint8)
        block[4:8] = 1  # the scales of the first four groups
        block[16:] = 0x11
        file.write(block.tobytes() * (row // 144))
    with qk.load_gguf(path) as gguf:
        weights = gguf["w"]
        assert isinstance(weights, qk.QTensor)
        assert weights.size > 2**31
        last = weights[n - 2 :]
        expected = np.asarray(last.dequantize()).sum(axis=1, dtype=np.float64)
        assert expected[1] > 0
        x = np.ones(k, np.float32)
        np.testing.assert_allclose(last @ x, expected, rtol=1e-4)
        np.testing.assert_array_equal(qk.get_rows(weights, [n - 1]), last.dequantize()[1:])
