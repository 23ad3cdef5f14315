"""What the commands share: options, errors in one line, JSON, and texts that are safe to show."""

from __future__ import annotations

import json as jsons
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from qkernels._base.text import escape

INTERRUPTED = 130
# What a command may meet: files, values, memory, packages and models that are missing.
EXPECTED = (OSError, ValueError, TypeError, LookupError, MemoryError, ImportError, RuntimeError)

Threads = Annotated[int | None, typer.Option(min=1, max=256, help="By default all the processors.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON.")]


@contextmanager
def errors(command: str) -> Iterator[None]:
    """One line and exit code 1 for what can go wrong, 130 after Ctrl-C; a line for each warning."""

    def show(message: Warning | str, *details: object, **more: object) -> None:
        typer.echo(f"qkernels {command}: warning: {escape(str(message))}", err=True)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = show
            yield
    except BrokenPipeError:
        raise  # typer ends quietly where nobody reads on
    except EXPECTED as error:
        # A KeyError's text is its message in quotes.
        is_plain = isinstance(error, KeyError) and bool(error.args)
        text = error.args[0] if is_plain else str(error) or type(error).__name__
        typer.echo(f"qkernels {command}: {escape(str(text))}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(err=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def use_threads(threads: int | None) -> Iterator[None]:
    """Compute on so many threads within a `with` block; None leaves the default."""
    import qkernels as qk

    if threads is None:
        yield
        return
    with qk.num_threads(threads):
        yield


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
