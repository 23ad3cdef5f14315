"""Packing many matrices at once, with a progress bar where that takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qkernels.weights.packed import PackedTensor
    from qkernels.weights.qtensor import QTensor

# Seconds before a bar appears: what is done sooner needs none.
PATIENCE = 0.5


def pack_all(
    matrices: Mapping[str, QTensor], threads: int | None = None
) -> dict[str, PackedTensor]:
    """Pack every one of some matrices, one after the other, each on all threads.

    Raises:
        MemoryError: the copies do not fit.
    """
    packed: dict[str, PackedTensor] = {}
    with _progress(sum(weights.nbytes for weights in matrices.values())) as advance:
        for name, weights in matrices.items():
            packed[name] = weights.pack(threads=threads)
            advance(weights.nbytes)
    return packed


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], object]]:
    """Yield what is told of bytes that are done, and shows them once PATIENCE is over.

    A bar goes to standard error, and only where that is a terminal.
    """
    # sys.stderr is None in a program without a console.
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done: None
        return
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        """A bar without the thread that tqdm keeps for bars that nobody advances."""

        monitor_interval = 0

    with Bar(
        total=total,
        desc="packing",
        unit="B",
        unit_scale=True,
        delay=PATIENCE,
        leave=False,
        file=sys.stderr,
    ) as bar:
        yield bar.update
