"""What gates gain, as ratios of the least times of calls that take turns."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
import pytest

import qkernels as qk
from direct_gates import direct_gates
from qkernels.bench.gates import random_mask, without
from qkernels.bench.machine import last_level_cache
from qkernels.bench.problem import Problem
from qkernels.gates import Quadratic, train
from qkernels.gates.training import _Descent, _Options
from weights import SANITIZED

pytestmark = pytest.mark.skipif(SANITIZED, reason="times under sanitizers tell nothing")

N, K, SAMPLES, STEPS = 2048, 8192, 4, 50


def least_times(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least seconds of each call."""
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            begin = perf_counter()
            call()
            least[name] = min(least[name], perf_counter() - begin)
    return least


def test_training_is_ten_times_as_fast_as_a_direct_loop_and_a_step_a_hundred_times() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((N, K), np.float32) / np.float32(np.sqrt(K))
    x = rng.standard_normal((SAMPLES, K), np.float32)
    quadratic = Quadratic.of(w, x)
    lr = 1 / quadratic.curvature
    start = np.ones((1, quadratic.blocks))
    descent = _Descent(quadratic, _Options(STEPS, lr, 0.3, 0.5, "projected", False))
    least = least_times(
        {
            "direct, 1 step": lambda: direct_gates(w, x, 32, 1, lr, 0.3),
            "direct, 6 steps": lambda: direct_gates(w, x, 32, 6, lr, 0.3),
            "all of 50 steps": lambda: train(w, x, lr=lr, l1=0.3, normalize=False),
            "50 steps alone": lambda: descent.run(start, 0.3, None, False),
        },
        3,
    )
    step = (least["direct, 6 steps"] - least["direct, 1 step"]) / 5
    # The direct loop's set-up is not even counted.
    assert STEPS * step >= 10 * least["all of 50 steps"], least
    assert STEPS * step >= 100 * least["50 steps alone"], least


def test_at_full_size_gates_are_those_of_the_direct_loop() -> None:
    rng = np.random.default_rng(1)
    w = rng.standard_normal((N, K), np.float32) / np.float32(np.sqrt(K))
    x = rng.standard_normal((SAMPLES, K), np.float32)
    lr = 1 / Quadratic.of(w, x).curvature
    found = train(w, x, steps=5, lr=lr, l1=0.3, normalize=False)
    expected, _ = direct_gates(w.astype(np.float64), x.astype(np.float64), 32, 5, lr, 0.3)
    assert expected.min() < 0.99
    np.testing.assert_allclose(found.gates, expected, atol=1e-5)


def test_half_of_the_panels_take_six_tenths_of_the_time() -> None:
    problem = Problem("q4_k", N, K, 1, cold=True, cache_bytes=last_level_cache())
    panels, x = problem.packed, problem.x
    half = without(problem, random_mask(K // 256, 0.5), 256)
    least = least_times(
        {
            "packed": lambda: qk.gemv(panels.next(), x, threads=1),
            "half": lambda: qk.gated_gemv(half.next(), x, threads=1),
        },
        60,
    )
    assert least["half"] <= 0.6 * least["packed"], least


@pytest.mark.parametrize("block_k", [32, 256])
def test_a_mask_adds_less_than_a_twentieth_to_a_product_of_blocks(block_k: int) -> None:
    problem = Problem("q4_k", N, K, 1, cold=False, cache_bytes=last_level_cache())
    blocks, x = problem.rotation.next().tensor, problem.x
    row = blocks[:1]  # of which a product is little but the call
    keep = random_mask(K // block_k, 0.5)
    least = least_times(
        {
            "product": lambda: qk.gemv(blocks, x, threads=1),
            "row": lambda: qk.gemv(row, x, threads=1),
            "masked row": lambda: qk.gated_gemv(row, x, keep, block_k=block_k, threads=1),
        },
        200,
    )
    assert least["masked row"] - least["row"] <= 0.05 * least["product"], least
