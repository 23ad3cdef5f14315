"""Training gates: which blocks of columns a matrix's output can do without.

    loss(g) = mean over samples of 0.5 ||y(g) - y(1)||^2 + l1 * sum_b g_b,   g_b in [0, 1]

is minimised from gates of 1 on. All that a step needs is the quadratic's Gram matrix, so it takes
O(blocks^2), whatever n and k. With groups of rows, a group's gate costs its share of l1: l1 is the
price of a block of columns.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qkernels._base.numbers import to_float, to_int
from qkernels._base.progress import bar
from qkernels.gates.quadratic import Quadratic
from qkernels.gates.result import GatePath, GateResult, History, Step
from qkernels.weights.qtensor import QTensor

Gates = NDArray[np.float64]

RULES = ("projected", "proximal")


OnStep = Callable[[Step], object]


@dataclass(frozen=True)
class _Options:
    steps: int
    lr: float | str
    l1: float
    threshold: float
    rule: str
    normalize: bool

    def __post_init__(self) -> None:
        if to_int(self.steps, "steps") < 0:
            raise ValueError(f"steps={self.steps} is below 0")
        if self.lr != "auto":
            if isinstance(self.lr, str):
                raise ValueError(f"lr={self.lr!r} is neither a number nor 'auto'")
            lr = to_float(self.lr, "lr")
            if not (math.isfinite(lr) and lr > 0):
                raise ValueError(f"lr={lr} is not a positive number")
        l1, threshold = to_float(self.l1, "l1"), to_float(self.threshold, "threshold")
        if not (math.isfinite(l1) and l1 >= 0):
            raise ValueError(f"l1={l1} is not a number from 0 on")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold={threshold} is outside 0..1")
        if self.rule not in RULES:
            raise ValueError(f"rule={self.rule!r} is not one of {', '.join(RULES)}")


def train(
    w: QTensor | NDArray[Any],
    x: NDArray[Any],
    *,
    block_k: int = 32,
    steps: int = 50,
    lr: float | str = 1e-5,
    l1: float = 1e-3,
    threshold: float = 0.5,
    rule: str = "projected",
    normalize: bool = True,
    row_group: int | None = None,
    threads: int | None = None,
    on_step: OnStep | None = None,
) -> GateResult:
    """Train one gate for each block of `block_k` columns, and drop those under the threshold.

    Args:
        w: the weights, (n, k): a QTensor in any format, or a real array.
        x: the inputs, (samples, k) or (k,): real activations, such as `capture` collects.
        block_k: columns of a block, 1 to k; the last block may have fewer.
        steps: of descent, 0 or more.
        lr: the size of a step, or "auto": 1 over the largest eigenvalue of the Gram matrix, the
            largest size that never overshoots.
        l1: the price of a gate, lambda. With normalised inputs a block is worth dropping where
            that adds less than 2 * l1 to the squared relative error.
        threshold: blocks with gates below it are dropped; 0 to 1.
        rule: "projected", a gradient step and then the nearest gates in [0, 1]; or "proximal", the
            same with momentum (FISTA, restarted where it points uphill). Between 0 and 1 the
            penalty is linear, so its proximal step is the projected one.
        normalize: scale x so that the mean of ||y(1)||^2 over samples is 1, whereby `lr` and `l1`
            mean the same at every scale of weights and inputs. False takes x as it is.
        row_group: rows that share gates: every group of so many gets its own. All when None.
        threads: 1 to 256 for products of quantised weights, instead of the default.
        on_step: called with a `Step` after each.

    Returns:
        The gates, how the loss fell, and the error without the blocks that were dropped.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a wrong shape or range, values that are not finite, or outputs that are all 0.
    """
    options = _Options(steps, lr, l1, threshold, rule, normalize)
    quadratic = Quadratic.of(w, x, block_k=block_k, row_group=row_group, threads=threads)
    start = np.ones((quadratic.groups, quadratic.blocks))
    return _Descent(quadratic, options).run(start, l1, on_step, row_group is not None)


def path(
    w: QTensor | NDArray[Any],
    x: NDArray[Any],
    lambdas: Sequence[float],
    *,
    block_k: int = 32,
    steps: int = 200,
    lr: float | str = "auto",
    threshold: float = 0.5,
    rule: str = "proximal",
    normalize: bool = True,
    row_group: int | None = None,
    threads: int | None = None,
) -> GatePath:
    """Train gates for several prices: sparsity against error in one call.

    The products are computed once. Prices are taken from the lowest to the highest, and each starts
    from the gates of the one before. Arguments, errors: as `train`.

    Args:
        w: the weights, (n, k).
        x: the inputs, (samples, k) or (k,).
        lambdas: values for `l1`, at least one.
        block_k: columns of a block.
        steps: for each price.
        lr: the size of a step, or "auto".
        threshold: blocks with gates below it are dropped.
        rule: "projected" or "proximal".
        normalize: scale x so that outputs have a mean squared norm of 1.
        row_group: rows that share gates.
        threads: for products of quantised weights.

    Returns:
        A result for each price, in their order from the lowest on.
    """
    prices = sorted(to_float(value, "a lambda") for value in lambdas)
    if not prices:
        raise ValueError("a path needs at least one lambda")
    options = [_Options(steps, lr, price, threshold, rule, normalize) for price in prices]
    quadratic = Quadratic.of(w, x, block_k=block_k, row_group=row_group, threads=threads)
    descent = _Descent(quadratic, options[0])
    gates = np.ones((quadratic.groups, quadratic.blocks))
    results = []
    for price in prices:
        result = descent.run(gates, price, None, row_group is not None)
        gates = result.gates.reshape(gates.shape)
        results.append(result)
    return GatePath(tuple(results))


class _Descent:
    """Descent on one quadratic, scaled where inputs are normalised."""

    def __init__(self, quadratic: Quadratic, options: _Options) -> None:
        energy = quadratic.energy
        if not energy > 0:
            raise ValueError("the outputs w @ x are all 0: no gate matters")
        self._quadratic = quadratic
        self._options = options
        self._scale = 1.0 / energy if options.normalize else 1.0
        if options.lr == "auto":
            self._lr = 1.0 / (self._scale * quadratic.curvature)
        else:
            self._lr = float(options.lr)
        n = quadratic.shape[0]
        begins = np.arange(quadratic.groups) * quadratic.row_group
        self._shares = (np.minimum(begins + quadratic.row_group, n) - begins)[:, None] / n

    def run(self, start: Gates, l1: float, on_step: OnStep | None, grouped: bool) -> GateResult:
        """Descend from `start`, (groups, blocks), and evaluate where that ends."""
        gates, history = self._descend(start, self._shares * l1, on_step)
        mask = gates >= self._options.threshold
        error = self._quadratic.squared_error(mask)
        return GateResult(
            gates=gates if grouped else gates[0],
            shape=self._quadratic.shape,
            block_k=self._quadratic.block_k,
            row_group=self._quadratic.row_group if grouped else None,
            threshold=float(self._options.threshold),
            l1=float(l1),
            lr=self._lr,
            rule=self._options.rule,
            normalized=self._options.normalize,
            mse=error / self._quadratic.shape[0],
            relative_error=math.sqrt(error / self._quadratic.energy),
            history=history,
        )

    def _descend(self, start: Gates, price: Gates, on_step: OnStep | None) -> tuple[Gates, History]:
        """Each step multiplies by G once: what momentum needs of it is a sum of two products."""
        with_momentum = self._options.rule == "proximal"
        gates, slope = start, self._scale * self._quadratic.slope(start)
        point, point_slope, weight = gates, slope, 1.0
        told: list[Step] = []
        numbers = range(1, operator.index(self._options.steps) + 1)
        # Whoever is told of each step shows them in their own way.
        for number in numbers if on_step is not None else bar(numbers, "training gates"):
            before, slope_before = gates, slope
            gates = np.clip(point - self._lr * (point_slope + price), 0.0, 1.0)
            slope = self._scale * self._quadratic.slope(gates)
            point, point_slope = gates, slope
            if with_momentum:
                moved = gates - before
                uphill = float(np.sum((slope + price) * moved)) > 0
                next_weight = 1.0 if uphill else (1 + math.sqrt(1 + 4 * weight * weight)) / 2
                share = 0.0 if uphill else (weight - 1) / next_weight
                point, weight = gates + share * moved, next_weight
                point_slope = slope + share * (slope - slope_before)
            loss = float(np.sum((gates - 1) * slope) / 2 + np.sum(price * gates))
            active = int(np.count_nonzero(gates >= self._options.threshold))
            told.append(Step(number, loss, float(gates.mean()), active))
            if on_step is not None:
                on_step(told[-1])
        return gates, History.of(told)
