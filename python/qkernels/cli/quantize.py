"""The command `qkernels quantize`."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qkernels._base.progress import progress
from qkernels._base.text import escape
from qkernels.cli.common import Json, Threads, errors, to_json

if TYPE_CHECKING:
    from qkernels.tools.quantize import Quantized, Summary

EXAMPLE = "Example: qkernels quantize model-f16.gguf model-q4_k.gguf --type q4_k"


def quantize(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A GGUF file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    fmt: Annotated[str, typer.Option("--type", help="The format of the matrices, as q4_k.")],
    imatrix: Annotated[
        Path | None, typer.Option(help="An importance matrix of llama-imatrix, .gguf or .dat.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN=TYPE",
            help="Tensors that take another format, as 'output.*=q8_0'; may be repeated.",
        ),
    ] = None,
    pad: Annotated[
        bool, typer.Option("--pad", help="Fill up rows that do not fit; qkernels alone reads them.")
    ] = False,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Quantise the matrices of a model.

    Vectors, norms and the other small tensors stay as they are. The output matrix
    (or the embedding, where it is that too) takes q6_k. Rows that are no whole
    number of blocks take another format, which the summary names: q4_k becomes
    q5_0, q5_k q5_1, q6_k q8_0, iq4_xs iq4_nl, q2_k, q3_k and tq q4_0, and f16
    where k is no multiple of 32; or they are filled up, with --pad.

    A weight that its type cannot hold, a --keep that decides on no matrix, and an
    --imatrix of which nothing is used are errors.

    OUT appears when all of it is written; until then what was there stays. Ends
    with 0, with 1 and one line about what is wrong, with 2 for wrong usage, or
    with 130 after Ctrl-C.
    """
    import qkernels as qk
    from qkernels.files.imatrix import load_imatrix
    from qkernels.tools.quantize import quantize_file
    from qkernels.tools.quantize_types import check_format, parse_keep

    try:
        fmt = check_format(fmt)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--type") from None
    try:
        kept = tuple(map(parse_keep, keep or ()))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--keep") from None
    with errors("quantize"), qk.load_gguf(source) as file:
        importance = None if imatrix is None else load_imatrix(imatrix)
        with progress("Quantising") as (expect, advance):
            summary = quantize_file(
                file,
                out,
                fmt,
                keep=kept,
                imatrix=importance,
                pad=pad,
                threads=threads,
                expect=expect,
                advance=advance,
            )
        if json:
            typer.echo(to_json(summary.to_dict()))
        else:
            _print(summary)


def _print(summary: Summary) -> None:
    """Tensors by type, and in a line each what deserves a word."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(header_style="bold", box=None, pad_edge=False)
    shown.add_column("type")
    for column in ("tensors", "weights", "bytes before", "after", "error"):
        shown.add_column(column, justify="right", no_wrap=True)
    for total in summary.totals():
        shown.add_row(
            total.type,
            str(total.tensors),
            f"{total.weights:,}",
            f"{total.bytes_before:,}",
            f"{total.bytes_after:,}",
            "" if total.error is None else f"{total.error:.2%}",
        )
    console = Console(highlight=False)
    console.print(shown)
    for note in notes(summary):
        console.print(Text(note))
    ratio = summary.bytes_after / summary.bytes_before
    line = f"{summary.path}: {summary.bytes_before:,} bytes -> {summary.bytes_after:,}, {ratio:.0%}"
    console.print(Text(escape(line), style="bold green"))


def notes(summary: Summary) -> list[str]:
    """What the table does not say."""
    made = [tensor for tensor in summary.tensors if tensor.is_quantized]
    lines = []
    if not any(summary.type in (t.after, t.instead_of) for t in summary.tensors):
        lines.append(f"no tensor took {summary.type}")
    fallbacks = Counter((t.instead_of, t.after, t.shape[-1]) for t in made if t.instead_of)
    lines += [
        f"{count} of k={k}, which {wanted}'s blocks do not divide: {got}"
        for (wanted, got, k), count in fallbacks.items()
    ]
    if padded := sum(t.padded for t in made):
        lines.append(f"{padded} with rows filled up with zeros: only qkernels reads them")
    if again := sum(t.before not in ("f32", "f16", "bf16") for t in made):
        lines.append(f"{again} were quantised before; the error is what this time added")
    lines += [
        f"{t.name}: {t.vanished} of {math.prod(t.shape[:-1])} rows became zeros, as their weights"
        f" are too small for the scales of {t.after}"
        for t in made
        if t.vanished
    ]
    return lines + importance_notes(summary, made)


def importance_notes(summary: Summary, made: list[Quantized]) -> list[str]:
    """What of an importance matrix was used."""
    known = sum(t.importance for t in made)
    if not known:
        return []
    lines = []
    if known < len(made):
        lines.append(f"{len(made) - known} of {len(made)} are quantised without importance")
    if unused := summary.importance_entries - known:
        lines.append(
            f"{unused} of the matrix's {summary.importance_entries} entries are of no tensor that"
            " is quantised by importance"
        )
    return lines
