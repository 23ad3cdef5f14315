"""How the demo prints what it measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from qkernels.demo.measure import Model, WorstError
    from qkernels.demo.report import Report

# Load per processor above which times are said to be disturbed.
BUSY = 0.6
ACT_MEANING = {
    "int16": "x in 16 bits, the default",
    "float32": "x as it is",
    "int8": "x in 8 bits, as in ggml",
}


def machine(console: Console, info: Mapping[str, object]) -> None:
    """One line: the version and what it runs on."""
    threads = info["threads"]
    console.print(
        f"[bold]qkernels {info['version']}[/bold] on {escape(str(info['cpu']))},"
        f" {info['isa']}, {threads} thread{'' if threads == 1 else 's'}"
    )


def model(console: Console, model: Model) -> None:
    """One line: the file and its matrices."""
    formats = ", ".join(f"{count} {fmt}" for fmt, count in model.formats.items())
    console.print(
        f"{escape(model.path)}: {_bytes(model.file_bytes)},"
        f" {model.weights / 1e6:.1f} million weights in {model.matrices} matrices ({formats})",
        soft_wrap=True,
    )


def comparison(console: Console, report: Report) -> None:
    """The table of times and memory, with ratios to qkernels."""
    times, opens, memory = report.token_seconds, report.open_seconds, report.memory_bytes
    torch = times.torch_float32
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("")
    table.add_column("qkernels", justify="right", style="bold green")
    table.add_column("gguf + NumPy", justify="right")
    table.add_column("dense float32" if torch is None else "torch dense float32", justify="right")
    fast = opens.qkernels
    table.add_row("open the file", _time(fast), _slower(opens.gguf_reader, fast), "-")
    fast = times.qkernels
    table.add_row(
        "one token's products",
        _time(fast),
        _slower(times.gguf_numpy, fast),
        "-" if torch is None else _slower(torch, fast),
    )
    lean, dense = memory.qkernels, memory.dense_float32
    more = f"{_bytes(dense)} {dense / lean:5.1f}x" if lean else _bytes(dense)
    table.add_row("memory for the weights", _bytes(lean), "-", more)
    console.print()
    console.print(table)
    if report.load > BUSY:
        console.print(
            f"[yellow]The machine was busy (load {report.load:.1f} per processor):"
            " it can do better than these times.[/yellow]"
        )


def errors(console: Console, matrices: int, errors: Iterable[WorstError]) -> None:
    """The table of the worst relative errors."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("act")
    table.add_column("worst error", justify="right", style="bold green")
    table.add_column("in")
    table.add_column("")
    for worst in errors:
        meaning = f"[dim]{ACT_MEANING[worst.act]}[/dim]"
        table.add_row(worst.act, f"{worst.error:.1e}", escape(worst.tensor), meaning)
    console.print()
    console.print(
        f"Relative error of y = w @ x against float64, worst of {matrices} matrices, Gaussian x:"
    )
    console.print(table)


def speed(console: Console, tokens_per_second: float) -> None:
    """One line: how fast the model spoke."""
    if tokens_per_second:
        console.print(f"  [dim]{tokens_per_second:,.0f} tokens a second[/dim]")


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def _slower(seconds: float, fast: float) -> str:
    ratio = seconds / fast
    return f"{_time(seconds)} {ratio:5,.0f}x" if ratio >= 10 else f"{_time(seconds)} {ratio:5.1f}x"


def _bytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:,.1f} MB"
