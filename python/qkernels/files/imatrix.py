"""Importance matrices as llama.cpp's `llama-imatrix` writes them, in both of its forms.

GGUF    tensors NAME.in_sum2 (experts, k), sums of squared activations, and NAME.counts (experts,)
legacy  int32 entries | int32 length, name, int32 calls, int32 values, float32 ... | each entry
        int32 chunks, int32 length, data set                                       | may be missing
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qkernels.files.gguf import GGUFFile, load_gguf
from qkernels.weights.qtensor import QTensor

NDArray = np.ndarray[Any, Any]

SUMS, COUNTS = ".in_sum2", ".counts"
DATASETS, CHUNKS = "imatrix.datasets", "imatrix.chunk_count"


@dataclass
class Imatrix:
    """What the squared errors of a tensor's columns are multiplied by."""

    path: Path
    entries: dict[str, NDArray] = field(default_factory=dict)
    """By a tensor's name: float32, k values, or those of each expert in turn."""
    faults: dict[str, str] = field(default_factory=dict)
    """By a tensor's name: why there are no values. It matters to whom asks for them alone."""
    datasets: list[str] = field(default_factory=list)
    chunks: int = 0
    """How many pieces of text the activations are of; 0 where the file does not say."""

    def factors(self, name: str, shape: tuple[int, ...]) -> NDArray | None:
        """The importance of a tensor's columns, for `qkernels.quantize`; None where there is none.

        Returns:
            Shape (k,), or (experts, k).

        Raises:
            ValueError: as many values as fit neither, one that is negative or not finite, or an
                entry that could not be read.
        """
        if name in self.faults:
            raise ValueError(f"{self.path}: {self.faults[name]}")
        values = self.entries.get(name)
        if values is None:
            return None
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(
                f"{self.path}: entry {name!r} holds a value that is negative or not finite"
            )
        if values.size == shape[-1]:
            return values
        if len(shape) == 3 and values.size == shape[0] * shape[-1]:
            return values.reshape(shape[0], shape[-1])
        raise ValueError(
            f"{self.path}: entry {name!r} has {values.size} values; the tensor is"
            f" {' x '.join(map(str, shape))}"
        )


def load_imatrix(path: str | os.PathLike[str]) -> Imatrix:
    """Read an importance matrix of either form.

    What is wrong with one entry is said when its tensor asks for it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has neither form, ends too soon, or holds no entries.
    """
    path = Path(path)
    with path.open("rb") as file:
        is_gguf = file.read(4) == b"GGUF"
    imatrix = _read_gguf(path) if is_gguf else _read_legacy(path)
    if not imatrix.entries and not imatrix.faults:
        raise ValueError(f"{path} holds no importance matrix")
    return imatrix


def _read_gguf(path: Path) -> Imatrix:
    found = Imatrix(path)
    with load_gguf(path) as file:
        for name in file:
            if name.endswith(SUMS):
                entry = name.removesuffix(SUMS)
                try:
                    found.entries[entry] = _means(file, entry)
                except ValueError as error:
                    found.faults[entry] = str(error).removeprefix(f"{path}: ")
        datasets, chunks = file.metadata.get(DATASETS, []), file.metadata.get(CHUNKS, 0)
    if isinstance(datasets, list):
        found.datasets = [name for name in datasets if isinstance(name, str)]
    found.chunks = chunks if isinstance(chunks, int) else 0
    return found


def _means(file: GGUFFile, entry: str) -> NDArray:
    """Mean squares of one entry; ones for an expert that met no activations.

    Raises:
        ValueError: the tensors cannot be read, do not fit each other, or there is only one.
    """
    if entry + COUNTS not in file:
        raise ValueError(f"there is {entry + SUMS!r} and no {entry + COUNTS!r}")
    sums, counts = (_floats(file, entry + suffix) for suffix in (SUMS, COUNTS))
    counts = counts.reshape(-1, 1)
    if counts.size == 0 or sums.size % counts.size:
        raise ValueError(f"{entry!r} has {sums.size} sums and {counts.size} counts")
    sums = sums.reshape(counts.size, -1)
    with np.errstate(all="ignore"):
        means = np.where(counts > 0, sums / counts, np.float32(1))
    return np.asarray(means, np.float32).reshape(-1)


def _floats(file: GGUFFile, name: str) -> NDArray:
    tensor = file.unpacked(name)
    with np.errstate(over="ignore"):  # a float64 past float32 is infinite, and found when used
        dense = tensor.dequantize() if isinstance(tensor, QTensor) else tensor
        return np.asarray(dense, np.float32)


class _Legacy:
    """Reads what is asked for, and says where the file ended too soon."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw = path.read_bytes()
        self.at = 0

    def take(self, count: int, what: str) -> bytes:
        if not 0 <= count <= len(self.raw) - self.at:
            raise ValueError(
                f"{self.path} is no importance matrix: {what} of {count} bytes at byte {self.at}"
                f" of {len(self.raw)}"
            )
        self.at += count
        return self.raw[self.at - count : self.at]

    def number(self, what: str) -> int:
        return int(struct.unpack("<i", self.take(4, what))[0])

    def text(self, what: str) -> str:
        return self.take(self.number(f"the length of {what}"), what).decode("utf-8", "replace")

    @property
    def is_at_end(self) -> bool:
        return self.at == len(self.raw)


def _read_legacy(path: Path) -> Imatrix:
    found = Imatrix(path)
    file = _Legacy(path)
    for i in range(file.number("the number of entries")):
        name = file.text(f"the name of entry {i}")
        calls = file.number(f"the calls of {name!r}")
        count = file.number(f"the number of values of {name!r}")
        values = np.frombuffer(file.take(4 * count, f"values of {name!r}"), "<f4")
        found.entries[name] = values / np.float32(calls) if calls > 0 else values
    if not file.is_at_end:
        found.chunks = file.number("the number of chunks")
    if not file.is_at_end:
        found.datasets = [file.text("the data set's name")]
    return found
