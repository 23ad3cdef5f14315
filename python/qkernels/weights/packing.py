"""Packing many matrices at once, with a progress bar where that takes long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qkernels._base.progress import progress

if TYPE_CHECKING:
    from qkernels.weights.packed import PackedTensor
    from qkernels.weights.qtensor import QTensor


def pack_all(
    matrices: Mapping[str, QTensor], threads: int | None = None
) -> dict[str, PackedTensor]:
    """Pack every one of some matrices, one after the other, each on all threads.

    Raises:
        MemoryError: the copies do not fit.
    """
    packed: dict[str, PackedTensor] = {}
    total = sum(weights.nbytes for weights in matrices.values())
    with progress("Packing", total, nbytes=True) as bar:
        for name, weights in matrices.items():
            packed[name] = weights.pack(threads=threads)
            bar.advance(weights.nbytes)
    return packed
