"""The `qkernels` command."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import qkernels as qk
from qkernels.cli import gates as cli_gates
from qkernels.cli import llama as cli_llama
from qkernels.cli import quantize as cli_quantize
from qkernels.cli import stream as cli_stream
from qkernels.cli import tools as cli_tools
from qkernels.cli.bench import app as bench_app
from qkernels.cli.common import Json, Threads, errors, to_json
from qkernels.cli.options import App

app = App(
    help="Multiply by quantised (GGUF) weights without inflating them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(bench_app, name="bench", epilog="Example: qkernels bench formats -f q4_k --cold")
app.command(epilog='Example: qkernels generate smollm2 "The capital of France is"')(
    cli_llama.generate
)
app.command(epilog="Example: qkernels perplexity smollm2 tests/data/alice.txt")(
    cli_llama.perplexity
)
app.command(epilog=cli_tools.INSPECT_EXAMPLE)(cli_tools.inspect)
app.command(epilog=cli_tools.VERIFY_EXAMPLE)(cli_tools.verify)
app.command(epilog=cli_tools.EXTRACT_EXAMPLE)(cli_tools.extract)
app.command(epilog=cli_quantize.EXAMPLE)(cli_quantize.quantize)
app.command(epilog=cli_stream.EXAMPLE)(cli_stream.stream)
app.command("gate-train", epilog=cli_gates.EXAMPLE)(cli_gates.gate_train)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qkernels {qk.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: qkernels info --json")
def info(
    json: Json = False,
) -> None:
    """Show the CPU, the kernels chosen for it, the threads and the formats."""
    facts = qk.info()
    if json:
        typer.echo(to_json(facts))
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        text = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        typer.echo(f"{key:<{width}}  {text}")


@app.command(epilog="Example: qkernels demo --json")
def demo(
    model: Annotated[
        Path | None,
        typer.Option(help="A GGUF Llama; by default QKERNELS_MODEL, the cache, or a download."),
    ] = None,
    require_model: Annotated[
        bool,
        typer.Option("--require-model", help="Fail without a real model, or if it is wrong."),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Results as JSON; progress to standard error.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Open a real model, check and time its products, and let it answer a question."""
    from rich.console import Console

    from qkernels.demo import run

    console = Console(stderr=json, highlight=False)
    with errors("demo"), qk.num_threads(threads or qk.info()["threads"]):
        report = run(model, require_model=require_model, console=console)
    if json:
        typer.echo(report.to_json())


def main() -> None:
    """Run the command; the console script `qkernels` calls this."""
    _prepare_streams()
    status: int | str | None = 0
    fault: OSError | None = None  # of the standard output: commands tell of their files themselves
    try:
        app()
    except SystemExit as end:
        status = end.code
    except OSError as error:
        fault = error
    try:
        sys.stdout.flush()
    except OSError as error:
        fault = fault or error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
    if fault is not None:
        print(f"qkernels: {fault}", file=sys.stderr)
        status = 1
    sys.exit(status)


def _prepare_streams() -> None:
    """Give a program that was started without standard streams some, and all characters a form."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
