"""What gates gain, as ratios of times that are taken in turns."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from direct_gates import direct_gates
from qkernels.gates import Quadratic, train
from qkernels.gates.training import _Descent, _Options
from weights import random_weights

N, K, SAMPLES, STEPS = 2048, 8192, 4, 50


def best_times(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least seconds of each call, which take turns."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            begin = perf_counter()
            call()
            best[name] = min(best[name], perf_counter() - begin)
    return best


@pytest.mark.slow
def test_training_is_ten_times_as_fast_as_a_direct_loop_and_a_step_a_hundred_times() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((N, K), np.float32) / np.float32(np.sqrt(K))
    x = rng.standard_normal((SAMPLES, K), np.float32)
    lr = 1 / Quadratic.of(w, x).curvature
    start = np.ones((1, K // 32))
    descent = _Descent(Quadratic.of(w, x), _Options(STEPS, lr, 0.3, 0.5, "projected", False))
    calls: dict[str, Callable[[], object]] = {
        "direct": lambda: direct_gates(w, x, 32, STEPS, lr, 0.3),
        "train": lambda: train(w, x, steps=STEPS, lr=lr, l1=0.3, normalize=False),
        "steps": lambda: descent.run(start, 0.3, None, False),
    }
    found = train(w, x, steps=STEPS, lr=lr, l1=0.3, normalize=False)
    expected, _ = direct_gates(w.astype(np.float64), x.astype(np.float64), 32, STEPS, lr, 0.3)
    np.testing.assert_allclose(found.gates, expected, atol=1e-5)
    best = best_times(calls, 3)
    whole, step = best["direct"] / best["train"], best["direct"] / best["steps"]
    print(f"\n{best}: the whole {whole:.1f}x, a step {step:.0f}x")
    assert whole >= 10
    assert step >= 100


@pytest.mark.slow
@pytest.mark.parametrize("fmt", ["q4_k", "q8_0"])
def test_without_half_of_the_blocks_packed_products_take_little_more_than_half(fmt: str) -> None:
    raw = random_weights(fmt, N, K)
    weights = qk.QTensor(raw, fmt, (N, K))
    keep = np.random.default_rng(0).permutation(K // 256) % 2 == 0
    x = np.random.default_rng(1).standard_normal(K).astype(np.float32)
    copies = -(-(256 << 20) // weights.nbytes)
    whole = [weights.pack() for _ in range(copies)]
    half = [weights.pack(gates=keep, block_k=256) for _ in range(copies)]
    calls: dict[str, Callable[[], object]] = {
        "whole": lambda: [qk.gemv(w, x, threads=1) for w in whole],
        "half": lambda: [qk.gated_gemv(w, x, threads=1) for w in half],
    }
    best = best_times(calls, 7)
    ratio = best["half"] / best["whole"]
    print(f"\n{fmt}: {ratio:.3f}")
    assert ratio <= 0.6


@pytest.mark.slow
@pytest.mark.parametrize("fmt", ["q4_k", "q8_0"])
def test_blocks_take_no_longer_for_being_dropped(fmt: str) -> None:
    weights = qk.QTensor(random_weights(fmt, N, K), fmt, (N, K))
    keep = np.random.default_rng(0).random(K // 32) < 0.5
    x: Any = np.random.default_rng(1).standard_normal(K).astype(np.float32)
    calls: dict[str, Callable[[], object]] = {
        "dense": lambda: [qk.gemv(weights, x, threads=1) for _ in range(4)],
        "gated": lambda: [qk.gated_gemv(weights, x, keep, block_k=32, threads=1) for _ in range(4)],
    }
    best = best_times(calls, 25)
    ratio = best["gated"] / best["dense"]
    print(f"\n{fmt}: {ratio:.3f}")
    assert ratio <= 1.05
