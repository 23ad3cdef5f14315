"""The commands that look into a file: `qkernels inspect`, `verify` and `extract`."""

from __future__ import annotations

import json as jsons
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qkernels import _core

if TYPE_CHECKING:
    from qkernels.extract import Extracted

INTERRUPTED = 130
PATIENCE = 2.0  # seconds before a bar appears: what is done sooner needs none

File = Annotated[Path, typer.Argument(metavar="FILE", help="A GGUF file.")]
Match = Annotated[
    str | None,
    typer.Option("--tensor", help='Only this tensor, or those of a pattern such as "blk.0.*".'),
]
Threads = Annotated[int | None, typer.Option(min=1, max=256, help="By default all the processors.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON.")]

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
    from qkernels.gguf_file import GGUFFile
    from qkernels.inspect_file import inspect as describe

    with errors("inspect"), GGUFFile(file) as opened:
        report = describe(opened, tensor, whole=whole)
        if json:
            found = asdict(report) | {"totals": [asdict(total) for total in report.totals()]}
            typer.echo(to_json(found))
        else:
            from qkernels.cli_tables import print_report

            print_report(report)


def verify(file: File, tensor: Match = None, threads: Threads = None, json: Json = False) -> None:
    """Read every block of a file; report NaN or infinite scales, and statistics.

    A scale that is NaN or infinite spoils every product with its row. Notes say
    what ggml and llama.cpp would refuse, and which parts of a model are missing.
    Ends with 0 where all that was read is finite, with 1 where it is not, where a
    tensor cannot be read or the file is at fault, and with 130 after Ctrl-C.
    """
    import qkernels as qk
    from qkernels.ggml_rules import notes_on
    from qkernels.inspect_file import chosen_names
    from qkernels.verify_file import verify as read

    with errors("verify"), qk.load_gguf(file) as opened, _threads(threads):
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
            from qkernels.cli_tables import print_stats

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
    from qkernels.extract import extract as write

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


@contextmanager
def errors(command: str) -> Iterator[None]:
    """One line and exit code 1 for what can go wrong, 130 after Ctrl-C."""
    try:
        yield
    except BrokenPipeError:
        raise  # typer ends quietly where nobody reads on
    except (OSError, ValueError, TypeError, LookupError, MemoryError) as error:
        # A KeyError's text is its message in quotes.
        is_plain = isinstance(error, KeyError) and bool(error.args)
        text = error.args[0] if is_plain else str(error) or type(error).__name__
        typer.echo(f"qkernels {command}: {visible(str(text))}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(err=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def progress(
    what: str,
) -> Iterator[tuple[Callable[[int], object], Callable[[int], object]]]:
    """Yield what is told of the total, and of what is done. A bar shows once PATIENCE is over.

    It goes to standard error, and only where that is a terminal.
    """
    if not sys.stderr.isatty():
        yield (lambda total: None), (lambda done: None)
        return
    from rich.console import Console
    from rich.progress import Progress

    started = monotonic()
    bar = Progress(console=Console(stderr=True), transient=True, refresh_per_second=4)
    task = bar.add_task(what, total=None)

    def advance(done: int) -> None:
        bar.update(task, advance=done)
        if not bar.live.is_started and monotonic() - started >= PATIENCE:
            bar.start()

    try:
        yield (lambda total: bar.update(task, total=total)), advance
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    import qkernels as qk

    if threads is None:
        yield
        return
    with qk.num_threads(threads):
        yield


def visible(text: str) -> str:
    """A text with characters that steer a terminal, or that no encoding has, by their codes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def to_json(value: Any) -> str:
    """JSON of which every parser takes every number: NaN and infinities become their names."""
    return jsons.dumps(_finite(value), indent=2)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
