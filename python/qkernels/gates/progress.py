"""A progress bar for loops that may take long."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

# Seconds before a bar appears: what is done sooner needs none.
PATIENCE = 2.0


def bar(items: Sequence[T], what: str) -> Iterable[T]:
    """The items, with a bar on standard error where that is a terminal and they take long."""
    # sys.stderr is None in a program without a console.
    if sys.stderr is None or not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    shown: Iterable[T] = tqdm(items, desc=what, delay=PATIENCE, leave=False, file=sys.stderr)
    return shown
