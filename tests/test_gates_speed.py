"""What keeping the Gram matrix gains, as ratios of the least times of calls that take turns.

Two orders of magnitude are safe to ask for where others compute too; what gated products take is
for `qkernels bench gates` to say.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
import pytest

from direct_gates import direct_gates
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
