"""The command `qkernels stream`: one streaming kernel, or a sweep over all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qkernels._base.progress import progress
from qkernels._measure import MIN_ROUNDS
from qkernels.cli.common import errors, to_json
from qkernels.cli.options import refuse_idle

if TYPE_CHECKING:
    from rich.table import Table

    from qkernels.stream.measure import Problem, Run
    from qkernels.stream.sweep import Grid, Sweep

EXAMPLE = (
    "Example: qkernels stream --kernel dotprod4i --n 1024 --k 1024 --iters 64 --prefetch 2 --check"
)


def stream(
    ctx: typer.Context,
    kernel: Annotated[
        str, typer.Option(help="scalar, dotprod, dotprod4, dotprod4i or dotprod16i.")
    ] = "dotprod4i",
    n: Annotated[int, typer.Option(min=1, help="Rows of the matrix.")] = 1024,
    k: Annotated[int, typer.Option(min=1, help="Depth of the matrix, at most 131071.")] = 1024,
    iters: Annotated[int, typer.Option(min=1, help="Products to time.")] = 64,
    prefetch: Annotated[
        int, typer.Option(min=0, max=65536, help="Distance in blocks of 16 bytes; 0 for none.")
    ] = 2,
    check: Annotated[
        bool, typer.Option("--check", help="Count mismatches against scalar; 1 if there are any.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(help="n x k int8, row by row, or such an .npy; by default random ones."),
    ] = None,
    cold: Annotated[
        bool, typer.Option("--cold/--warm", help="Weights from memory, or one copy of them.")
    ] = False,
    huge_pages: Annotated[
        bool, typer.Option("--huge-pages", help="Weights in pages of 2 MiB, not 4 KiB.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random weights and x.")] = 0,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Every kernel at every distance, cold and warm; checks too."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Where --sweep draws its heat map: a .png, .svg or .pdf; by default"
            " stream-sweep.png, where matplotlib is installed."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=MIN_ROUNDS, help="Samples of each in a sweep.")] = (
        MIN_ROUNDS
    ),
    json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Time exact int8 products, by a kernel, a layout and a prefetch distance of choice.

    One thread multiplies an int8 matrix by an int8 vector into int32. GB/s are
    of weights, with their padding; GOP/s count multiplications and additions.
    QKERNELS_ISA chooses among the instruction sets of this CPU. Ends with 1 after
    a mismatch or an error, and with 130 after Ctrl-C. See docs/stream.md.
    """
    from qkernels.stream import measure

    if sweep:
        refuse_idle(
            ctx, ("kernel", "iters", "prefetch", "check", "cold"), "with --sweep, which tries all"
        )
    else:
        refuse_idle(ctx, ("plot", "rounds"), "without --sweep")
    with errors("stream"):
        loaded = None if weights is None else measure.read_weights(weights, n, k)
        problem = measure.random_problem(n, k, seed, loaded)
        if sweep:
            mismatches = _sweep(problem, rounds, huge_pages, plot, json)
        else:
            with progress("Multiplying") as (expect, advance):
                expect(iters)
                found = measure.run(
                    problem,
                    kernel,
                    prefetch,
                    iters,
                    cold=cold,
                    huge_pages=huge_pages,
                    check=check,
                    advance=advance,
                )
            mismatches = found.mismatches or 0
            if json:
                typer.echo(to_json(found.to_dict()))
            else:
                _print_run(found)
    if mismatches:
        raise typer.Exit(1)


def _print_run(found: Run) -> None:
    temperature = "cold" if found.cold else "warm"
    typer.echo(
        f"{found.kernel} ({found.isa}), {found.n}x{found.k} int8, {temperature},"
        f" prefetch {found.prefetch}, {found.iterations} iterations"
    )
    lines = [
        ("elapsed", f"{found.seconds * 1e3:.3f} ms"),
        ("per iteration", f"{found.per_iteration * 1e6:.2f} us"),
        ("read", f"{found.gigabytes:.2f} GB/s"),
        ("arithmetic", f"{found.gigaops:.2f} GOP/s"),
        ("checksum", str(found.checksum)),
    ]
    if found.mismatches is not None:
        lines.append(("mismatches", f"{found.mismatches} of {found.n} against scalar"))
    for name, value in lines:
        typer.echo(f"  {name:<14} {value}")


def _sweep(problem: Problem, rounds: int, huge_pages: bool, path: Path | None, json: bool) -> int:
    """Sweep, draw and print; the mismatches found."""
    from qkernels.stream import plot
    from qkernels.stream.sweep import sweep

    path = plot.target(path)
    with progress("Sweeping") as (expect, advance):
        found = sweep(problem, rounds=rounds, huge_pages=huge_pages, expect=expect, advance=advance)
    if path is not None:
        plot.save(found, path)
    if json:
        typer.echo(to_json(found.to_dict()))
    else:
        _print_sweep(found, path)
    return found.mismatches


def _print_sweep(found: Sweep, path: Path | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for temperature, grid in found.grids.items():
        console.print(_table(temperature, grid))
    for temperature, grid in found.grids.items():
        console.print(f"[bold]best {temperature}[/bold]: {grid.verdict()}.", soft_wrap=True)
    machine = found.machine
    steal = "not counted here" if found.steal is None else f"{found.steal:.1%}"
    busy = "" if found.load is None else f", load {found.load:.1f}"
    console.print(
        f"{machine['cpu']}, {machine['isa']}; {found.n}x{found.k} int8"
        f"{' in huge pages' if found.huge_pages else ''}, one thread,"
        f" {found.rounds} rounds; last-level cache {found.cache_bytes / 2**20:.0f} MiB;"
        f" steal {steal}{busy}",
        soft_wrap=True,
    )
    drawn = f"heat map in {path}" if path else "no heat map, which needs matplotlib"
    console.print(f"{found.mismatches} mismatches against scalar; {drawn}", soft_wrap=True)


def _table(temperature: str, grid: Grid) -> Table:
    """GB/s, a row a kernel; the best in bold."""
    from rich.table import Table

    from qkernels.stream.sweep import Point

    title = f"GB/s, {temperature} weights; reading alone {grid.roof:.1f}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("prefetch")
    distances = dict.fromkeys(point.prefetch for point in grid.timings)
    for distance in distances:
        table.add_column(str(distance), justify="right", no_wrap=True)
    for kernel in dict.fromkeys(point.kernel for point in grid.timings):
        cells = [
            f"[bold green]{speed}[/bold green]" if point == grid.best else speed
            for point in (Point(kernel, distance) for distance in distances)
            for speed in (f"{grid.gigabytes(point):.1f}",)
        ]
        table.add_row(kernel, *cells)
    return table
