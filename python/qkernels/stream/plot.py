"""A sweep as heat maps: GB/s of each kernel at each prefetch distance, cold above warm."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qkernels._base.files import replacing
from qkernels.stream.sweep import Grid, Point, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

    from qkernels._base.figures import NotebookFigure

COLOURS = "viridis"
# Cells this far up the scale are light, and take dark figures.
LIGHT = 0.6
BEST = "#d7191c"
WIDTH, HEIGHT = 9.6, 6.4
DPI = 120


def target(path: Path | None) -> Path | None:
    """Where the picture will be: known before anything is measured.

    Args:
        path: its file; None for stream-sweep.png here, or for no picture without matplotlib.

    Raises:
        ValueError: matplotlib is not installed, or does not write that kind of file.
        FileNotFoundError: there is no such folder.
    """
    if importlib.util.find_spec("matplotlib") is None:
        if path is None:
            return None
        raise ValueError("a heat map needs matplotlib: python -m pip install matplotlib")
    from matplotlib.backend_bases import FigureCanvasBase

    path = path or Path("stream-sweep.png")
    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in kinds:
        raise ValueError(f"a heat map in {path.name!r} would be none of {', '.join(sorted(kinds))}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} of the heat map does not exist")
    return path


def save(sweep: Sweep, path: Path) -> None:
    """Write the picture; a file that is there is replaced once the new one is whole.

    Args:
        sweep: with at least one grid.
        path: its ending chooses the kind of file, such as .png or .svg.

    Raises:
        OSError: the file cannot be written.
        ValueError: no such kind of file.
    """
    figure = draw(sweep)
    with replacing(path) as unfinished:
        figure.savefig(unfinished)


def draw(sweep: Sweep) -> NotebookFigure:
    """The picture: axes for each temperature."""
    from qkernels._base.figures import NotebookFigure

    figure = NotebookFigure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    rows = figure.subplots(len(sweep.grids), 1, squeeze=False)
    for axes, (temperature, grid) in zip(rows[:, 0], sweep.grids.items(), strict=True):
        _draw_grid(axes, temperature, grid)
    rows[-1, 0].set_xlabel("prefetch distance, in blocks of 16 bytes")
    figure.suptitle(
        f"int8 y = W x, {sweep.n} x {sweep.k}{' in huge pages' * sweep.huge_pages}, one thread:"
        f" {sweep.machine['cpu']}, {sweep.machine['isa']}",
        fontsize=11,
    )
    return figure


def _draw_grid(axes: Axes, temperature: str, grid: Grid) -> None:
    """A cell a point, with its speed in figures; the best has a frame."""
    kernels = list(dict.fromkeys(point.kernel for point in grid.timings))
    distances = list(dict.fromkeys(point.prefetch for point in grid.timings))
    speeds = np.array([[grid.gigabytes(Point(k, d)) for d in distances] for k in kernels])
    image = axes.imshow(speeds, cmap=COLOURS, aspect="auto", vmin=0)
    for (row, column), speed in np.ndenumerate(speeds):
        colour = "black" if speed > LIGHT * speeds.max() else "white"
        axes.text(column, row, f"{speed:.1f}", ha="center", va="center", color=colour, fontsize=8)
    best = (distances.index(grid.best.prefetch), kernels.index(grid.best.kernel))
    axes.add_patch(_frame(*best))
    axes.set_xticks(range(len(distances)), [str(distance or "none") for distance in distances])
    axes.set_yticks(range(len(kernels)), kernels)
    where = "weights from memory" if temperature == "cold" else "one copy, again and again"
    axes.set_title(
        f"{temperature} ({where}); best: {grid.best}; reading alone {grid.roof:.1f} GB/s",
        loc="left",
        fontsize=9,
    )
    axes.figure.colorbar(image, ax=axes, label="GB/s of weights")


def _frame(column: int, row: int) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=BEST, linewidth=2.5)
