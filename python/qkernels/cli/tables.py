"""What `qkernels inspect` and `qkernels verify` print: tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qkernels._base.text import escape

if TYPE_CHECKING:
    from qkernels.tools.inspect import FileReport, KeyEntry, TensorEntry
    from qkernels.tools.verify import TensorStats

MOST_CHARACTERS = 80  # of a metadata value
WIDE = 200


def print_report(report: FileReport) -> None:
    """The metadata, the tensors, and the tensors by type."""
    console = _console()
    title = f"{report.path}: GGUF version {report.version}, {report.nbytes:,} bytes"
    console.print(Text(escape(title), style="bold"))
    if report.metadata:
        table = _table("metadata key", "type", "value")
        for entry in report.metadata:
            table.add_row(_text(entry.key), _key_type(entry), _text(_value(entry)))
        console.print(table)
    table = _table("tensor", "type", "shape", ">bytes", ">bits a weight")
    for tensor in report.tensors:
        nbytes = "?" if tensor.nbytes is None else f"{tensor.nbytes:,}"
        table.add_row(
            _text(tensor.name),
            _type(tensor),
            " x ".join(map(str, tensor.shape)),
            nbytes,
            _bits(tensor.nbytes, _count(tensor.shape)),
        )
    console.print(table)
    table = _table("type", ">tensors", ">weights", ">bytes", ">share")
    for total in report.totals():
        share = f"{total.nbytes / report.nbytes:.1%}"
        table.add_row(
            total.type, str(total.tensors), f"{total.weights:,}", f"{total.nbytes:,}", share
        )
    console.print(table)
    print_notes(console, report.notes)


def print_notes(console: Console, notes: Sequence[str]) -> None:
    """What there is to say beside the tables, a line each."""
    for note in notes:
        console.print(Text(escape(f"note: {note}")))


def _type(tensor: TensorEntry) -> str:
    if tensor.fault is not None:
        return f"{tensor.type} (at fault)"
    return tensor.type if tensor.readable else f"{tensor.type} (not read)"


def print_stats(path: str, found: Sequence[TensorStats], notes: Sequence[str] = ()) -> None:
    """What was found in each tensor, in one line whether all of it is sound, and notes."""
    console = _console()
    table = _table("tensor", "type", "shape", ">min", ">max", ">mean", ">rms", ">zeros", "found")
    for stats in found:
        table.add_row(
            _text(stats.name),
            stats.type,
            " x ".join(map(str, stats.shape)),
            *(_number(n) for n in (stats.smallest, stats.largest, stats.mean, stats.rms)),
            f"{stats.zeros / stats.weights:.1%}" if stats.weights else "",
            Text(_found(stats), style="green" if stats.is_sound else "bold red"),
        )
    console.print(table)
    faults = sum(not stats.is_sound for stats in found)
    weights = sum(stats.weights for stats in found)
    verdict = f"{faults} of them at fault" if faults else "all of them sound"
    line = f"{path}: {weights:,} weights of {len(found)} tensors read, {verdict}"
    print_notes(console, notes)
    console.print(Text(escape(line), style="bold red" if faults else "bold green"))


def _found(stats: TensorStats) -> str:
    if stats.fault is not None:
        return escape(stats.fault)
    if stats.is_sound:
        return "sound"
    found = []
    if stats.bad_scales:
        found.append(f"{stats.bad_scales:,} groups with a NaN or infinite scale or min")
    if stats.bad_weights:
        found.append(f"{stats.bad_weights:,} NaN or infinite weights")
    return ", ".join(found)


def _console() -> Console:
    """Standard output: as wide as the terminal, or where there is none as tables like to be."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDE)


def _table(*columns: str) -> Table:
    """A table of these columns; a name with a > before it is of numbers."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        is_number = column.startswith(">")
        table.add_column(
            column.removeprefix(">"),
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
        )
    return table


def _text(text: str) -> Text:
    """A text out of a file: neither markup nor codes that steer the terminal."""
    return Text(escape(text))


def _key_type(entry: KeyEntry) -> str:
    return entry.type if entry.length is None else f"{entry.type}[{entry.length:,}]"


def _value(entry: KeyEntry) -> str:
    if isinstance(entry.value, list):
        text = ", ".join(map(repr, entry.value))
        if entry.length is not None and entry.length > len(entry.value):
            return f"{_cut(text)} ..."
        return _cut(text)
    return _cut(str(entry.value))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


def _count(shape: list[int]) -> int:
    from qkernels.tools.inspect import count

    return count(shape)


def _bits(nbytes: int | None, weights: int) -> str:
    return "" if nbytes is None or weights == 0 else f"{8 * nbytes / weights:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
