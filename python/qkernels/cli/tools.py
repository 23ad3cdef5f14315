"""The commands that look into a file: `qkernels inspect`, `verify` and `extract`."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qkernels import _core
from qkernels._base.progress import progress
from qkernels.cli.common import Json, Threads, errors, to_json, use_threads

if TYPE_CHECKING:
    from qkernels.tools.extract import Extracted

File = Annotated[Path, typer.Argument(metavar="FILE", help="A GGUF file.")]
Match = Annotated[
    str | None,
    typer.Option("--tensor", help='Only this tensor, or those of a pattern such as "blk.0.*".'),
]

INSPECT_EXAMPLE = "Example: qkernels inspect model.gguf --tensor 'blk.0.*'"
VERIFY_EXAMPLE = "Example: qkernels verify model.gguf --json > report.json"


def _integers() -> str:
    """What the integers of the formats are: those that have the same, and what they are."""
    formats: dict[str, list[str]] = {}
    for fmt in _core.formats():
        integers = _core.format_info(fmt).integers
        if integers is not None:
            formats.setdefault(integers, []).append(fmt)
    return " ".join(f"{', '.join(names)}: {text}." for text, names in formats.items())


EXTRACT_EXAMPLE = (
    "Example: qkernels extract model.gguf --tensor blk.0.attn_q.weight --rows 0:64"
    " --out q.npz --with-scales"
)


def inspect(
    file: File,
    tensor: Match = None,
    whole: Annotated[
        bool, typer.Option("--all", help="Metadata arrays in full, not their first elements.")
    ] = False,
    json: Json = False,
) -> None:
    """Show a file's metadata and its tensors: types, shapes, bytes.

    Reads the head of the file alone. Ends with 0, with 1 and one line about what
    is wrong, or with 130 after Ctrl-C.
    """
    from qkernels.files.gguf import GGUFFile
    from qkernels.tools.inspect import inspect as describe

    with errors("inspect"), GGUFFile(file) as opened:
        report = describe(opened, tensor, whole=whole)
        if json:
            found = asdict(report) | {"totals": [asdict(total) for total in report.totals()]}
            typer.echo(to_json(found))
        else:
            from qkernels.cli.tables import print_report

            print_report(report)


def verify(file: File, tensor: Match = None, threads: Threads = None, json: Json = False) -> None:
    """Read every block of a file; report NaN or infinite scales, and statistics.

    A scale that is NaN or infinite spoils every product with its row. Notes say
    what ggml and llama.cpp would refuse, and which parts of a model are missing.
    Ends with 0 where all that was read is finite, with 1 where it is not, where a
    tensor cannot be read or the file is at fault, and with 130 after Ctrl-C.
    """
    import qkernels as qk
    from qkernels.files.ggml_rules import notes_on
    from qkernels.tools.inspect import chosen_names
    from qkernels.tools.verify import verify as read

    with errors("verify"), qk.load_gguf(file) as opened, use_threads(threads):
        core = opened._source.opened()
        names = chosen_names(opened, tensor)
        entries = [core.tensor(core.find_tensor(name)) for name in names]
        total = sum(math.prod(entry.shape) for entry in entries if entry.fault is None)
        with progress("Reading weights") as (expect, advance):
            expect(total)
            found = list(read(opened, names, advance))
        faults = [stats for stats in found if not stats.is_sound]
        notes = notes_on(opened)
        if json:
            report = {"path": str(file), "sound": not faults, "notes": notes}
            typer.echo(to_json(report | {"tensors": list(map(asdict, found))}))
        else:
            from qkernels.cli.tables import print_stats

            print_stats(str(file), found, notes)
    if faults:
        raise typer.Exit(1)


def extract(
    file: File,
    tensor: Annotated[str, typer.Option(help="The tensor's name.")],
    out: Annotated[Path, typer.Option(help="A .bin, .npy or .npz file; replaced if it is there.")],
    rows: Annotated[
        str | None, typer.Option(metavar="A:B|N", help="Rows A to B - 1, or the first N.")
    ] = None,
    cols: Annotated[int | None, typer.Option(metavar="N", help="The first N columns.")] = None,
    expert: Annotated[int | None, typer.Option(help="Which matrix of a stack of experts.")] = None,
    with_scales: Annotated[
        bool, typer.Option("--with-scales", help="Scales and mins too, float32, one a group.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the signed integers of a tensor, without their scales, to a file.

    A .bin has rows x cols int8 and nothing else; .npy and .npz have a shape. With
    --with-scales, scales and mins go into the .npz, or into files beside OUT
    (q.npy, q.scales.npy, q.mins.npy): scale * integer + min is the weight, and a
    scale is for as many integers of a row as the command says.

    What the integers are, by format. {integers} Float tensors have none.

    Nothing is left of OUT unless all of it was written. Ends with 0, with 1 and
    one line about what is wrong, or with 130 after Ctrl-C.
    """
    import qkernels as qk
    from qkernels.tools.extract import extract as write

    with errors("extract"), qk.load_gguf(file) as opened:
        with progress("Extracting") as (expect, advance):
            found = write(
                opened,
                tensor,
                out,
                expert=expert,
                rows=rows,
                cols=cols,
                with_scales=with_scales,
                advance=advance,
                expect=expect,
            )
        if json:
            typer.echo(to_json(asdict(found)))
        else:
            typer.echo(_sentences(found))


extract.__doc__ = (extract.__doc__ or "").replace("{integers}", _integers())


def _sentences(found: Extracted) -> str:
    first, last = found.rows
    lines = [f"{found.tensor} ({found.fmt}), rows {first} to {last - 1}, {found.cols} columns"]
    for path, shape in found.files.items():
        lines.append(f"  {path}: {' x '.join(map(str, shape))}")
    if found.with_scales:
        lines.append(f"  a scale and a min for each {found.group} integers of a row")
    return "\n".join(lines)
