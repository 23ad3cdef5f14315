"""How the bench prints what it measured."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from qkernels._measure.method import MAX_SPREAD
from qkernels.bench.calls import QUANTILES, TINY
from qkernels.bench.gaps import CASE, GAPS

if TYPE_CHECKING:
    from rich.console import Console

    from qkernels.bench.calls import Calls, Samples
    from qkernels.bench.gaps import Gaps
    from qkernels.bench.report import Case, Report, Row

HEADINGS = ("time", "GB/s", "of roof", "spread", "error", "vs peer")
NAME_WIDTH = 24  # of the longest name of a way, indented


def report(console: Console, report: Report) -> None:
    """A table for each number of threads, verdicts, what they come to, and what the run was."""
    cases = sorted(report.cases, key=lambda case: case.threads)
    for threads, group in groupby(cases, key=lambda case: case.threads):
        some = list(group)
        console.print(_table(report, threads, some))
        for case in some:
            for verdict in case.verdicts():
                console.print(f"{escape(case.label)}: {escape(verdict)}.", soft_wrap=True)
        for line in report.summaries()[threads]:
            console.print(f"[bold]{escape(line)}.[/bold]", soft_wrap=True)
        console.print()
    _absences(console, report)
    _circumstances(console, report)


def calls(console: Console, found: Calls) -> None:
    """A table for each measurement, what they come to, and what the run was."""
    neighbours = f", beside busy processes: {found.busy}" if found.busy else ""
    titles = (
        (f"the cost of a call: packed {_shape(*TINY)}", found.tiny),
        ("handing over", found.shared),
        (f"packed weights, cold{neighbours}", found.large),
    )
    for title, samples in titles:
        if samples:
            console.print(_quantiles(title, samples))
            console.print()
    if found.gaps is not None:
        console.print(_gaps(found.gaps))
        console.print()
    for line in found.findings():
        console.print(f"[bold]{escape(line)}.[/bold]", soft_wrap=True)
    for peer, reason in (found.gaps.absent if found.gaps is not None else {}).items():
        console.print(escape(f"absent: {peer}, since {reason}"), soft_wrap=True)
    for line in (_machine(found), _others(found), found.command):
        console.print(escape(line), soft_wrap=True)


def _quantiles(title: str, group: list[Samples]) -> Table:
    table = _empty_table(title)
    for heading in ("calls", "median", *(f"p{percent:g}" for percent in QUANTILES[1:])):
        table.add_column(heading, justify="right", no_wrap=True)
    for samples in group:
        cells = (f"{samples.quantile(percent) * 1e6:.2f} us" for percent in QUANTILES)
        table.add_row(f"  {escape(samples.name)}", str(len(samples.seconds)), *cells)
    return table


def _gaps(found: Gaps) -> Table:
    """The time on one thread and on two, and what the second one gains, after each gap."""
    table = _empty_table(f"{_shape(*CASE)}, cold, so long after the call before")
    for gap in GAPS:
        table.add_column(f"{gap} us", justify="right", no_wrap=True)
    for name in found.names():
        for threads, label in ((1, "1 thread"), (2, "2 threads")):
            timings = [found.timings[name, threads, gap] for gap in GAPS]
            cells = (f"{timing.median * 1e6:.1f}" for timing in timings)
            table.add_row(f"  {escape(name)}, {label}", *cells, style="dim")
        table.add_row("    gain", *(f"{found.gain(name, gap):.2f}x" for gap in GAPS))
    return table


def _shape(fmt: str, n: int, k: int) -> str:
    return f"{fmt} {n}x{k}"


def _empty_table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("", min_width=NAME_WIDTH)
    return table


def _table(report: Report, threads: int, cases: list[Case]) -> Table:
    temperature = "cold" if report.cold else "warm"
    plural = "" if threads == 1 else "s"
    table = _empty_table(f"y = W x, {temperature} weights, {threads} thread{plural}")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for case in cases:
        table.add_row(escape(case.label), style="bold")
        for row in case.rows:
            table.add_row(f"  {escape(row.name)}", *_cells(row), style=_style(row))
        roof = case.roof
        table.add_row(
            f"  roof: {roof.variant}",
            _time(roof.timing.median),
            f"{case.roof_gigabytes:.1f}",
            "100%",
            _spread(roof.timing.spread),
            style="dim",
        )
        table.add_row("")
    return table


def _cells(row: Row) -> tuple[str, ...]:
    return (
        _time(row.timing.median),
        f"{row.gigabytes:.1f}" if row.gigabytes >= 0.95 else f"{row.gigabytes:.2f}",
        f"{row.of_roof:.0%}",
        _spread(row.timing.spread),
        f"{row.error:.0e}",
        "-" if row.ratio is None else f"{row.ratio:.2f}x",
    )


def _style(row: Row) -> str:
    return "" if row.is_peer else "green"


def _spread(spread: float) -> str:
    return f"[yellow]{spread:.0%}[/yellow]" if spread > MAX_SPREAD else f"{spread:.0%}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _absences(console: Console, report: Report) -> None:
    """One line for each peer and reason, with the cases where it holds unless that is all."""
    cases: dict[tuple[str, str], list[str]] = {}
    for case in report.cases:
        for peer, reason in case.absent.items():
            labels = cases.setdefault((peer, reason), [])
            if case.label not in labels:
                labels.append(case.label)
    everywhere = len({case.label for case in report.cases})
    for (peer, reason), labels in cases.items():
        where = "" if len(labels) == everywhere else f" for {', '.join(labels)}"
        console.print(escape(f"absent{where}: {peer}, since {reason}"), soft_wrap=True)


def _machine(found: Report | Calls) -> str:
    machine = found.machine
    return (
        f"{machine['cpu']}, {machine['isa']}, {machine['processors']} processors,"
        f" qkernels {machine['version']} ({machine['compiler']})"
    )


def _others(found: Report | Calls) -> str:
    """What other programs took of the machine."""
    steal = "not counted here" if found.steal is None else f"{found.steal:.1%}"
    return f"steal {steal}" + ("" if found.load is None else f", load {found.load:.1f}")


def _circumstances(console: Console, report: Report) -> None:
    copies = "one copy of the weights" if not report.cold else "weights over four times that"
    pages = "huge" if report.huge_pages else "small"
    lines = (
        _machine(report),
        f"last-level cache {report.cache_bytes / 2**20:.0f} MiB, {copies}, in {pages} pages;"
        f" {report.rounds} rounds in {report.seconds:.0f} s; {_others(report)}",
        report.command,
    )
    for line in filter(None, lines):
        console.print(escape(line), soft_wrap=True)
    if disturbance := report.disturbance():
        console.print(f"[yellow]{escape(disturbance)}[/yellow]", soft_wrap=True)
