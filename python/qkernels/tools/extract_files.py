"""Arrays that are written into files piece by piece."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from qkernels._base.files import whole_files

NDArray = np.ndarray[Any, Any]

SUFFIXES = (".bin", ".npy", ".npz")


@dataclass(frozen=True)
class Part:
    """An array that is made a few rows at a time, as often as it is asked for."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Callable[[], Iterator[NDArray]]

    @property
    def nbytes(self) -> int:
        """The bytes of all its elements."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def paths_of(out: Path, parts: Sequence[Part]) -> list[Path]:
    """The files that parts go to: w.npy, w.scales.npy and so on, or one archive for all.

    Raises:
        ValueError: the suffix is none of `SUFFIXES`.
    """
    if out.suffix not in SUFFIXES:
        raise ValueError(f"out={str(out)!r} ends with none of {', '.join(SUFFIXES)}")
    if out.suffix == ".npz":
        return [out]
    return [out, *(out.with_suffix(f".{part.name}{out.suffix}") for part in parts[1:])]


def write_parts(out: Path, parts: Sequence[Part], advance: Callable[[int], object]) -> list[Path]:
    """Write arrays into the files that `out` names; the first one goes to `out` itself.

    Args:
        out: `.bin` for elements and nothing else, in C order and little-endian; `.npy`; or `.npz`
            with a member for each part.
        parts: the arrays.
        advance: told of bytes that are written.

    Returns:
        The files that were written.

    Raises:
        ValueError: the suffix, or a path that is taken by something else than a file.
        OSError: a file cannot be written. No file is left, and an earlier one is as it was.
    """
    paths = paths_of(out, parts)
    with whole_files(paths) as files:
        if out.suffix == ".npz":
            with zipfile.ZipFile(files[0], "w", zipfile.ZIP_STORED) as archive:
                for part in parts:
                    with archive.open(f"{part.name}.npy", "w", force_zip64=True) as member:
                        _write_npy(member, part, advance)
        else:
            write = _write_npy if out.suffix == ".npy" else _write_elements
            for part, file in zip(parts, files, strict=True):
                write(file, part, advance)
    return paths


def _write_npy(file: IO[bytes], part: Part, advance: Callable[[int], object]) -> None:
    description = np.lib.format.dtype_to_descr(part.dtype)
    head = {"descr": description, "fortran_order": False, "shape": part.shape}
    np.lib.format.write_array_header_1_0(file, head)
    _write_elements(file, part, advance)


def _write_elements(file: IO[bytes], part: Part, advance: Callable[[int], object]) -> None:
    for piece in part.pieces():
        file.write(np.ascontiguousarray(piece, part.dtype).data)
        advance(piece.size * part.dtype.itemsize)
