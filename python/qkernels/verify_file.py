"""Reading every block of a file, and saying what is in it: what `qkernels verify` does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from ._ops import dequantize
from .gguf_file import GGUFFile
from .raw_ints import raw_scales
from .tensor import QTensor
from .unread import UnreadTensor

NDArray = np.ndarray[Any, Any]

PIECE = 1 << 20  # weights that are decoded at once


@dataclass
class TensorStats:
    """What was found in one tensor. Statistics are of its finite weights."""

    name: str
    type: str
    shape: list[int]
    weights: int = 0
    """Weights that were read."""
    bad_scales: int = 0
    """Groups whose scale or min is NaN or infinite."""
    bad_weights: int = 0
    """Weights that are NaN or infinite."""
    zeros: int = 0
    smallest: float | None = None
    largest: float | None = None
    mean: float | None = None
    rms: float | None = None
    fault: str | None = None
    """Why the tensor could not be read."""

    @property
    def is_sound(self) -> bool:
        """Whether all of it was read, and all of it is finite."""
        return self.fault is None and not self.bad_scales and not self.bad_weights


class Sums:
    """What statistics are made of, gathered piece by piece in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.squares = 0.0
        self.smallest = math.inf
        self.largest = -math.inf

    def add(self, finite: NDArray) -> None:
        """Take in some weights, at least one."""
        wide = finite.astype(np.float64)
        self.count += wide.size
        with np.errstate(over="ignore"):  # of float64 tensors, whose squares may pass the largest
            self.total += float(wide.sum())
            self.squares += float(np.vdot(wide, wide))
        self.smallest = min(self.smallest, float(wide.min()))
        self.largest = max(self.largest, float(wide.max()))


def verify(
    file: GGUFFile, names: Iterable[str], advance: Callable[[int], object] = lambda done: None
) -> Iterator[TensorStats]:
    """Read tensors block by block, and say of each one what it holds.

    Args:
        file: an open file; its structure was checked when it was opened.
        names: the tensors.
        advance: told of weights as they are read.

    Raises:
        KeyError: a name that the file does not have.
    """
    core = file._source.opened()
    for name in names:
        entry = core.tensor(file._index(name))
        kind = entry.type_name or f"type {entry.type_id}"
        stats = TensorStats(name, kind, list(entry.shape))
        try:
            tensor = file.unpacked(name)
        except ValueError as error:
            stats.fault = str(error)
        else:
            if isinstance(tensor, UnreadTensor):
                stats.fault = tensor.reason
            else:
                _read(tensor, stats, advance)
        yield stats


def _read(tensor: QTensor | NDArray, stats: TensorStats, advance: Callable[[int], object]) -> None:
    sums = Sums()
    for weights, bad_scales in _pieces(tensor):
        finite = np.isfinite(weights)
        bad = weights.size - int(np.count_nonzero(finite))
        stats.weights += weights.size
        stats.bad_scales += bad_scales
        stats.bad_weights += bad
        stats.zeros += weights.size - int(np.count_nonzero(weights))
        if bad < weights.size:
            sums.add(weights[finite] if bad else weights)
        advance(weights.size)
    if sums.count:
        stats.smallest, stats.largest = sums.smallest, sums.largest
        stats.mean = sums.total / sums.count
        stats.rms = math.sqrt(sums.squares / sums.count)


def _pieces(tensor: QTensor | NDArray) -> Iterator[tuple[NDArray, int]]:
    """(weights, bad scales) of a few rows at a time."""
    if not isinstance(tensor, QTensor):
        flat = tensor.reshape(-1)
        for begin in range(0, flat.size, PIECE):
            yield flat[begin : begin + PIECE], 0
        return
    is_float = _core.format_info(tensor.fmt).is_float
    matrix = tensor.reshape(math.prod(tensor.shape[:-1]), tensor.shape[-1])
    step = max(1, PIECE // matrix.shape[1])
    for begin in range(0, len(matrix), step):
        rows = matrix[begin : begin + step]
        yield dequantize(rows), 0 if is_float else _bad_groups(rows)


def _bad_groups(rows: QTensor) -> int:
    """Groups whose scale or min is no finite number."""
    scales, mins = raw_scales(rows)
    finite = np.isfinite(scales) & np.isfinite(mins)
    return int(finite.size) - int(np.count_nonzero(finite))
