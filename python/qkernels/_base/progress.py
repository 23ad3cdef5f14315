"""The progress bar of everything that may take long: on a terminal's standard error, or nowhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn

T = TypeVar("T")

PATIENCE = 1.0  # seconds before a bar appears: what is done sooner needs none


class Bar(NamedTuple):
    """What is told of the work; both calls cost little, and nothing where there is no bar."""

    expect: Callable[[int], object]
    """How much there is to do."""
    advance: Callable[[int], object]
    """How much more is done."""


_NO_BAR = Bar(lambda total: None, lambda done: None)


@contextmanager
def progress(
    what: str,
    total: int | None = None,
    *,
    console: Console | None = None,
    nbytes: bool = False,
    patience: float = PATIENCE,
) -> Iterator[Bar]:
    """Show how far a `with` block has come; the bar is gone at its end.

    Without rich (the extra `cli`) there is no bar.

    Args:
        what: is being done.
        total: how much there is to do, where that is known.
        console: rich's, where it shows; standard error when None.
        nbytes: amounts are bytes.
        patience: seconds before it shows, at the next step.
    """
    # sys.stderr is None in a program without a console.
    is_shown = console.is_terminal if console else sys.stderr is not None and sys.stderr.isatty()
    if not is_shown:
        yield _NO_BAR
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ModuleNotFoundError:
        yield _NO_BAR
        return
    shown = Progress(
        *_columns(nbytes),
        console=console or Console(stderr=True),
        transient=True,
        refresh_per_second=4,
    )
    task = shown.add_task(what, total=total)
    begun = monotonic()

    def show_when_due() -> None:
        if not shown.live.is_started and monotonic() - begun >= patience:
            shown.start()

    def advance(done: int) -> None:
        shown.update(task, advance=done)
        show_when_due()

    try:
        show_when_due()
        yield Bar(lambda total: shown.update(task, total=total), advance)
    finally:
        if shown.live.is_started:
            shown.stop()


def bar(items: Sequence[T], what: str) -> Iterable[T]:
    """The items, with a bar beside the loop over them."""
    with progress(what, len(items)) as shown:
        for item in items:
            yield item
            shown.advance(1)


def _columns(nbytes: bool) -> tuple[ProgressColumn, ...]:
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn

    amount = DownloadColumn() if nbytes else TextColumn("{task.percentage:>3.0f}%")
    return TextColumn("{task.description}"), BarColumn(), amount, TimeElapsedColumn()
