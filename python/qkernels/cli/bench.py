"""The commands of `qkernels bench`. Everything that measures is imported when one of them runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import qkernels as qk
from qkernels._measure import MIN_ROUNDS
from qkernels.cli.common import errors
from qkernels.cli.options import App

if TYPE_CHECKING:
    from qkernels.bench.run import Plan, Task

BATCHES = (1, 4, 32, 128)

app = App(
    help="Measure products beside their peers and the memory's own speed (docs/bench.md).",
    no_args_is_help=True,
)

Formats = Annotated[
    list[str] | None,
    typer.Option("--format", "-f", help="A format's name; may be given several times."),
]
OneFormat = Annotated[str, typer.Option("--format", "-f", help="The format's name.")]
Rows = Annotated[int, typer.Option(min=1, help="Rows of the matrix.")]
Depth = Annotated[int, typer.Option(min=1, help="Depth of the matrix.")]
Acts = Annotated[
    list[str] | None,
    typer.Option(help="int16 (the default), float32 or int8; may be given several times."),
]
Threads = Annotated[
    list[int] | None,
    typer.Option(
        min=1, max=256, help="May be given several times; by default 1 and all the processors."
    ),
]
Rounds = Annotated[int, typer.Option(min=MIN_ROUNDS, help="Samples of each candidate.")]
Cold = Annotated[
    bool, typer.Option("--cold/--warm", help="Weights from memory, or from the cache if they fit.")
]
Huge = Annotated[
    bool,
    typer.Option("--huge-pages", help="Weights in pages of 2 MiB, where the system grants them."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="All results, with every sample, as JSON; tables to stderr."),
]
Plot = Annotated[Path | None, typer.Option(help="Draw the results into this file, such as a .png.")]


@app.command(epilog="Example: qkernels bench formats -f q4_0 -f q4_k --threads 1")
def formats(
    format: Formats = None,
    n: Rows = 2048,
    k: Depth = 2048,
    act: Acts = None,
    threads: Threads = None,
    rounds: Rounds = MIN_ROUNDS,
    cold: Cold = True,
    huge_pages: Huge = False,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Measure one shape in every format, or in those named."""
    tasks = [(fmt, fmt, n, k, 1) for fmt in format or qk.formats()]
    _run(tasks, act, threads, rounds, cold, huge_pages, json, plot)


@app.command(epilog="Example: qkernels bench shapes -f q4_k --json shapes.json")
def shapes(
    format: Formats = None,
    act: Acts = None,
    threads: Threads = None,
    rounds: Rounds = MIN_ROUNDS,
    cold: Cold = True,
    huge_pages: Huge = False,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Measure the matrices of two transformers, by default in q4_0."""
    from qkernels.bench.problem import TRANSFORMER_SHAPES

    chosen = format or ["q4_0"]
    tasks = [
        (_label(f"{name} {n}x{k}", fmt, chosen), fmt, n, k, 1)
        for name, n, k in TRANSFORMER_SHAPES
        for fmt in chosen
    ]
    _run(tasks, act, threads, rounds, cold, huge_pages, json, plot)


@app.command(epilog="Example: qkernels bench gemv --n 4096 --k 14336 -f q4_k --plot q4_k.png")
def gemv(
    format: OneFormat = "q4_k",
    n: Rows = 2048,
    k: Depth = 2048,
    act: Acts = None,
    threads: Threads = None,
    rounds: Rounds = MIN_ROUNDS,
    cold: Cold = True,
    huge_pages: Huge = False,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Measure one vector's product in one format and shape."""
    task = (f"{format} {n}x{k}", format, n, k, 1)
    _run([task], act, threads, rounds, cold, huge_pages, json, plot)


@app.command(epilog="Example: qkernels bench gemm -f q8_0 --act int8")
def gemm(
    format: Formats = None,
    n: Rows = 2048,
    k: Depth = 2048,
    m: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Vectors in x; several times; by default 1, 4, 32 and 128."),
    ] = None,
    act: Acts = None,
    threads: Threads = None,
    rounds: Rounds = MIN_ROUNDS,
    cold: Cold = True,
    huge_pages: Huge = False,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Measure batches, by default in q4_k: fused products against decoding and then multiplying."""
    tasks = [
        (f"{fmt} {n}x{k}, m={batch}", fmt, n, k, batch)
        for fmt in format or ["q4_k"]
        for batch in m or BATCHES
    ]
    _run(tasks, act, threads, rounds, cold, huge_pages, json, plot)


@app.command(epilog="Example: qkernels bench calls --busy 2")
def calls(
    busy: Annotated[
        int, typer.Option(min=0, max=256, help="Processes that spin beside the large products.")
    ] = 0,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="How long the large products are measured.")
    ] = 10.0,
    json: Json = False,
) -> None:
    """Measure what a call costs around its kernel, and among busy processes."""
    from rich.console import Console

    from qkernels._measure.machine import last_level_cache
    from qkernels.bench import show
    from qkernels.bench.calls import measure

    command = " ".join(["qkernels", *sys.argv[1:]])
    with errors("bench"):
        found = measure(last_level_cache(), busy=busy, seconds=seconds, command=command)
        show.calls(Console(stderr=json, highlight=False), found)
        _write(found.to_json(), json)


@app.command(epilog="Example: qkernels bench gates -f q4_0 --rounds 21")
def gates(
    format: Formats = None,
    n: Rows = 2048,
    k: Depth = 4096,
    block_k: Annotated[
        int | None,
        typer.Option(min=1, help="Columns of a gate; by default 32, or the format's block."),
    ] = None,
    dropped: Annotated[
        float, typer.Option(min=0, max=1, help="The share of blocks that is dropped, at random.")
    ] = 0.5,
    threads: Threads = None,
    rounds: Rounds = MIN_ROUNDS,
    cold: Cold = True,
    huge_pages: Huge = False,
    json: Json = False,
) -> None:
    """Measure products without the columns that gates drop, in every format or in those named."""
    from qkernels._measure.machine import last_level_cache
    from qkernels.bench import gates as measured

    command = " ".join(["qkernels", *sys.argv[1:]])
    shapes = [measured.Shape(fmt, n, k, block_k) for fmt in format or qk.formats()]
    plan = measured.Plan(
        tuple(dict.fromkeys(threads or (1, int(qk.info()["threads"])))), dropped, rounds, cold,
        last_level_cache(), huge_pages,
    )  # fmt: skip
    with errors("bench"):
        found = measured.run(shapes, plan, announce=_announce)
        typer.echo(measured.table(found), err=json)
        _write(measured.to_json(found, command), json)


@app.command(epilog="Example: qkernels bench llama smollm2")
def llama(
    model: Annotated[
        str, typer.Argument(help="A GGUF file, or smollm2, which is fetched once.")
    ] = "smollm2",
    tokens: Annotated[int, typer.Option(min=1, help="Tokens that a turn decodes.")] = 64,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens of the long prompt.")] = 512,
    act: Acts = None,
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=1, help="Samples of each candidate.")] = 7,
    starts: Annotated[int, typer.Option(min=0, help="Rounds of fresh processes.")] = 3,
    json: Json = False,
) -> None:
    """Measure a whole model beside llama.cpp: decode, prefill, and start to first token."""
    from rich.console import Console

    from qkernels.bench import show_llama
    from qkernels.bench.llama import Plan, run
    from qkernels.llama.models import find_model

    counts = tuple(dict.fromkeys(threads or (1, int(qk.info()["threads"]))))
    plan = Plan(counts, rounds, tokens, prompt, act or ("int16",), starts)
    command = " ".join(["qkernels", *sys.argv[1:]])
    with errors("bench"):
        path = find_model(None if model == "smollm2" else model)
        found = run(path, plan, command=command, announce=_announce)
        show_llama.report(Console(stderr=json, highlight=False), found)
        _write(found.to_json(), json)


def _label(shape: str, fmt: str, chosen: Sequence[str]) -> str:
    return shape if len(chosen) == 1 else f"{shape} {fmt}"


def _run(
    tasks: Sequence[tuple[str, str, int, int, int]],
    acts: Sequence[str] | None,
    threads: Sequence[int] | None,
    rounds: int,
    cold: bool,
    huge_pages: bool,
    json: bool,
    plot: Path | None,
) -> None:
    """Measure, print, and write what was asked for; one line and exit code 1 where that fails."""
    from qkernels.bench.run import Plan, Task

    counts = threads or (1, int(qk.info()["threads"]))
    plan = Plan(acts or ("int16",), tuple(dict.fromkeys(counts)), rounds, cold, huge_pages)
    with errors("bench"):
        _report([Task(*task) for task in tasks], plan, json, plot)


def _report(tasks: Sequence[Task], plan: Plan, json: bool, plot: Path | None) -> None:
    from rich.console import Console

    from qkernels.bench import plot as plots
    from qkernels.bench import show
    from qkernels.bench.run import run

    if plot is not None:
        plots.check()
    console = Console(stderr=json, highlight=False)
    command = " ".join(["qkernels", *sys.argv[1:]])
    report = run(tasks, plan, command=command, announce=_announce)
    show.report(console, report)
    _write(report.to_json(), json)
    if plot is not None:
        plots.save(report, plot)


def _announce(case: str) -> None:
    """Say on a terminal what is being measured."""
    from rich.console import Console

    progress = Console(stderr=True, highlight=False)
    if progress.is_terminal:
        progress.print(f"measuring {case}", style="dim", markup=False)


def _write(text: str, json: bool) -> None:
    """The results as JSON, where that is asked for."""
    if json:
        typer.echo(text)
