"""`qkernels.stream`: every kernel of every ISA gives the exact sums, in every layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qkernels import _core, stream

NDArray = np.ndarray[Any, Any]
PACKERS = {
    "dotprod4": (stream.pack4, stream.unpack4),
    "dotprod4i": (stream.pack4i, stream.unpack4i),
    "dotprod16i": (stream.pack16i, stream.unpack16i),
}
SHAPES = [(1, 1), (3, 15), (4, 16), (5, 17), (16, 48), (17, 64), (33, 100), (64, 576)]

gemv: Any = stream.gemv_i8  # wrong calls do not type-check, and are not meant to


@pytest.fixture(params=stream.KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=PACKERS)
def packed_kernel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def draw(n: int, k: int, seed: int = 0) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    w = rng.integers(-128, 128, (n, k), dtype=np.int8)
    return w, rng.integers(-128, 128, k, dtype=np.int8)


def exact(w: NDArray, x: NDArray) -> NDArray:
    result: NDArray = w.astype(np.int64) @ x.astype(np.int64)
    return result


@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_every_kernel_is_exact_on_every_isa(isa: str, kernel: str, n: int, k: int) -> None:
    w, x = draw(n, k)
    for prefetch in (0, 1, 2, 64):
        y = stream.gemv_i8(w, x, kernel, prefetch)
        assert (y.dtype.name, y.shape) == ("int32", (n,))
        assert np.array_equal(y, exact(w, x)), prefetch


@pytest.mark.parametrize("values", [(-128, -128), (-128, 127), (127, -128), (127, 127)])
def test_no_extreme_saturates_or_overflows(isa: str, kernel: str, values: tuple[int, int]) -> None:
    k = 131_071
    w, x = (np.full(shape, v, np.int8) for shape, v in zip([(2, k), k], values, strict=True))
    assert stream.gemv_i8(w, x, kernel).tolist() == 2 * [k * values[0] * values[1]]


def test_extremes_among_others_are_exact(isa: str, kernel: str) -> None:
    rng = np.random.default_rng(1)
    w = rng.choice(np.array([-128, -127, -1, 0, 1, 127], np.int8), (20, 320))
    x = rng.choice(np.array([-128, 127], np.int8), 320)
    assert np.array_equal(stream.gemv_i8(w, x, kernel), exact(w, x))


def test_weights_packed_once_give_the_same(isa: str, packed_kernel: str) -> None:
    pack, _ = PACKERS[packed_kernel]
    w, x = draw(21, 130)
    packed = pack(w)
    assert packed.shape == (21, 130)
    assert np.array_equal(stream.gemv_i8(packed, x, packed_kernel), exact(w, x))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 40), k=st.integers(1, 90), seed=st.integers(0, 99))
def test_unpacking_undoes_packing(n: int, k: int, seed: int) -> None:
    w, _ = draw(n, k, seed)
    for pack, unpack in PACKERS.values():
        assert np.array_equal(unpack(pack(w)), w)


def test_layouts_are_as_drawn(packed_kernel: str) -> None:
    """Rows that lie together, and the bytes of each in turn, with zeros for padding."""
    pack, _ = PACKERS[packed_kernel]
    rows, nbytes = _core.stream_layouts()[packed_kernel]
    w, _ = draw(18, 33)
    depth = 48
    piece = nbytes or depth
    padded = np.zeros((-(-18 // rows) * rows, depth), np.int8)
    padded[:18, :33] = w
    flat = pack(w).data.reshape(-1)
    assert flat.nbytes == pack(w).nbytes == padded.nbytes
    for row, column in np.ndindex(padded.shape):
        within = (column // piece * rows + row % rows) * piece + column % piece
        assert flat[row // rows * rows * depth + within] == padded[row, column]


def test_rows_that_lie_as_a_kernel_reads_them_are_not_copied() -> None:
    w, _ = draw(5, 64)
    for kernel in ("scalar", "dotprod"):
        packed = stream.product.pack_for(w, kernel)
        assert np.shares_memory(packed.data, w)
        assert not np.shares_memory(stream.product.pack_for(w[:, :63], kernel).data, w)


def test_strided_arguments_are_read_as_they_lie(kernel: str) -> None:
    w, x = draw(9, 80)
    y = stream.gemv_i8(w[::2, ::-1], x[::-1], kernel)
    assert np.array_equal(y, exact(w[::2, ::-1], x[::-1]))


def test_torch_tensors_have_torch_results(kernel: str) -> None:
    w, x = draw(9, 80)
    for weights, vector in (
        (torch.from_numpy(w), torch.from_numpy(x)),
        (torch.from_numpy(w.T.copy()).T, torch.from_numpy(x.repeat(2))[::2]),
        (w, torch.from_numpy(x)),
    ):
        y = stream.gemv_i8(weights, vector, kernel)
        assert isinstance(y, torch.Tensor)
        assert y.dtype == torch.int32
        assert np.array_equal(np.asarray(y), exact(w, x))
    assert isinstance(stream.gemv_i8(torch.from_numpy(w), x, kernel), np.ndarray)


def test_no_rows_have_no_results(kernel: str) -> None:
    assert stream.gemv_i8(np.zeros((0, 16), np.int8), np.zeros(16, np.int8), kernel).shape == (0,)


W, X = draw(8, 32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((W, X, "dotprod8"), ValueError, "kernel='dotprod8' is not one of scalar, dotprod, "),
        ((W, X, 4), TypeError, "kernel must be a str, not int"),
        ((W.view(np.uint8), X, "dotprod"), TypeError, "w has dtype uint8; expected int8"),
        ((W, X.astype(np.int16), "dotprod"), TypeError, "x has dtype int16; expected int8"),
        ((torch.zeros(8, 32), X, "dotprod"), TypeError, "w has dtype torch.float32; expected int8"),
        ((W, np.ma.masked_equal(X, 0), "dotprod"), TypeError, "x is a masked array; fill it first"),
        (
            (W.tolist(), X, "dotprod"),
            TypeError,
            "w must be a NumPy array or a torch tensor, not list",
        ),
        ((X, X, "dotprod"), ValueError, r"w has shape \(32,\); expected \(n, k\)"),
        ((W[:, :0], X[:0], "dotprod"), ValueError, r"w has shape \(8, 0\)"),
        ((W, X[:31], "dotprod"), ValueError, r"x has shape \(31,\); weights of shape \(8, 32\)"),
        ((W, X, "dotprod", -1), ValueError, r"prefetch=-1 is outside 0\.\.65536 blocks"),
        ((W, X, "dotprod", 65_537), ValueError, "prefetch=65537 is outside"),
        ((W, X, "dotprod", 1 << 70), ValueError, r"prefetch=1180591620717411303424 is outside"),
        ((W, X, "dotprod", 2.0), TypeError, "float"),
        (
            (stream.pack4(W), X, "dotprod4i"),
            ValueError,
            "dotprod4i takes 4 rows, 16 bytes of each in turn; the weights have 4 rows, all bytes",
        ),
        (
            (np.zeros((1, 131_072), np.int8), np.zeros(131_072, np.int8), "dotprod"),
            ValueError,
            r"k=131072 is outside 1\.\.131071, where int32 holds every sum",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_calls_name_the_value(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        gemv(*arguments)


def test_unpacking_refuses_what_another_function_packed(packed_kernel: str) -> None:
    for name, (pack, _) in PACKERS.items():
        if name != packed_kernel:
            with pytest.raises(ValueError, match=f"{packed_kernel} takes .* the weights have"):
                PACKERS[packed_kernel][1](pack(W))
    unpack: Any = PACKERS[packed_kernel][1]
    with pytest.raises(TypeError, match="packed must be a PackedInt8, not ndarray"):
        unpack(W)


def test_packed_weights_have_the_shape_that_they_say() -> None:
    packed = stream.pack4i(W)
    with pytest.raises(
        ValueError,
        match=r"data has shape \(2, 2, 4, 16\); 4 rows, 16 bytes .* \(9, 32\) is \(3, 2, 4, 16\)",
    ):
        stream.PackedInt8(packed.data, (9, 32), packed.layout)


def test_the_core_trusts_no_shape() -> None:
    """What reaches memory is checked where it is read, whatever Python did before."""
    data = stream.pack4i(W).data[None]
    product: Any = _core.stream_gemv
    with pytest.raises(ValueError, match="dotprod16i takes 16 rows together"):
        product(data, X, "dotprod16i", 2, 0, 1)
    with pytest.raises(ValueError, match="x has k=64, padded to 64; the weights have 32 columns"):
        product(data, np.zeros(64, np.int8), "dotprod4i", 2, 0, 1)
    with pytest.raises(ValueError, match="a stride of 0 bytes in dimension 1"):
        product(np.broadcast_to(data[:, :1], (1, 9, 2, 4, 16)), X, "dotprod4i", 2, 0, 1)
    with pytest.raises(ValueError, match="weights hold 0 copies"):
        product(data[:0], X, "dotprod4i", 2, 0, 1)
    with pytest.raises(ValueError, match="first=-1 and iterations=1"):
        product(data, X, "dotprod4i", 2, -1, 1)
