"""The demo from start to end: find a model, measure it, let it speak."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import qkernels as qk
from qkernels._base.progress import progress
from qkernels._base.text import escape
from qkernels._measure import machine
from qkernels.demo import measure, show
from qkernels.demo.report import MemoryBytes, OpenSeconds, Report, TokenSeconds
from qkernels.llama import Model, models

if TYPE_CHECKING:
    from rich.console import Console

PROMPT = "The capital of France is"
ANSWER = "Paris"
MAX_TOKENS = 24
# Above this the dense float32 matrices are not all kept, so torch is not timed.
DENSE_LIMIT = 2 << 30


def run(path: Path | None, *, require_model: bool, console: Console) -> Report:
    """Run the demo on a GGUF Llama, printing to `console` as results come.

    Args:
        path: the file; None looks for one, see `models.find_model`.
        require_model: fail instead of making a random model, and where the answer is not Paris.
        console: where everything is printed.

    Raises:
        ModelUnavailable: no model could be found or fetched, and one is required.
        NotImplementedError: the `gguf` package cannot decode a format of the file.
        OSError: the file does not exist or cannot be read.
        ValueError: the file is not a Llama that the demo can run, or the answer is wrong.
    """
    show.machine(console, qk.info())
    with contextlib.ExitStack() as stack:
        found, random = stack.enter_context(_model(path, require_model, console))
        file = stack.enter_context(qk.load_gguf(found))
        # What is wrong with a file shows here, before the long part.
        model = stack.enter_context(Model(found))
        report = _measure(found, file, random, console)
        show.comparison(console, report)
        show.errors(console, report.model.matrices, report.worst_errors)
        report.prompt = PROMPT
        report.continuation = _speak(model, console)
        report.tokens_per_second = model.stats.tokens_per_second
        show.speed(console, report.tokens_per_second)
    if random:
        console.print("The weights are random, so the continuation is gibberish.")
    if require_model and ANSWER not in report.continuation:
        raise ValueError(f"the continuation {report.continuation!r} does not say {ANSWER}")
    return report


@contextlib.contextmanager
def _model(path: Path | None, require_model: bool, console: Console) -> Iterator[tuple[Path, bool]]:
    """Yield the path of a model, and whether it is a random one made for this run."""
    try:
        found = models.find_model(path, console=console)
    except models.ModelUnavailable as error:
        if require_model:
            raise
        console.print(f"No model here, and {error}.", markup=False, highlight=False, soft_wrap=True)
    else:
        yield found, False
        return
    from qkernels.demo.random_model import random_llama

    console.print("Going on with a small random model.")
    with tempfile.TemporaryDirectory(prefix="qkernels-") as folder:
        yield random_llama(Path(folder) / "random-llama.gguf"), True


def _measure(path: Path, file: qk.GGUFFile, random: bool, console: Console) -> Report:
    """Everything but the text; one step after another, since they would disturb each other."""
    matrices = measure.matrices_of(file)
    vectors = measure.gaussian_vectors(matrices)
    model = measure.describe(path, matrices)
    show.model(console, model)

    load = (machine.load() or 0.0) / qk.info()["processors"]
    # No spinner beside short measurements: on two cores its thread would be measured too.
    opened = measure.open_seconds(path)
    # The first product maps the weights; nothing else may allocate in between.
    before = measure.resident_bytes()
    products = measure.token_seconds(matrices, vectors)
    after = measure.resident_bytes()
    resident = None if before is None or after is None else max(after - before, 0)
    with console.status("Opening the file with the gguf package's reader", refresh_per_second=4):
        reader = measure.reader_seconds(path)
    with_torch = importlib.util.find_spec("torch") is not None
    keep = with_torch and model.dense_bytes <= DENSE_LIMIT
    compared = _compare(matrices, vectors, model.weights, keep, console)
    torch_time = None
    if keep:
        with console.status("Importing torch"):
            importlib.import_module("torch")
        torch_time = measure.torch_seconds(compared.dense, vectors)
    return Report(
        machine=qk.info(),
        model=model,
        random=random,
        load=load,
        open_seconds=OpenSeconds(opened, reader),
        token_seconds=TokenSeconds(products, compared.seconds, torch_time),
        memory_bytes=MemoryBytes(resident, model.dense_bytes),
        worst_errors=compared.errors,
    )


def _compare(
    matrices: measure.Matrices,
    vectors: measure.Vectors,
    weights: int,
    keep: bool,
    console: Console,
) -> measure.Comparison:
    # Where weights are not finite the errors say so.
    with (
        progress("Comparing all matrices with float64", weights, console=console) as bar,
        np.errstate(all="ignore"),
    ):
        return measure.compare(matrices, vectors, keep=keep, advance=bar.advance)


def _speak(model: Model, console: Console) -> str:
    """Print the continuation of the prompt up to the end of its line, as it comes; return it."""
    console.print("\nGreedy continuation:")
    console.print(f"  {PROMPT}", end="")
    text = ""
    for piece in model.generate(PROMPT, MAX_TOKENS, stop=["\n"]):
        text += piece
        console.print(escape(piece), style="bold green", end="", markup=False, soft_wrap=True)
    console.print()
    return text
