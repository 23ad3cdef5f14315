"""The results as bars: GB/s of quantised weights for each candidate, under the roof.

A batch counts the weights once a vector, so that batches of all sizes compare. Its roof, which
reads them once a batch, is then mostly off the top of the picture, and is left out.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qkernels.bench.report import Case, Report

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# The fused products in greens; the peers by library, whose first word is their name's.
OURS = ("#1b7837", "#5aae61", "#a6dba0", "#00441b", "#7fbc41", "#d9f0d3")
THEIRS = {
    "torch": ("#542788", "#8073ac", "#b2abd2"),
    "onnxruntime": ("#8c510a", "#bf812d", "#dfc27d"),
    "ggml": ("#b2182b", "#ef8a62", "#fddbc7"),
}
OTHERS = ("#4d4d4d", "#878787", "#bababa")
ROOF = "#2166ac"
GROUP_WIDTH = 0.8
GROUPS_IN_A_ROW = 10
INCHES_PER_BAR = 0.16
LEGEND_INCHES = 2.5
HEIGHT = 4.2
DPI = 120


def check() -> None:
    """Raise before anything is measured.

    Raises:
        ValueError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: python -m pip install matplotlib")


def save(report: Report, path: Path) -> None:
    """Write a picture: rows of axes for each number of threads, one group of bars a case.

    Args:
        report: with at least one case.
        path: its ending chooses the kind of file, such as .png or .svg.

    Raises:
        OSError: the file cannot be written.
        ValueError: no such kind of file.
    """
    from matplotlib.figure import Figure

    colours = _colours(report)
    rows = list(_rows(report.cases))
    bars = max(len(case.rows) for case in report.cases)
    groups = max(len(cases) for cases in rows)
    width = max(7.0, INCHES_PER_BAR * groups * (bars + 2) + LEGEND_INCHES)
    figure = Figure(figsize=(width, HEIGHT * len(rows)), dpi=DPI, layout="constrained")
    named: dict[str, Artist] = {}
    for number, cases in enumerate(rows, 1):
        axes = figure.add_subplot(len(rows), 1, number)
        _draw(axes, cases, colours)
        count = cases[0].threads
        axes.set_title(f"{count} thread{'' if count == 1 else 's'}", loc="left", fontsize=10)
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    figure.legend(list(named.values()), list(named), loc="outside right upper", fontsize=8)
    temperature = "cold" if report.cold else "warm"
    figure.suptitle(
        f"y = W x, {temperature} weights: {report.machine['cpu']}, {report.machine['isa']}",
        fontsize=11,
    )
    figure.savefig(path)


def _rows(cases: list[Case]) -> Iterator[list[Case]]:
    """The cases of each row of axes: on one number of threads, and of about equal lengths."""
    for threads in sorted({case.threads for case in cases}):
        some = [case for case in cases if case.threads == threads]
        count = -(-len(some) // GROUPS_IN_A_ROW)
        length = -(-len(some) // count)
        for start in range(0, len(some), length):
            yield some[start : start + length]


def _colours(report: Report) -> dict[str, str]:
    """A colour for each candidate of any case, in the order in which bars stand side by side."""
    ours = dict.fromkeys(r.name for c in report.cases for r in c.rows if not r.is_peer)
    theirs = sorted({r.name for c in report.cases for r in c.rows if r.is_peer})
    chosen: dict[str, str] = {}
    used: Counter[tuple[str, ...]] = Counter()
    for name in (*ours, *theirs):
        palette = OURS if name in ours else THEIRS.get(name.split()[0], OTHERS)
        chosen[name] = palette[used[palette] % len(palette)]
        used[palette] += 1
    return chosen


def _draw(axes: Axes, cases: list[Case], colours: dict[str, str]) -> None:
    """Bars with their interquartile ranges, and the roof over each group."""
    width = GROUP_WIDTH / max(len(case.rows) for case in cases)
    places = [_places(case, colours, width) for case in cases]
    for name, colour in colours.items():
        found = [
            (i + places[i][name], case, r)
            for i, case in enumerate(cases)
            for r in case.rows
            if r.name == name
        ]
        if not found:
            continue
        middle = [_speed(case, row.timing.median) for _, case, row in found]
        above = [_speed(c, r.timing.low) - y for (_, c, r), y in zip(found, middle, strict=True)]
        below = [y - _speed(c, r.timing.high) for (_, c, r), y in zip(found, middle, strict=True)]
        axes.bar(
            [place for place, _, _ in found],
            middle,
            width,
            color=colour,
            label=name,
            yerr=(below, above),
            error_kw={"elinewidth": 0.8, "ecolor": "black"},
        )
    _draw_roof(axes, cases)
    axes.set_xticks(range(len(cases)), [case.label for case in cases], fontsize=8)
    if len(cases) > 4:
        axes.tick_params(axis="x", rotation=30)
    batches = any(case.m > 1 for case in cases)
    axes.set_ylabel("GB/s of quantised weights" + (", times the batch" if batches else ""))
    axes.set_xlim(-0.6, len(cases) - 0.4)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_roof(axes: Axes, cases: list[Case]) -> None:
    """The roof of each case, but for those of batches that are far above all bars."""
    highest = max(_speed(case, row.timing.low) for case in cases for row in case.rows)
    drawn = [
        (i, _speed(case, case.roof.timing.median))
        for i, case in enumerate(cases)
        if case.m == 1 or _speed(case, case.roof.timing.median) <= highest
    ]
    if drawn:
        axes.hlines(
            [roof for _, roof in drawn],
            [i - 0.45 for i, _ in drawn],
            [i + 0.45 for i, _ in drawn],
            colors=ROOF,
            label="roof: reading only",
        )


def _speed(case: Case, seconds: float) -> float:
    """GB/s of quantised weights, counted once for each vector of x."""
    return case.m * case.weight_bytes / seconds / 1e9


def _places(case: Case, order: Iterable[str], width: float) -> dict[str, float]:
    """Where the bars of a case stand, from its middle: side by side, whoever is absent."""
    present = [name for name in order if name in {row.name for row in case.rows}]
    first = -width * (len(present) - 1) / 2
    return {name: first + i * width for i, name in enumerate(present)}
