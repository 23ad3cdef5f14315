"""The results as bars: GB/s of quantised weights for each candidate, under the roof."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from qkernels.bench.report import Case, Report

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# The fused products in greens, the peers in greys and warm colours; more than there are candidates.
OURS = ("#1b7837", "#5aae61", "#a6dba0")
THEIRS = ("#4d4d4d", "#878787", "#bababa", "#e08214", "#fdb863", "#b2182b", "#8073ac", "#b2abd2")
ROOF = "#2166ac"
GROUP_WIDTH = 0.8
INCHES_PER_BAR = 0.16
HEIGHT = 4.2
DPI = 120


def check() -> None:
    """Raise before anything is measured.

    Raises:
        ValueError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: python -m pip install 'qkernels[bench]'")


def save(report: Report, path: Path) -> None:
    """Write a picture: one row of axes a number of threads, one group of bars a case.

    Args:
        report: with at least one case.
        path: its ending chooses the kind of file, such as .png or .svg.

    Raises:
        OSError: the file cannot be written.
        ValueError: no such kind of file.
    """
    from matplotlib.figure import Figure

    threads = sorted({case.threads for case in report.cases})
    colours = _colours(report)
    groups = len(report.cases) / len(threads)
    width = max(7.0, INCHES_PER_BAR * groups * (len(colours) + 2) + 1.5)
    figure = Figure(figsize=(width, HEIGHT * len(threads)), dpi=DPI, layout="constrained")
    named: dict[str, Artist] = {}
    for row, count in enumerate(threads, 1):
        axes = figure.add_subplot(len(threads), 1, row)
        _draw(axes, [case for case in report.cases if case.threads == count], colours)
        axes.set_title(f"{count} thread{'' if count == 1 else 's'}", loc="left", fontsize=10)
        handles, labels = axes.get_legend_handles_labels()
        named.update(zip(labels, handles, strict=True))
    figure.legend(list(named.values()), list(named), loc="outside right upper", fontsize=8)
    temperature = "cold" if report.cold else "warm"
    figure.suptitle(
        f"y = W x, {temperature} weights: {report.machine['cpu']}, {report.machine['isa']}",
        fontsize=11,
    )
    figure.savefig(path)


def _colours(report: Report) -> dict[str, str]:
    """A colour for each candidate of any case."""
    ours = dict.fromkeys(r.name for c in report.cases for r in c.rows if not r.is_peer)
    theirs = dict.fromkeys(r.name for c in report.cases for r in c.rows if r.is_peer)
    chosen = {name: OURS[i % len(OURS)] for i, name in enumerate(ours)}
    return chosen | {name: THEIRS[i % len(THEIRS)] for i, name in enumerate(sorted(theirs))}


def _draw(axes: Axes, cases: list[Case], colours: dict[str, str]) -> None:
    """Bars with their interquartile ranges, and the roof over each group."""
    width = GROUP_WIDTH / len(colours)
    for slot, (name, colour) in enumerate(colours.items()):
        offset = width * (slot + 0.5) - GROUP_WIDTH / 2
        found = [(i, case, r) for i, case in enumerate(cases) for r in case.rows if r.name == name]
        if not found:
            continue
        above = [c.weight_bytes / r.timing.low / 1e9 - r.gigabytes for _, c, r in found]
        below = [r.gigabytes - c.weight_bytes / r.timing.high / 1e9 for _, c, r in found]
        axes.bar(
            [i + offset for i, _, _ in found],
            [row.gigabytes for _, _, row in found],
            width,
            color=colour,
            label=name,
            yerr=(below, above),
            error_kw={"elinewidth": 0.8, "ecolor": "black"},
        )
    axes.hlines(
        [case.roof_gigabytes for case in cases],
        [i - 0.45 for i in range(len(cases))],
        [i + 0.45 for i in range(len(cases))],
        colors=ROOF,
        label="roof: reading only",
    )
    axes.set_xticks(range(len(cases)), [case.label for case in cases], fontsize=8)
    if len(cases) > 4:
        axes.tick_params(axis="x", rotation=30)
    axes.set_ylabel("GB/s of quantised weights")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
