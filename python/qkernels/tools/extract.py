"""Integers of a tensor, written to a file: what `qkernels extract` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qkernels import _core
from qkernels.files.gguf import GGUFFile
from qkernels.files.unread import UnreadTensor
from qkernels.tools.extract_files import Part, paths_of, write_parts
from qkernels.weights.qtensor import QTensor
from qkernels.weights.raw_ints import raw_scales

NDArray = np.ndarray[Any, Any]

PIECE = 1 << 22  # weights that are unpacked at once


@dataclass(frozen=True)
class Extracted:
    """What was written, and how it is to be read."""

    tensor: str
    fmt: str
    rows: tuple[int, int]
    """[first, last + 1) of the tensor's rows."""
    cols: int
    group: int
    """Integers of a row that share a scale."""
    with_scales: bool
    files: dict[str, list[int]]
    """Each file with the shape of its array; of an .npz, with that of the integers."""


def extract(
    file: GGUFFile,
    name: str,
    out: Path,
    *,
    expert: int | None = None,
    rows: str | None = None,
    cols: int | None = None,
    with_scales: bool = False,
    advance: Callable[[int], object] = lambda done: None,
    expect: Callable[[int], object] = lambda total: None,
) -> Extracted:
    """Write the signed integers of a tensor's rows, int8 in C order.

    Args:
        file: an open file.
        name: the tensor's name.
        out: a `.bin` of bare elements, a `.npy`, or a `.npz` with the member `ints`.
        expert: which matrix of a stack of experts.
        rows: "A:B" for rows A to B - 1, or "N" for the first N; all of them by default.
        cols: the first columns, all by default.
        with_scales: write `scales` and `mins` too, float32, one for each group of a row: into
            files beside `out` (`w.npy`, `w.scales.npy`, `w.mins.npy`), or into the `.npz`.
        advance: told of bytes as they are written.
        expect: told of how many bytes there will be.

    Raises:
        KeyError: the file has no such tensor; the message has near names.
        TypeError: the tensor holds floats or plain integers, not quantised weights.
        ValueError: rows, columns, suffix or path; a stack without `expert`, or the other way round.
        IndexError: an expert outside the stack.
        OSError: a file cannot be written. Nothing is left of it.
    """
    matrix = _matrix(file, name, expert)
    first, last = parse_rows(rows, matrix.shape[0])
    k = matrix.shape[1]
    if cols is not None and not 1 <= cols <= k:
        raise ValueError(f"cols={cols} is outside 1..{k}, the columns of {name!r}")
    chosen = Selection(matrix[first:last], k if cols is None else cols)
    parts = chosen.parts(with_scales)
    for path in paths_of(out, parts):
        if _is_same(path, file.path):
            raise ValueError(f"{str(path)!r} is the file that is read")
    expect(sum(part.nbytes for part in parts))
    paths = write_parts(out, parts, advance)
    shapes = {str(path): list(part.shape) for path, part in zip(paths, parts, strict=False)}
    return Extracted(
        tensor=name,
        fmt=matrix.fmt,
        rows=(first, last),
        cols=chosen.cols,
        group=chosen.group,
        with_scales=with_scales,
        files=shapes,
    )


def parse_rows(text: str | None, n: int) -> tuple[int, int]:
    """(first, last + 1) of "A:B" or "N", of n rows; either side of the colon may be left out.

    Raises:
        ValueError: not of this form, no row at all, or rows past the last one.
    """
    if text is None:
        return 0, n
    match = re.fullmatch(r"(?:([0-9]*):)?([0-9]*)", text)
    if match is None or text == "":
        raise ValueError(f"rows={text!r} is neither A:B nor N, such as 16:32 or 8")
    first, last = int(match[1] or 0), int(match[2] or n)
    if last > n:
        raise ValueError(f"rows={text} ends past the last of {n} rows")
    if first >= last:
        raise ValueError(f"rows={text} chooses no row")
    return first, last


@dataclass(frozen=True)
class Selection:
    """The first columns of some rows."""

    weights: QTensor
    cols: int

    @property
    def group(self) -> int:
        """Integers of a row that share a scale."""
        return _core.integer_group(self.weights._weights)

    def parts(self, with_scales: bool) -> list[Part]:
        """The arrays to write."""
        n, width = self.weights.shape[0], -(-self.cols // self.group)
        parts = [Part("ints", (n, self.cols), np.dtype("i1"), self._ints)]
        if with_scales:
            for i, name in enumerate(("scales", "mins")):
                parts.append(Part(name, (n, width), np.dtype("<f4"), self._scales(i, width)))
        return parts

    def _pieces(self) -> Iterator[QTensor]:
        """A few rows at a time."""
        step = max(1, PIECE // self.weights.shape[1])
        for begin in range(0, len(self.weights), step):
            yield self.weights[begin : begin + step]

    def _ints(self) -> Iterator[NDArray]:
        for piece in self._pieces():
            yield np.asarray(piece.raw_ints())[:, : self.cols]

    def _scales(self, which: int, width: int) -> Callable[[], Iterator[NDArray]]:
        def pieces() -> Iterator[NDArray]:
            for piece in self._pieces():
                yield raw_scales(piece)[which][:, :width]

        return pieces


def _matrix(file: GGUFFile, name: str, expert: int | None) -> QTensor:
    """A matrix of quantised weights."""
    tensor = file.unpacked(name)
    if isinstance(tensor, UnreadTensor):
        raise ValueError(tensor.reason)
    if not isinstance(tensor, QTensor):
        raise TypeError(
            f"tensor {name!r} holds {tensor.dtype} of shape {tensor.shape}, not quantised weights"
        )
    _core.integer_group(tensor._weights)  # refuses floats
    if tensor.ndim == 1:
        tensor = tensor.reshape(1, -1)
    if tensor.ndim > 2:
        tensor = tensor.reshape(-1, *tensor.shape[-2:])
        if expert is None:
            raise ValueError(f"tensor {name!r} is a stack of {len(tensor)} experts; choose one")
        if not -len(tensor) <= expert < len(tensor):
            raise IndexError(f"expert {expert} is outside the {len(tensor)} of {name!r}")
        return tensor[expert]
    if expert is not None:
        raise ValueError(f"expert={expert}, and tensor {name!r} is a matrix of {tensor.shape}")
    return tensor


def _is_same(a: Path, b: Path) -> bool:
    return a.exists() and a.samefile(b)
