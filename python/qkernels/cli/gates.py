"""The command that trains gates: `qkernels gate-train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import qkernels as qk
from qkernels._base.progress import progress
from qkernels.cli.common import Json, Threads, errors, to_json
from qkernels.cli.gate_inputs import Source
from qkernels.cli.options import refuse_idle

if TYPE_CHECKING:
    from qkernels.gates import GatePath, GateResult
    from qkernels.gates.result import Step

EXAMPLE = (
    "Example: qkernels gate-train --weights model.gguf --tensor blk.0.ffn_down.weight"
    ' --prompt "The capital of France is" --lr auto --steps 200'
)
_PICTURES = (".png", ".svg", ".pdf")
# No gate moved by more than this: the steps were too small, or too few.
_MOVED = 1e-3


def gate_train(
    ctx: typer.Context,
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
    bar: Annotated[
        bool, typer.Option("--progress", help="A progress bar instead of a line a step.")
    ] = False,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train gates that drop blocks of a matrix's columns, and say what that costs.

    Each step prints the loss, the mean gate, and how many blocks are active. With
    --lambda-path there is a line a price instead.
    """
    from qkernels._base.files import replacing

    if lambda_path is not None and save is not None:
        raise typer.BadParameter("--save takes one result, --lambda-path makes several")
    source = Source(n, k, samples, weights, tensor, activations, prompt or [], seed)
    source.check()
    if lambda_path is not None:
        refuse_idle(ctx, ("l1", "bar"), "with --lambda-path, which has prices of its own")
    if not source.is_random:
        refuse_idle(ctx, ("seed",), "where weights and inputs are given")
    with errors("gate-train"):
        _check_targets(save, plot)
    with errors("gate-train"), source.open() as (w, x):
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
            with _each_step(steps, bar, json) as tell:
                found = qk.gates.train(w, x, l1=l1, on_step=tell, **options)
        if save is not None and isinstance(found, qk.gates.GateResult):
            found.save(save)
        if plot is not None:
            with replacing(plot) as unfinished:
                found.plot().savefig(unfinished, dpi=150)
        _report(found, json)
        if not json and steps > 0 and lr != "auto" and _at_rest(found):
            typer.echo(
                f"no gate moved by {_MOVED:g}: {steps} steps of {lr} are too small for this matrix;"
                " --lr auto chooses their size",
                err=True,
            )


def _check_targets(save: Path | None, plot: Path | None) -> None:
    """Find what cannot be written before anything is trained.

    Raises:
        OSError: no file can be there.
        ValueError: no such kind of picture, or nothing that draws it.
    """
    from qkernels._base.files import check_target
    from qkernels.bench.plot import check as check_plot

    for path in (save, plot):
        if path is not None:
            check_target(path)
    if plot is not None:
        check_plot()
        if plot.suffix not in _PICTURES:
            raise ValueError(f"--plot draws {', '.join(_PICTURES)}, and not {plot.name!r}")


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{option}: {text!r} is not a number") from None


@contextmanager
def _each_step(steps: int, bar: bool, json: bool) -> Iterator[Callable[[Step], object] | None]:
    """What is called after each step: it prints a line, or moves a bar."""
    if bar:
        with progress("Training gates", steps, patience=0) as shown:
            yield lambda step: shown.advance(1)
    elif json:
        yield None
    else:
        yield lambda step: typer.echo(
            f"step {step.number:>4}  loss {step.loss:.6g}  mean gate {step.mean_gate:.6f}"
            f"  active {step.active}"
        )


def _report(found: GateResult | GatePath, json: bool) -> None:
    from qkernels.gates import GateResult

    if isinstance(found, GateResult):
        if json:
            typer.echo(to_json({**found.to_dict(), **_outcome(found)}))
            return
        typer.echo(
            f"active blocks {found.active} of {found.gates.size},"
            f" mean squared error {found.mse:.6g}, relative error {found.relative_error:.6g}"
        )
    elif json:
        results = [{**result.to_dict(), **_outcome(result)} for result in found]
        typer.echo(to_json({"path": results}))
    else:
        typer.echo(f"{'lambda':>10}  {'active':>11}  {'mean squared error':>18}  relative error")
        for result in found:
            active = f"{result.active} of {result.gates.size}"
            typer.echo(
                f"{result.l1:>10g}  {active:>11}  {result.mse:>18.6g}  {result.relative_error:.6g}"
            )


def _at_rest(found: GateResult | GatePath) -> bool:
    """Whether no gate moved noticeably."""
    from qkernels.gates import GateResult

    results = [found] if isinstance(found, GateResult) else list(found)
    return all(result.gates.min() > 1 - _MOVED for result in results)


def _outcome(found: GateResult) -> dict[str, Any]:
    """What can be computed from a result, for those who read its JSON."""
    return {"active": found.active, "blocks": found.gates.size, "mask": found.mask.tolist()}
