"""The command that trains gates: `qkernels gate-train`."""

from __future__ import annotations

import json as jsons
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

import qkernels as qk
from qkernels.cli_llama import Json, Threads, _errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qkernels.gates import GatePath, GateResult
    from qkernels.gates.result import Step

_NPY = b"\x93NUMPY"
# No gate moved by more than this: the steps were too small, or too few.
_MOVED = 1e-3


def gate_train(
    n: Annotated[
        int | None, typer.Option(min=1, help="Rows of random weights; 256 by default.")
    ] = None,
    k: Annotated[int | None, typer.Option(min=1, help="Their columns; 1024 by default.")] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="Inputs: so many random ones, by default 4; or the first of them."
        ),
    ] = None,
    block_k: Annotated[int, typer.Option(help="Columns that share a gate.")] = 32,
    steps: Annotated[int, typer.Option(help="Steps of descent.")] = 50,
    lr: Annotated[
        str, typer.Option(help="The size of a step; auto takes what never overshoots.")
    ] = "1e-5",
    l1: Annotated[float, typer.Option("--lambda", help="The price of a gate.")] = 1e-3,
    threshold: Annotated[float, typer.Option(help="Gates below it are dropped.")] = 0.5,
    weights: Annotated[
        Path | None, typer.Option(help="A GGUF file, or .npy of shape (n, k).")
    ] = None,
    tensor: Annotated[str | None, typer.Option(help="The tensor of the GGUF file.")] = None,
    activations: Annotated[
        Path | None, typer.Option(help="Inputs, .npy of shape (samples, k).")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="Inputs: what the tensor meets when its model reads this. Repeatable."),
    ] = None,
    rule: Annotated[str, typer.Option(help="projected, or proximal (with momentum).")] = (
        "projected"
    ),
    normalize: Annotated[
        bool,
        typer.Option("--normalize/--raw", help="Scale the inputs to outputs of norm 1, or not."),
    ] = True,
    row_group: Annotated[
        int | None, typer.Option(help="Rows that share gates; by default all of them.")
    ] = None,
    lambda_path: Annotated[
        str | None, typer.Option(help="Train for each of these prices: 1e-4,1e-3,1e-2.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of random weights and inputs.")] = 0,
    save: Annotated[Path | None, typer.Option(help="Write the gates, as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the result: .png, .svg or .pdf.")] = None,
    progress: Annotated[
        bool, typer.Option("--progress", help="A progress bar instead of a line a step.")
    ] = False,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train gates that drop blocks of a matrix's columns, and say what that costs.

    Each step prints the loss, the mean gate, and how many blocks are active. With
    --lambda-path there is a line a price instead.

    Example: qkernels gate-train --weights model.gguf --tensor blk.0.ffn_down.weight
    --prompt "The capital of France is" --lr auto --steps 200
    """
    from qkernels.bench.plot import check as check_plot
    from qkernels.gates.files import replacing

    if lambda_path is not None and save is not None:
        raise typer.BadParameter("--save takes one result, --lambda-path makes several")
    source = _Source(n, k, samples, weights, tensor, activations, prompt or [], seed)
    source.check()
    with _errors("gate-train"), source.open() as (w, x):
        if plot is not None:
            check_plot()
        options: dict[str, Any] = {
            "block_k": block_k, "steps": steps, "lr": lr if lr == "auto" else _number(lr, "--lr"),
            "threshold": threshold, "rule": rule, "normalize": normalize,
            "row_group": row_group, "threads": threads,
        }  # fmt: skip
        found: GateResult | GatePath
        if lambda_path is not None:
            prices = [_number(part, "--lambda-path") for part in lambda_path.split(",")]
            found = qk.gates.path(w, x, prices, **options)
        else:
            with _told(steps, progress, json) as tell:
                found = qk.gates.train(w, x, l1=l1, on_step=tell, **options)
        if save is not None and isinstance(found, qk.gates.GateResult):
            found.save(save)
        if plot is not None:
            with replacing(plot) as unfinished:
                found.plot().savefig(unfinished, dpi=150)
        _report(found, json)


@dataclass(frozen=True)
class _Source:
    """Where weights and inputs come from."""

    n: int | None
    k: int | None
    samples: int | None
    weights: Path | None
    tensor: str | None
    activations: Path | None
    prompts: list[str]
    seed: int

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            typer.BadParameter: they do.
        """
        if self.weights is not None and (self.n is not None or self.k is not None):
            raise typer.BadParameter("--n and --k are for random weights, not for --weights")
        if self.tensor is not None and self.weights is None:
            raise typer.BadParameter("--tensor is of a file: give --weights FILE too")
        if self.prompts and self.tensor is None:
            raise typer.BadParameter("--prompt needs a model: --weights FILE --tensor NAME")
        if self.prompts and self.activations is not None:
            raise typer.BadParameter("--prompt and --activations both say what the inputs are")

    @contextmanager
    def open(self) -> Iterator[tuple[qk.QTensor | NDArray[Any], NDArray[Any]]]:
        """Weights, which may be views of a file that is open meanwhile, and inputs."""
        rng = np.random.default_rng(self.seed)
        if self.weights is None:
            n, k = self.n or 256, self.k or 1024
            dense = rng.standard_normal((n, k), np.float32) / np.float32(np.sqrt(k))
            yield dense, self._inputs(rng, k, None)
        elif _is_npy(self.weights):
            if self.tensor is not None:
                raise ValueError(f"{self.weights} is an array, which has no tensor {self.tensor!r}")
            array = _load(self.weights)
            yield array, self._inputs(rng, array.shape[-1] if array.ndim else 0, None)
        else:
            if self.tensor is None:
                raise ValueError(f"which tensor of {self.weights}? give --tensor NAME")
            with qk.load_gguf(self.weights) as file:
                found = _matrix(file, self.tensor)
                yield found, self._inputs(rng, int(found.shape[-1]), file)

    def _inputs(self, rng: np.random.Generator, k: int, file: qk.GGUFFile | None) -> NDArray[Any]:
        if self.activations is not None:
            array = _load(self.activations)
            return array if self.samples is None or array.ndim < 2 else array[: self.samples]
        if self.prompts and file is not None and self.tensor is not None:
            captured = qk.gates.capture(file, self.prompts, self.tensor)[self.tensor]
            return captured[: self.samples]
        return rng.standard_normal((self.samples or 4, k), np.float32)


def _load(path: Path) -> NDArray[Any]:
    """An array that is mapped, so that no more is read than the file has.

    Raises:
        OSError: there is no such file.
        ValueError: it is no .npy file, or holds objects.
    """
    if not _is_npy(path):
        raise ValueError(f"{path} is no .npy file")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from None
    return array


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_NPY)) == _NPY


def _matrix(file: qk.GGUFFile, name: str) -> qk.QTensor | NDArray[Any]:
    """A matrix of a file.

    Raises:
        ValueError: there is no such tensor, or it is none.
    """
    try:
        found = file.unpacked(name)
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    if len(found.shape) != 2:
        raise ValueError(f"{name} has shape {tuple(found.shape)}; gates take a matrix (n, k)")
    return found


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{option}: {text!r} is not a number") from None


@contextmanager
def _told(steps: int, progress: bool, json: bool) -> Iterator[Callable[[Step], object] | None]:
    """What is called after each step: it prints a line, or moves a bar."""
    if json and not progress:
        yield None
        return
    if not progress:
        yield lambda step: typer.echo(
            f"step {step.number:>4}  loss {step.loss:.6g}  mean gate {step.mean_gate:.6f}"
            f"  active {step.active}"
        )
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("Training gates", total=steps)
        yield lambda step: shown.update(task, completed=step.number)


def _report(found: GateResult | GatePath, json: bool) -> None:
    from qkernels.gates import GateResult

    if isinstance(found, GateResult):
        if json:
            typer.echo(jsons.dumps({**found.to_dict(), **_outcome(found)}, indent=2))
            return
        typer.echo(
            f"active blocks {found.active} of {found.gates.size},"
            f" mean squared error {found.mse:.6g}, relative error {found.relative_error:.6g}"
        )
        if len(found.history) and found.gates.min() > 1 - _MOVED:
            typer.echo(
                f"no gate moved by {_MOVED:g}: {len(found.history)} steps of {found.lr:g} are"
                " too small for this matrix; --lr auto chooses their size",
                err=True,
            )
    elif json:
        results = [{**result.to_dict(), **_outcome(result)} for result in found]
        typer.echo(jsons.dumps({"path": results}, indent=2))
    else:
        typer.echo(f"{'lambda':>10}  {'active':>11}  {'mean squared error':>18}  relative error")
        for result in found:
            active = f"{result.active} of {result.gates.size}"
            typer.echo(
                f"{result.l1:>10g}  {active:>11}  {result.mse:>18.6g}  {result.relative_error:.6g}"
            )


def _outcome(found: GateResult) -> dict[str, Any]:
    """What can be computed from a result, for those who read its JSON."""
    return {"active": found.active, "blocks": found.gates.size, "mask": found.mask.tolist()}
