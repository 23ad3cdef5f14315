"""QTensor: properties, views, and what it refuses."""

import copy
import pickle

import numpy as np
import pytest

import qkernels as qk
from weights import block_of, random_weights, reference, tensor


def test_properties_describe_the_blocks(fmt: str) -> None:
    block, nbytes = block_of(fmt)
    w = tensor(fmt, 6, 512)
    row = 512 // block * nbytes
    assert (w.fmt, w.format_name, w.device) == (fmt, fmt.upper(), "cpu")
    assert (w.shape, w.ndim, w.size, len(w)) == ((6, 512), 2, 6 * 512, 6)
    assert (w.row_bytes, w.nbytes) == (row, 6 * row)
    assert w.compression_ratio == pytest.approx(4 * block / nbytes)
    assert repr(w) == f"QTensor({fmt}, shape=(6, 512), {6 * row:,} bytes)"


def test_data_is_kept_without_a_copy(fmt: str) -> None:
    raw = random_weights(fmt, 4, 256).copy()
    w = qk.QTensor(raw, fmt, (4, 256))
    assert w.data is raw
    x = np.ones(256, np.float32)
    before = w @ x
    raw[...] = random_weights(fmt, 4, 256, seed=9)
    assert not np.array_equal(w @ x, before)


def test_slices_are_views_of_the_same_bytes(fmt: str) -> None:
    w = tensor(fmt, 10, 512)
    dense = w.dequantize()
    for index in (slice(2, 5), slice(None, None, 3), slice(-3, None), slice(9, 100), 4, -1):
        part = w[index]
        assert np.shares_memory(part.data, w.data)
        np.testing.assert_array_equal(part.dequantize(), dense[index])
    columns = w[2:7, 256:512]
    assert np.shares_memory(columns.data, w.data)
    assert columns.shape == (5, 256)
    np.testing.assert_array_equal(columns.dequantize(), dense[2:7, 256:512])
    x = np.random.default_rng(0).standard_normal(256).astype(np.float32)
    np.testing.assert_array_equal(
        columns @ x, qk.QTensor(np.array(columns.data), fmt, (5, 256)) @ x
    )


def test_a_k_slice_may_end_at_a_ragged_k_but_not_cut_a_block(fmt: str) -> None:
    block, _ = block_of(fmt)
    w = tensor(fmt, 3, 300)
    np.testing.assert_array_equal(w[:, 256:300].dequantize(), w.dequantize()[:, 256:300])
    if block > 1:
        with pytest.raises(ValueError, match=f"k slice 1:300:1 cuts {fmt} blocks of {block}"):
            w[:, 1:]
        with pytest.raises(ValueError, match="cuts"):
            w[:, : block + 1]


def test_experts_are_selected_as_matrices(fmt: str) -> None:
    raw = np.stack([random_weights(fmt, 5, 256, seed=s) for s in range(3)])
    stack = qk.QTensor(raw, fmt, (3, 5, 256))
    assert (stack.ndim, len(stack), stack.size) == (3, 3, 3 * 5 * 256)
    x = np.random.default_rng(1).standard_normal(256).astype(np.float32)
    for e in (0, 2, -1):
        assert stack[e].shape == (5, 256)
        np.testing.assert_array_equal(stack[e] @ x, qk.gemv(raw[e], x, fmt))
    np.testing.assert_array_equal(stack.dequantize(), reference(raw, fmt))
    np.testing.assert_array_equal(stack[1:, 2:4].dequantize(), reference(raw, fmt)[1:, 2:4])


def test_weights_are_never_inflated_by_accident() -> None:
    w = tensor("q4_0", 4, 32)
    with pytest.raises(TypeError, match=r"call \.dequantize\(\)"):
        np.asarray(w)
    with pytest.raises(TypeError):
        np.ones(4, np.float32) @ w


def test_copies_are_the_weights_themselves_and_pickles_hold_their_bytes(fmt: str) -> None:
    w = tensor(fmt, 4, 256)[1:3]
    assert copy.copy(w) is copy.deepcopy(w) is w
    other = pickle.loads(pickle.dumps(w))
    assert (other.fmt, other.shape) == (w.fmt, w.shape)
    np.testing.assert_array_equal(other.data, w.data)


@pytest.mark.parametrize(
    ("data", "fmt", "shape", "error", "message"),
    [
        (np.zeros((2, 18), np.uint8), "q9_9", (2, 32), ValueError, "unknown format 'q9_9'"),
        (np.zeros((2, 18), np.uint8), 99, (2, 32), ValueError, "GGUF type id 99 is not a format"),
        (np.zeros((2, 18), np.uint8), None, (2, 32), TypeError, "fmt must be a name"),
        (np.zeros((2, 18), np.int8), "q4_0", (2, 32), TypeError, "int8; raw blocks are uint8"),
        (np.zeros((2, 18), np.uint8), "q4_0", (3, 32), ValueError, r"\(3, 32\) does not match"),
        (np.zeros((2, 18), np.uint8), "q4_0", (2, 33), ValueError,
         r"k=33 needs 2 q4_0 blocks \(36 bytes\) a row, weights have 18"),
        (np.zeros((2, 18), np.uint8), "q4_0", (2, 0), ValueError, "k=0; weights need k >= 1"),
        (np.zeros((2, 18), np.uint8), "q4_0", (2, -1), ValueError, "k=-1"),
        (np.zeros((2, 18), np.uint8), "q4_0", (2**62, 2**62), ValueError, "needs|pass"),
        (np.zeros((2, 18), np.uint8), "q4_0", (32,), ValueError, r"data, which holds \(2, 32\)"),
        (np.zeros(18, np.uint8), "q4_0", (1, 32), ValueError, r"data, which holds \(32,\)"),
        (np.zeros((2, 18), np.uint8), "q4_0", (), ValueError, r"shape \(\) has no dimensions"),
        (np.zeros((), np.uint8), "q4_0", (32,), ValueError, "weights have no dimensions"),
        (np.zeros((2, 36), np.uint8)[:, ::2], "q4_0", (2, 32), ValueError, "must be contiguous"),
        (np.zeros((2, 18), np.uint8)[::-1], "q4_0", (2, 32), ValueError, "negative stride"),
        ([[0] * 18], "q4_0", (1, 32), TypeError, "a NumPy array or a torch tensor, not list"),
    ],
)  # fmt: skip
def test_wrong_constructions_are_refused(
    data: object, fmt: object, shape: tuple[int, ...], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        qk.QTensor(data, fmt, shape)  # type: ignore[arg-type]
