"""What training gates gives: the gates, how they came about, what dropping blocks costs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qkernels._base.files import replacing
from qkernels._base.numbers import to_float
from qkernels.weights.block_mask import BlockGates

if TYPE_CHECKING:
    from qkernels._base.figures import NotebookFigure

_KIND = "qkernels gates, version 1"


@dataclass(frozen=True)
class Step:
    """What is told of a step: its number from 1 on, and the gates after it."""

    number: int
    loss: float
    mean_gate: float
    active: int


@dataclass(frozen=True, eq=False)
class History:
    """One value a step, after it.

    Attributes:
        loss: what is minimised, in the units of the inputs as they were trained with.
        mean_gate: over all gates.
        active: how many gates were at the threshold or above.
    """

    loss: NDArray[np.float64]
    mean_gate: NDArray[np.float64]
    active: NDArray[np.int64]

    @classmethod
    def of(cls, steps: Sequence[Step]) -> History:
        """Gather what was told step by step."""
        return cls(
            np.array([step.loss for step in steps], np.float64),
            np.array([step.mean_gate for step in steps], np.float64),
            np.array([step.active for step in steps], np.int64),
        )

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.loss)


@dataclass(frozen=True, eq=False)
class GateResult(BlockGates):
    """Trained gates, and what is lost without the blocks under the threshold.

    Attributes:
        gates: float64 in [0, 1], (blocks,), or with groups of rows (groups, blocks).
        shape: (n, k) of the weights.
        block_k: columns of a block; the last one may have fewer.
        row_group: rows of a group; None where all rows share their gates.
        threshold: blocks with gates below it are dropped.
        l1: the price of a gate.
        lr: the size of the steps, also where it was chosen.
        rule: "projected" or "proximal".
        normalized: whether inputs were scaled to outputs of a mean squared norm of 1.
        mse: the mean over samples and rows of (y without the dropped blocks - y)^2, in y's units.
        relative_error: norm(y without the dropped blocks - y) / norm(y), over all samples.
        history: of the steps.
    """

    gates: NDArray[np.float64]
    shape: tuple[int, int]
    block_k: int
    row_group: int | None
    threshold: float
    l1: float
    lr: float
    rule: str
    normalized: bool
    mse: float
    relative_error: float
    history: History

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which blocks are kept, in the shape of the gates."""
        return self.gates >= self.threshold

    @property
    def active(self) -> int:
        """How many blocks are kept."""
        return int(np.count_nonzero(self.mask))

    @property
    def sparsity(self) -> float:
        """The share of blocks that are dropped."""
        return 1.0 - self.active / self.gates.size

    def columns(self) -> NDArray[np.bool_]:
        """Which columns are kept: (k,), or with groups of rows (groups, k)."""
        return np.repeat(self.mask, self.block_k, axis=-1)[..., : self.shape[1]]

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain numbers and lists, as JSON has them."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        found["shape"] = list(self.shape)
        found["gates"] = self.gates.tolist()
        found["history"] = {key: part.tolist() for key, part in vars(self.history).items()}
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as JSON, with every bit of its numbers; the file appears whole.

        Raises:
            OSError: the file cannot be written.
        """
        text = json.dumps({"kind": _KIND, **self.to_dict()}, indent=1)
        with replacing(path) as unfinished:
            unfinished.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> GateResult:
        """Read what `save` wrote.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no gates, or gates that do not fit their weights' shape.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(found, dict) or found.pop("kind", None) != _KIND:
                raise ValueError(f"its kind is not {_KIND!r}")
            return cls._from_dict(found)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise ValueError(f"{os.fspath(path)} holds no trained gates: {error}") from None

    @classmethod
    def _from_dict(cls, found: dict[str, Any]) -> GateResult:
        history = History(
            np.array(found["history"]["loss"], np.float64),
            np.array(found["history"]["mean_gate"], np.float64),
            np.array(found["history"]["active"], np.int64),
        )
        n, k = found["shape"]
        gates = np.array(found["gates"], np.float64)
        block_k, row_group = found["block_k"], found["row_group"]
        sizes = [n, k, block_k, *([] if row_group is None else [row_group])]
        if not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError(f"the sizes {sizes} are not positive integers")
        if block_k > k or (row_group is not None and row_group > n):
            raise ValueError(f"groups of {row_group} rows and {block_k} columns, of {(n, k)}")
        groups = () if row_group is None else (-(-n // row_group),)
        expected = (*groups, -(-k // block_k))
        if gates.shape != expected:
            raise ValueError(f"gates of shape {gates.shape}, expected {expected}")
        # The comparison is false for a NaN.
        if not np.all((gates >= 0) & (gates <= 1)):
            raise ValueError("gates outside 0..1")
        if not 0 <= found["threshold"] <= 1:
            raise ValueError(f"threshold {found['threshold']} outside 0..1")
        lengths = {np.shape(column) for column in vars(history).values()}
        if len(lengths) != 1 or history.loss.ndim != 1:
            raise ValueError("its history has columns of different lengths")
        for name in ("l1", "lr", "mse", "relative_error"):
            to_float(found[name], name)
        return cls(**{**found, "gates": gates, "shape": (n, k), "history": history})

    def plot(self) -> NotebookFigure:
        """Draw how the loss fell, and where the gates ended.

        Returns:
            A matplotlib figure, which a notebook shows and `.savefig(path)` writes.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from matplotlib.ticker import MaxNLocator

        figure = _figure(2)
        falling, ended = figure.axes
        steps = np.arange(1, len(self.history) + 1)
        falling.plot(steps, self.history.loss)
        falling.set(xlabel="step", ylabel="loss", title="descent")
        if self.gates.ndim == 1:
            ended.plot(np.arange(len(self.gates)), self.gates, ".", markersize=5)
            ended.axhline(self.threshold, color="gray", linewidth=1)
            ended.set(ylabel="gate", ylim=(-0.03, 1.03))
        else:
            image = ended.imshow(
                self.gates, vmin=0, vmax=1, aspect="auto", interpolation="nearest", cmap="Blues"
            )
            figure.colorbar(image, ax=ended, label="gate")
            ended.set(ylabel=f"group of {self.row_group} rows")
            ended.yaxis.set_major_locator(MaxNLocator(integer=True))
        ended.set_xlabel(f"block of {self.block_k} columns")
        kept = f"{self.active} of {self.gates.size} kept"
        ended.set_title(f"{kept}, error {self.relative_error:.2%}")
        return figure

    def __repr__(self) -> str:
        """What is kept, and what it costs, in one line."""
        return (
            f"GateResult({self.active} of {self.gates.size} blocks of {self.block_k} columns kept,"
            f" relative error {self.relative_error:.3g})"
        )


@dataclass(frozen=True)
class GatePath(Sequence[GateResult]):
    """Results for several prices of a gate, from the lowest to the highest."""

    results: tuple[GateResult, ...]

    def __len__(self) -> int:
        """The number of prices."""
        return len(self.results)

    def __getitem__(self, index: Any) -> Any:
        """The result of one price, or those of some."""
        return self.results[index]

    def __iter__(self) -> Iterator[GateResult]:
        """One result after the other."""
        return iter(self.results)

    def at_most(self, relative_error: float) -> GateResult:
        """The sparsest result whose relative error does not exceed this.

        Raises:
            ValueError: all of them exceed it.
        """
        fitting = [result for result in self.results if result.relative_error <= relative_error]
        if not fitting:
            least = min((r.relative_error for r in self.results), default=math.nan)
            raise ValueError(f"no relative error is at most {relative_error}; the least is {least}")
        return max(fitting, key=lambda result: result.sparsity)

    def plot(self) -> NotebookFigure:
        """Draw the relative error over the share of blocks that are dropped.

        Raises:
            ImportError: matplotlib is not installed.
        """
        figure = _figure(1)
        (axes,) = figure.axes
        dropped = [100 * result.sparsity for result in self.results]
        axes.plot(dropped, [100 * result.relative_error for result in self.results], "o-")
        for result, at in zip(self.results, dropped, strict=True):
            axes.annotate(
                f"{result.l1:g}", (at, 100 * result.relative_error), xytext=(-6, 4),
                textcoords="offset points", horizontalalignment="right", fontsize=8,
            )  # fmt: skip
        axes.margins(x=0.12, y=0.1)
        axes.set(xlabel="blocks dropped, %", ylabel="relative error, %")
        axes.set_title("sparsity against error, by lambda")
        return figure


def _figure(columns: int) -> NotebookFigure:
    """A figure of some axes side by side."""
    from qkernels._base.figures import NotebookFigure

    figure = NotebookFigure(figsize=(5 * columns, 3.6), layout="constrained")
    figure.subplots(1, columns)
    return figure
