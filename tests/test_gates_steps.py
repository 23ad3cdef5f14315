"""What keeping the Gram matrix gains: steps that read neither the weights nor the inputs.

What they take, and gated products, is for `qkernels bench gates` to say.
"""

from __future__ import annotations

import numpy as np
import pytest

from direct_gates import direct_gates
from qkernels.gates import Quadratic, train

N, K, SAMPLES = 2048, 8192, 4


def problem(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    w = rng.standard_normal((n, k), np.float32) / np.float32(np.sqrt(k))
    return w, rng.standard_normal((SAMPLES, k), np.float32)


@pytest.mark.parametrize("rule", ["projected", "proximal"])
def test_steps_read_neither_weights_nor_inputs(rule: str) -> None:
    w, x = problem(48, 320)
    expected = train(w, x, l1=100.0, rule=rule)

    def spoil(_: object) -> None:
        w[:] = x[:] = np.nan

    found = train(w, x, l1=100.0, rule=rule, on_step=spoil)
    assert expected.gates.min() < 0.99
    np.testing.assert_array_equal(found.gates, expected.gates)
    np.testing.assert_array_equal(found.history.loss, expected.history.loss)


@pytest.mark.slow
def test_at_full_size_gates_are_those_of_the_direct_loop_for_a_hundredth_of_its_numbers() -> None:
    w, x = problem(N, K)
    quadratic = Quadratic.of(w, x)
    assert 100 * quadratic.gram.size < N * K
    lr = 1 / quadratic.curvature
    found = train(w, x, steps=5, lr=lr, l1=0.3, normalize=False)
    expected, _ = direct_gates(w.astype(np.float64), x.astype(np.float64), 32, 5, lr, 0.3)
    assert expected.min() < 0.99
    np.testing.assert_allclose(found.gates, expected, atol=1e-5)
