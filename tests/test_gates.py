"""Training gates: the steps of a direct loop, from a Gram matrix that is computed once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from direct_gates import direct_gates, inputs_of_norm_1, masked_error
from qkernels.bench.problem import random_weights
from qkernels.gates import GatePath, GateResult, Quadratic, path, train
from weights import block_of

NDArray = np.ndarray[Any, Any]

N, K, SAMPLES = 48, 320, 4


def tensor(fmt: str, n: int, k: int) -> qk.QTensor:
    """Random weights of sensible sizes."""
    return qk.QTensor(random_weights(fmt, n, k), fmt, (n, k))


def problem(seed: int = 0, n: int = N, k: int = K) -> tuple[NDArray, NDArray]:
    """Weights and inputs whose columns matter less and less."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((n, k)) / np.sqrt(k)
    return w, rng.standard_normal((SAMPLES, k)) * np.geomspace(1, 0.02, k)


def step_size(w: NDArray, x: NDArray, block_k: int) -> float:
    return 1 / Quadratic.of(w, x, block_k=block_k).curvature


@pytest.mark.parametrize("block_k", [1, 32, 48, 320])
@pytest.mark.parametrize("share", [0.01, 0.9])
def test_raw_steps_are_those_of_the_direct_loop(block_k: int, share: float) -> None:
    w, x = problem()
    lr = share * step_size(w, x, block_k)
    # Half of what the block that matters most is worth.
    l1 = 0.5 * Quadratic.of(w, x, block_k=block_k).gram.sum(axis=-1).max()
    found = train(w, x, block_k=block_k, lr=lr, l1=l1, normalize=False)
    gates, losses = direct_gates(w, x, block_k, 50, lr, l1)
    assert gates.min() < 0.99
    np.testing.assert_allclose(found.gates, gates, atol=1e-5)
    np.testing.assert_allclose(found.history.loss, losses, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_normalised_steps_are_those_of_the_direct_loop_at_every_scale(scale: float) -> None:
    w, x = problem(1)
    unit = inputs_of_norm_1(w, x)
    lr = 0.5 * step_size(w, unit, 32)
    gates, _ = direct_gates(w, unit, 32, 50, lr, 1e-2)
    assert gates.min() < 0.5
    found = train(w, x * scale, lr=lr, l1=1e-2)
    np.testing.assert_allclose(found.gates, gates, atol=1e-5)
    assert found.relative_error == pytest.approx(masked_error(w, x, found.columns()), rel=1e-5)
    assert found.mse == pytest.approx(scale**2 * _mse(w, x, found.columns()), rel=1e-5)


def _mse(w: NDArray, x: NDArray, columns: NDArray) -> float:
    return float(np.mean(((x * columns) @ w.T - x @ w.T) ** 2))


def test_single_precision_stays_as_near(fmt: str) -> None:
    block, _ = block_of(fmt)
    weights = tensor(fmt, N, 4 * max(block, 32))
    exact = qk.dequantize(weights).astype(np.float64)
    x = np.random.default_rng(2).standard_normal((SAMPLES, weights.shape[1])).astype(np.float32)
    for block_k in {max(block, 32), 32, 40}:  # whole blocks, parts of them, and neither
        unit = inputs_of_norm_1(exact, x.astype(np.float64))
        lr = 0.9 * step_size(exact, unit, block_k)
        gates, _ = direct_gates(exact, unit, block_k, 50, lr, 0.05)
        found = train(weights, x, block_k=block_k, lr=lr, l1=0.05)
        assert gates.min() < 0.99
        np.testing.assert_allclose(found.gates, gates, atol=1e-5, err_msg=f"block_k={block_k}")


@pytest.mark.parametrize("row_group", [16, 20, 48])
def test_each_group_of_rows_has_the_gates_of_its_own_problem(row_group: int) -> None:
    w, x = problem(3)
    found = train(w, x, block_k=40, lr=0.3, l1=0.01, row_group=row_group, normalize=False)
    assert found.gates.shape == (-(-N // row_group), 8)
    assert found.columns().shape == (-(-N // row_group), K)
    for group, gates in enumerate(found.gates):
        rows = w[group * row_group : (group + 1) * row_group]
        alone, _ = direct_gates(rows, x, 40, 50, 0.3, 0.01 * len(rows) / N)
        np.testing.assert_allclose(gates, alone, atol=1e-5)


def test_an_automatic_step_never_raises_the_loss() -> None:
    for rule in ("projected", "proximal"):
        w, x = problem(4)
        found = train(w, x, lr="auto", steps=300, l1=0.01, rule=rule)
        assert found.lr == pytest.approx(step_size(w, inputs_of_norm_1(w, x), 32), rel=1e-6)
        if rule == "projected":
            assert np.all(np.diff(found.history.loss) <= 1e-12)
        assert found.history.loss[-1] < found.history.loss[0]


def test_momentum_reaches_the_same_minimum_in_fewer_steps() -> None:
    w, x = problem(5)
    least = train(w, x, lr="auto", steps=20000, l1=0.01, rule="projected")
    fast = train(w, x, lr="auto", steps=300, l1=0.01, rule="proximal")
    slow = train(w, x, lr="auto", steps=300, l1=0.01, rule="projected")
    np.testing.assert_allclose(fast.gates, least.gates, atol=1e-4)
    assert fast.history.loss[-1] <= slow.history.loss[-1]


def test_at_the_minimum_no_gate_can_do_better() -> None:
    w, x = problem(6)
    unit = inputs_of_norm_1(w, x)
    found = train(w, x, lr="auto", steps=5000, l1=0.01, rule="proximal")
    slope = Quadratic.of(w, unit).slope(found.gates[None])[0] + 0.01
    inside = (found.gates > 1e-9) & (found.gates < 1 - 1e-9)
    assert inside.any()
    np.testing.assert_allclose(slope[inside], 0, atol=1e-6)
    assert np.all(slope[found.gates <= 1e-9] >= -1e-6)
    assert np.all(slope[found.gates >= 1 - 1e-9] <= 1e-6)


def test_a_path_drops_more_for_a_higher_price_and_errs_more() -> None:
    w, x = problem(7)
    prices = [1.0, 1e-5, 1e-3, 1e-2]
    found = path(w, x, prices)
    assert isinstance(found, GatePath)
    assert [result.l1 for result in found] == sorted(prices)
    assert [r.sparsity for r in found] == sorted(r.sparsity for r in found)
    assert [r.relative_error for r in found] == sorted(r.relative_error for r in found)
    assert (found[0].sparsity, found[-1].active) == (0.0, 0)
    assert found[-1].relative_error == pytest.approx(1.0, rel=1e-6)
    assert found.at_most(found[1].relative_error).l1 == found[1].l1
    with pytest.raises(ValueError, match="no relative error is at most -1"):
        found.at_most(-1)


def test_each_step_is_told() -> None:
    told: list[Any] = []
    w, x = problem(8)
    found = train(w, x, lr="auto", steps=7, l1=0.02, on_step=told.append)
    assert [step.number for step in told] == [1, 2, 3, 4, 5, 6, 7]
    assert [step.loss for step in told] == found.history.loss.tolist()
    assert told[-1].mean_gate == pytest.approx(found.gates.mean())
    assert told[-1].active == found.active == np.count_nonzero(found.mask)


def test_without_steps_every_gate_is_1_and_nothing_is_lost() -> None:
    w, x = problem(9)
    found = train(w, x, steps=0)
    assert (found.gates.tolist(), found.mse, len(found.history)) == ([1.0] * 10, 0.0, 0)


def test_a_saved_result_comes_back_bit_for_bit(tmp_path: Path) -> None:
    w, x = problem(10)
    for row_group in (None, 20):
        found = train(w, x, block_k=48, lr="auto", l1=0.02, row_group=row_group)
        file = tmp_path / "gates.json"
        found.save(file)
        back = GateResult.load(file)
        assert back.to_dict() == found.to_dict()
        np.testing.assert_array_equal(back.mask, found.mask)
        assert list(tmp_path.iterdir()) == [file]


def _changed(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda found: {**found, **changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_changed(kind="gates"), "its kind is not"),
        (_changed(gates=[0.5]), r"gates of shape \(1,\), expected \(10,\)"),
        (_changed(gates=[2.0] * 10), "gates outside 0..1"),
        (_changed(gates=[float("nan")] * 10), "gates outside 0..1"),
        (_changed(block_k=0), "are not positive integers"),
        (_changed(block_k=1.5), "are not positive integers"),
        (_changed(shape=[48]), "not enough values"),
        (_changed(threshold=7), "threshold 7 outside"),
        (_changed(block_k=400), "groups of None rows and 400 columns"),
        (_changed(row_group=49), "groups of 49 rows and 32 columns"),
        (_changed(lr="auto"), "lr must be a number, not str"),
        (_changed(mse=None), "mse must be a number, not NoneType"),
        (_changed(history={"loss": [1.0], "mean_gate": [], "active": [1]}), "different lengths"),
        (_changed(extra=1), "unexpected keyword"),
        (lambda found: [found], "its kind is not"),
    ],
)
def test_a_file_without_gates_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    file = tmp_path / "gates.json"
    train(*problem()).save(file)
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(ValueError, match=message) as caught:
        GateResult.load(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "gates.json"
    train(*problem()).save(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="holds no trained gates"):
        GateResult.load(file)
    with pytest.raises(FileNotFoundError):
        GateResult.load(tmp_path / "none.json")


def test_plots_show_the_descent_the_gates_and_the_path(tmp_path: Path) -> None:
    w, x = problem(11)
    found = train(w, x, lr="auto", l1=0.01)
    falling, ended = found.plot().axes
    np.testing.assert_array_equal(falling.lines[0].get_ydata(), found.history.loss)
    np.testing.assert_array_equal(ended.lines[0].get_ydata(), found.gates)
    grouped = train(w, x, lr="auto", l1=0.01, row_group=16)
    np.testing.assert_array_equal(grouped.plot().axes[1].images[0].get_array(), grouped.gates)
    several = path(w, x, [1e-3, 1e-2])
    (axes,) = several.plot().axes
    drawn = np.asarray(axes.lines[0].get_ydata(), np.float64)
    np.testing.assert_allclose(drawn, [100 * result.relative_error for result in several])
    assert found.plot()._repr_png_().startswith(b"\x89PNG")  # which a notebook shows
    found.plot().savefig(tmp_path / "gates.png")
    assert (tmp_path / "gates.png").stat().st_size > 1000


GOOD_W, GOOD_X = problem()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((GOOD_W, GOOD_X[:, 1:]), {}, ValueError, "x has k=319, the weights have k=320"),
        ((GOOD_W[0], GOOD_X), {}, ValueError, r"w has shape \(320,\), expected \(n, k\)"),
        ((GOOD_W, GOOD_X[:0]), {}, ValueError, r"x has shape \(0, 320\)"),
        ((GOOD_W * 1j, GOOD_X), {}, TypeError, "w must hold real numbers, not complex128"),
        (("weights", GOOD_X), {}, TypeError, "w must be a QTensor or an array, not str"),
        ((GOOD_W, None), {}, TypeError, "x must be .* not NoneType"),
        ((GOOD_W, GOOD_X * np.nan), {}, ValueError, "x holds values that are not finite"),
        ((GOOD_W * np.inf, GOOD_X), {}, ValueError, "are not finite"),
        ((GOOD_W * 0, GOOD_X), {}, ValueError, "are all 0"),
        ((GOOD_W, GOOD_X), {"block_k": 0}, ValueError, r"block_k=0 is outside 1\.\.320"),
        ((GOOD_W, GOOD_X), {"block_k": 321}, ValueError, r"block_k=321 is outside 1\.\.320"),
        ((GOOD_W, GOOD_X), {"block_k": 1.5}, TypeError, "float"),
        ((GOOD_W, GOOD_X), {"row_group": 49}, ValueError, r"row_group=49 is outside 1\.\.48"),
        ((GOOD_W, GOOD_X), {"steps": -1}, ValueError, "steps=-1 is below 0"),
        ((GOOD_W, GOOD_X), {"lr": 0}, ValueError, "lr=0.0 is not a positive number"),
        ((GOOD_W, GOOD_X), {"lr": float("inf")}, ValueError, "lr=inf is not a positive"),
        ((GOOD_W, GOOD_X), {"lr": "fast"}, ValueError, "lr='fast' is neither"),
        ((GOOD_W, GOOD_X), {"l1": -1.0}, ValueError, "l1=-1.0 is not a number from 0 on"),
        ((GOOD_W, GOOD_X), {"l1": "high"}, TypeError, "l1 must be a number, not str"),
        ((GOOD_W, GOOD_X), {"threshold": 2}, ValueError, r"threshold=2.0 is outside 0\.\.1"),
        ((GOOD_W, GOOD_X), {"rule": "newton"}, ValueError, "rule='newton' is not one of"),
    ],
)
def test_what_is_wrong_is_said_with_its_value(
    arguments: tuple[Any, Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(*arguments, **options)


def test_weights_of_other_kinds_are_refused() -> None:
    w = qk.QTensor(tensor("q4_0", 2, 64).data[None], "q4_0", (1, 2, 64))
    with pytest.raises(ValueError, match="gates take a matrix, not weights of shape"):
        train(w, np.ones((1, 64)))
    with pytest.raises(TypeError, match="w is packed, and gates take blocks"):
        train(w[0].pack(), np.ones((1, 64)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one lambda"):
        path(w[0], np.ones((1, 64)), [])


def test_integer_weights_and_single_inputs_are_taken() -> None:
    rng = np.random.default_rng(12)
    w = rng.integers(-127, 128, (16, 64), dtype=np.int8)
    x = rng.standard_normal(64).astype(np.float32)
    found = train(w, x, lr="auto", l1=0.05)
    again = train(w.astype(np.float64), x[None].astype(np.float64), lr="auto", l1=0.05)
    np.testing.assert_allclose(found.gates, again.gates, atol=1e-5)
