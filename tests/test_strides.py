"""Rows that lie on one another, far apart or nowhere: results are those of a contiguous copy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import as_strided

import qkernels as qk
from axes import FORMATS, ISAS, SOME_FORMATS, pairwise
from weights import NDArray, block_of, is_float, random_weights

N, K = 20, 300
RNG = np.random.default_rng(0)


def broadcast(raw: NDArray) -> NDArray:
    return np.broadcast_to(raw[0], raw.shape)


def single(raw: NDArray) -> NDArray:
    row: NDArray = raw[0]
    return row[None]


def sparse(raw: NDArray) -> NDArray:
    return raw[::3]


def overlapping(raw: NDArray) -> NDArray:
    """Every row starts one block into the one before."""
    step = raw.shape[1] // 2 if raw.shape[1] % 2 == 0 else 1
    return as_strided(raw.reshape(-1), (N, raw.shape[1]), (step, 1), writeable=False)


def expanded(raw: NDArray) -> Any:
    return torch.from_numpy(raw[:1]).expand(N, -1)


WAYS = [broadcast, single, sparse, expanded]


def cases(fmt: str, way: Callable[[NDArray], Any]) -> tuple[qk.QTensor, qk.QTensor]:
    """Weights whose rows lie as `way` has them, and a contiguous copy."""
    data = way(random_weights(fmt, N, K))
    shape = (data.shape[0], K)
    copy = np.ascontiguousarray(np.asarray(data))
    return qk.QTensor(data, fmt, shape), qk.QTensor(copy, fmt, shape)


@pairwise(fmt=FORMATS, isa=ISAS, way=WAYS)
def test_products_of_any_row_stride_are_those_of_a_copy(fmt: str, way: Any, isa: str) -> None:
    strided, copy = cases(fmt, way)
    for m in (1, 2, 3, 5, 15, 16, 40):
        x = RNG.standard_normal((m, K)).astype(np.float32)
        np.testing.assert_array_equal(qk.gemm(strided, x), qk.gemm(copy, x))


@pytest.mark.parametrize("fmt", SOME_FORMATS)
@pytest.mark.parametrize("way", WAYS)
def test_every_operator_takes_any_row_stride(fmt: str, way: Any) -> None:
    strided, copy = cases(fmt, way)
    x = RNG.standard_normal((3, K)).astype(np.float32)
    gains = np.ones(K, np.float32)
    keep = np.arange(-(-K // 256)) == 0
    calls: list[Callable[[qk.QTensor], Any]] = [
        lambda w: w.dequantize(),
        lambda w: qk.dequantize(w, rows=slice(0, 1)),
        lambda w: qk.get_rows(w, [0, w.shape[0] - 1]),
        lambda w: w.pack().unpack().data,
        lambda w: qk.gemm(w.pack(), x),
        lambda w: qk.rmsnorm_linear(x, gains, w),
        lambda w: qk.swiglu_proj(x, w, w),
        lambda w: qk.gated_gemv(w, x[0], gates=keep, block_k=256),
        lambda w: qk.gated_gemv(w.pack(gates=keep, block_k=256), x[0]),
        lambda w: w[..., :256].dequantize(),
        lambda w: w @ x.T,
        lambda w: qk.gemm(w.data, x, w.fmt),
    ]
    if not is_float(fmt):
        calls += [lambda w: w.raw_ints(), lambda w: w.raw_ints(with_scales=True).scales]
    for call in calls:
        np.testing.assert_array_equal(np.asarray(call(strided)), np.asarray(call(copy)))


def test_rows_may_overlap() -> None:
    raw = random_weights("q8_0", N, 64)
    lying = overlapping(raw)
    x = RNG.standard_normal((5, 64)).astype(np.float32)
    np.testing.assert_array_equal(
        qk.gemm(lying, x, "q8_0"), qk.gemm(np.ascontiguousarray(lying), x, "q8_0")
    )


def test_the_strides_of_single_rows_and_matrices_do_not_matter(fmt: str) -> None:
    _, nbytes = block_of(fmt)
    row = random_weights(fmt, 1, 256)
    x = RNG.standard_normal((2, 256)).astype(np.float32)
    want = qk.gemm(row, x, fmt)
    for stride in (0, 1, -1, -nbytes, 2**62, -(2**62)):
        lying = as_strided(row.reshape(-1), (1, row.shape[1]), (stride, 1), writeable=False)
        np.testing.assert_array_equal(qk.gemm(lying, x, fmt), want)
        stack = as_strided(row.reshape(-1), (1, 1, row.shape[1]), (stride, stride, 1))
        w = qk.QTensor(stack, fmt, (1, 1, 256))
        np.testing.assert_array_equal(w @ x.T, want.T[None])


def test_stacks_of_one_matrix_many_times() -> None:
    raw = random_weights("q4_k", N, 256)
    stack = qk.QTensor(np.broadcast_to(raw, (3, *raw.shape)), "q4_k", (3, N, 256))
    w = qk.QTensor(raw, "q4_k", (N, 256))
    x = RNG.standard_normal((256, 5)).astype(np.float32)
    np.testing.assert_array_equal(stack.dequantize(), [w.dequantize()] * 3)
    np.testing.assert_array_equal(stack.raw_ints(), [w.raw_ints()] * 3)
    np.testing.assert_array_equal(stack @ x, [w @ x] * 3)


@pytest.mark.parametrize("act", ["int16", "float32", "int8"])
def test_activations_of_stride_zero(act: str) -> None:
    w = random_weights("q4_0", N, 64)
    x = np.broadcast_to(RNG.standard_normal(64).astype(np.float32), (5, 64))
    constant = np.broadcast_to(np.float32(2), (5, 64))
    for lying in (x, constant, torch.from_numpy(x[0].copy()).expand(5, -1)):
        copy = np.ascontiguousarray(np.asarray(lying))
        want = qk.gemm(w, copy, "q4_0", act=act)
        np.testing.assert_array_equal(np.asarray(qk.gemm(w, lying, "q4_0", act=act)), want)
        ready = qk.quantize_activations(lying, act)
        np.testing.assert_array_equal(np.asarray(qk.gemm(w, ready, "q4_0")), want)
