"""Results do not depend, to the last bit, on threads, on repetition or on row slicing."""

import threading

import numpy as np

import qkernels as qk
from axes import ACTS, FORMATS, ISAS, pairwise
from weights import tensor

SHAPES = {"gemv": (288,), "gemm": (5, 288), "large gemm": (19, 288)}


def product(weights: qk.QTensor, x: np.ndarray, act: str, threads: int) -> np.ndarray:
    y = qk.gemv if x.ndim == 1 else qk.gemm
    return y(weights, x, act=act, threads=threads)


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS, shape=list(SHAPES))
def test_threads_and_repetition_change_no_bit(fmt: str, isa: str, act: str, shape: str) -> None:
    weights = tensor(fmt, 1025, 288)
    x = np.random.default_rng(1).standard_normal(SHAPES[shape]).astype(np.float32)
    expected = product(weights, x, act, 1)
    for threads in (1, 2, 7, 64):
        for _ in range(2):
            np.testing.assert_array_equal(product(weights, x, act, threads), expected)


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS, m=[5, 19])
def test_row_slices_change_no_bit(fmt: str, isa: str, act: str, m: int) -> None:
    weights = tensor(fmt, 129, 576)
    x = np.random.default_rng(2).standard_normal((m, 576)).astype(np.float32)
    whole = qk.gemm(weights, x, act=act)
    for rows in (slice(0, 1), slice(17, 64), slice(128, 129), slice(3, 129, 5)):
        np.testing.assert_array_equal(qk.gemm(weights[rows], x, act=act), whole[:, rows])


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS, m=[8, 19])
def test_each_batch_row_is_independent_of_the_others(fmt: str, isa: str, act: str, m: int) -> None:
    weights = tensor(fmt, 33, 288)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((m, 288)).astype(np.float32)
    whole = qk.gemm(weights, x, act=act)
    x[4] = rng.standard_normal(288) * 1e6
    changed = qk.gemm(weights, x, act=act)
    keep = np.arange(m) != 4
    np.testing.assert_array_equal(changed[keep], whole[keep])


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS)
def test_quantising_once_or_in_each_call_is_the_same(fmt: str, isa: str, act: str) -> None:
    weights = tensor(fmt, 33, 288)
    x = np.random.default_rng(4).standard_normal((3, 288)).astype(np.float32)
    effective = "float32" if fmt in ("f32", "f16", "bf16") else act
    once = qk.quantize_activations(x, act=effective)
    np.testing.assert_array_equal(qk.gemm(weights, once), qk.gemm(weights, x, act=act))


@pairwise(fmt=FORMATS, isa=ISAS, act=ACTS)
def test_eight_threads_calling_at_once_get_their_own_results(fmt: str, isa: str, act: str) -> None:
    weights = tensor(fmt, 513, 288)
    xs = np.random.default_rng(5).standard_normal((8, 288)).astype(np.float32)
    expected = [qk.gemv(weights, x, act=act) for x in xs]
    wrong: list[int] = []

    def call(i: int) -> None:
        results = [qk.gemv(weights, xs[i], act=act, threads=1 + i % 4) for _ in range(20)]
        wrong.extend(i for y in results if not np.array_equal(y, expected[i]))

    callers = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []
