"""How `qkernels bench llama` prints what it measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from qkernels._measure.method import MAX_SPREAD
from qkernels.bench.llama_peers import LlamaCpp

if TYPE_CHECKING:
    from rich.console import Console

    from qkernels.bench.llama import Case, Report, Row

HEADINGS = ("time", "tokens/s", "GB/s", "of memory's", "spread")


def report(console: Console, found: Report) -> None:
    """A table of all cases, verdicts, and what the run was."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("", min_width=24)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for case in found.cases:
        plural = "" if case.threads == 1 else "s"
        table.add_row(f"{case.label}, {case.threads} thread{plural}", style="bold")
        for row in case.rows:
            style = "" if row.name == LlamaCpp.name else "green"
            table.add_row(f"  {escape(row.name)}", *_cells(case, row), style=style)
    console.print(table)
    console.print()
    for case in found.cases:
        for verdict in case.verdicts():
            line = f"{case.label}, threads {case.threads}: {verdict}."
            console.print(escape(line), soft_wrap=True)
    _circumstances(console, found)


def _cells(case: Case, row: Row) -> tuple[str, ...]:
    share, rate, spread = case.of_roof(row), row.tokens_per_second, row.timing.spread
    shown = f"{spread:.0%}"
    return (
        f"{row.timing.median * 1e3:,.1f} ms",
        f"{rate:,.1f}" if row.tokens > 1 else "",
        "" if row.read_bytes is None else f"{row.read_bytes * rate / 1e9:.1f}",
        "" if share is None else f"{share:.0%}",
        f"[yellow]{shown}[/yellow]" if spread > MAX_SPREAD else shown,
    )


def _circumstances(console: Console, found: Report) -> None:
    machine, model = found.machine, found.model
    formats = ", ".join(f"{count} {fmt}" for fmt, count in model["formats"].items())
    steal = "not counted here" if found.steal is None else f"{found.steal:.1%}"
    lines = (
        None if found.absent is None else f"absent: {LlamaCpp.name}, since {found.absent}",
        f"{model['path']}: {model['file_bytes'] / 1e6:,.1f} MB, {model['architecture']}, {formats}",
        f"{machine['cpu']}, {machine['isa']}, {machine['processors']} processors,"
        f" qkernels {machine['version']} ({machine['compiler']})",
        f"{found.rounds} rounds in {found.seconds:.0f} s; steal {steal}"
        + ("" if found.load is None else f", load {found.load:.1f}"),
        found.command,
    )
    for line in filter(None, lines):
        console.print(escape(line), soft_wrap=True)
