"""Quantising the tensors of a GGUF file into another: what `qkernels quantize` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qkernels import _core
from qkernels._base.numbers import to_bool
from qkernels.files.encode import Encoded, TensorEntry, encode_metadata, write_file
from qkernels.files.file_types import FILE_TYPES
from qkernels.files.gguf import GGUFFile
from qkernels.files.imatrix import Imatrix
from qkernels.files.metadata import DEPTH_KEY, SPLIT_KEYS
from qkernels.files.parts import part_of
from qkernels.files.save_tensors import whole_blocks
from qkernels.files.values import encode_value
from qkernels.ops.decode import dequantize
from qkernels.ops.quantize import can_quantize, quantize_part
from qkernels.tools.quantize_summary import Quantized, Summary
from qkernels.tools.quantize_types import (
    EMBEDDING,
    FLOATS,
    OUTPUT,
    Rule,
    check_format,
    check_keep,
    check_rules,
    choose,
    is_matrix,
)
from qkernels.weights.qtensor import QTensor

NDArray = np.ndarray[Any, Any]

__all__ = ["Quantized", "Summary", "quantize_file"]

PIECE = 1 << 22  # weights that are quantised at once
QUANTIZATION_VERSION = 2  # of ggml's blocks as they are today


def quantize_file(
    source: GGUFFile,
    path: str | os.PathLike[str],
    fmt: str,
    *,
    keep: tuple[tuple[str, str], ...] = (),
    imatrix: Imatrix | None = None,
    pad: bool = False,
    threads: int | None = None,
    expect: Callable[[int], object] = lambda total: None,
    advance: Callable[[int], object] = lambda done: None,
) -> Summary:
    """Write a file whose matrices are quantised; metadata and everything else are copied.

    Args:
        source: an open file; it may be quantised already, which adds to the errors.
        path: the file to write; one that is there is replaced when the new one is whole.
        fmt: one of `qkernels.files.file_types.FILE_TYPES`.
        keep: (pattern of names, format); the first that fits a name decides.
        imatrix: what columns are worth.
        pad: complete rows with zeros instead of taking another format.
        threads: 1 to 256, instead of the default.
        expect: told how many weights there are.
        advance: told of weights as they are written.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: `path` is the source itself; a format that files are not quantised to; a file
            that is one of several parts; a tensor whose entry is at fault, or with a weight that
            its format cannot hold, which is named by tensor, row and column; a rule of `keep` that
            decides on no tensor; an importance matrix of another model, or of which nothing is
            used.
        OSError: the file cannot be written.
    """
    path = Path(path)
    fmt, keep = check_format(fmt), check_rules(keep)
    _check_files(source, path)
    rule = Rule(fmt, keep, to_bool(pad, "pad"), tied=OUTPUT not in source and EMBEDDING in source)
    _check_keep(source, rule)
    writer = _Writer(source, rule, imatrix, threads)
    entries = [writer.plan(i, name) for i, name in enumerate(source)]
    writer.check_importance()
    expect(sum(tensor.weights for tensor in writer.done))
    alignment = source._source.opened().alignment
    for _ in write_file(path, writer.keys(), entries, alignment):
        advance(writer.count_written())
    size = path.stat().st_size
    known = 0 if imatrix is None else len(imatrix.entries)
    return Summary(str(path), fmt, source._source.opened().nbytes, size, writer.done, known)


def _check_files(source: GGUFFile, path: Path) -> None:
    if path.exists() and path.samefile(source.path):
        raise ValueError(f"{path} is the file that is read; write to another")
    if (part := part_of(source.metadata)) is not None:
        raise ValueError(
            f"{source.path} is one of {part.count} parts; merge them first (this is {part})"
        )


def _check_keep(source: GGUFFile, rule: Rule) -> None:
    entries = {name: source._source.opened().tensor(i) for i, name in enumerate(source)}
    matrices = [name for name, e in entries.items() if e.fmt is not None and is_matrix(e.shape)]
    check_keep(rule.keep, matrices, [name for name in entries if name not in set(matrices)])


class _Writer:
    """Decides on each tensor, and hands out its bytes when the file asks for them."""

    def __init__(
        self, source: GGUFFile, rule: Rule, imatrix: Imatrix | None, threads: int | None
    ) -> None:
        self.source = source
        self.core = source._source.opened()
        self.rule = rule
        self.imatrix = imatrix
        self.threads = threads
        self.done: list[Quantized] = []
        self.depths: dict[str, int] = {}
        self._written = 0

    def plan(self, index: int, name: str) -> TensorEntry:
        """What becomes of a tensor."""
        entry = self.core.tensor(index)
        nbytes = self.core.raw_tensor(index).nbytes  # which raises where the entry is at fault
        before = entry.type_name or entry.fmt or f"type {entry.type_id}"
        chosen = None
        if entry.fmt is not None and nbytes > 0:
            chosen = choose(name, entry.shape, self.rule)
        after = before if chosen is None else chosen.fmt
        tensor = Quantized(name, list(entry.shape), before, after, nbytes, nbytes)
        self.done.append(tensor)
        if chosen is None or after == before:
            return self._copy(index, tensor, entry)
        tensor.instead_of = chosen.instead_of
        factors = None
        if self.imatrix is not None and can_quantize(after, imatrix=True):
            factors = self.imatrix.factors(name, entry.shape)
        tensor.importance = factors is not None
        made = whole_blocks(name, after, entry.shape, lambda: self._convert(tensor, factors))
        tensor.bytes_after = made.nbytes
        tensor.padded = made.shape[-1] != entry.shape[-1]
        if tensor.padded:
            self.depths[name] = entry.shape[-1]
        return made

    def _copy(self, index: int, tensor: Quantized, entry: _core.GGUFTensor) -> TensorEntry:
        if entry.stored != entry.shape:
            self.depths[tensor.name] = entry.shape[-1]

        def pieces() -> Iterator[NDArray]:
            self._written = tensor.weights
            yield self.core.raw_tensor(index)

        return TensorEntry(tensor.name, entry.stored, entry.type_id, tensor.bytes_before, pieces)

    def _convert(self, tensor: Quantized, factors: NDArray | None) -> Iterator[NDArray]:
        weights = self.source.unpacked(tensor.name)
        assert isinstance(weights, QTensor)
        experts = [weights] if weights.ndim == 2 else [weights[e] for e in range(len(weights))]
        for e, matrix in enumerate(experts):
            own = factors[e] if factors is not None and factors.ndim == 2 else factors
            step = max(1, PIECE // matrix.shape[1])
            for begin in range(0, len(matrix), step):
                dense = np.asarray(dequantize(matrix[begin : begin + step], threads=self.threads))
                try:
                    yield self._quantize(tensor, dense, own, begin)
                except ValueError as error:
                    which = f", expert {e}" if len(experts) > 1 else ""
                    raise ValueError(self._refusal(tensor, which, str(error))) from None

    def _refusal(self, tensor: Quantized, which: str, message: str) -> str:
        """What cannot be held, why it was to be, and what can be asked for instead."""
        message = message.replace("a holds", "it holds", 1)
        if tensor.instead_of is not None:
            message += (
                f", and k={tensor.shape[-1]} is no multiple of the block of {tensor.instead_of}"
            )
        advice = f"--keep '{tensor.name}=f32' keeps all of it"
        return f"{self.source.path}: tensor {tensor.name!r}{which}: {message}; {advice}"

    def _quantize(
        self, tensor: Quantized, dense: NDArray, factors: NDArray | None, begin: int
    ) -> NDArray:
        made = quantize_part(
            dense,
            tensor.after,
            imatrix=factors,
            pad=tensor.padded,
            threads=self.threads,
            first_row=begin,
        )
        back = dequantize(made, threads=self.threads)
        tensor.vanished += int(np.sum(dense.any(axis=1) & ~np.asarray(back).any(axis=1)))
        flat, difference = dense.reshape(-1), np.subtract(back, dense).reshape(-1)
        with np.errstate(all="ignore"):  # floats may hold what is not finite
            tensor.squares += float(np.vdot(flat, flat))
            tensor.squared_error += float(np.vdot(difference, difference))
        self._written = flat.size
        return np.asarray(made.data)

    def count_written(self) -> int:
        """The weights of the piece that was written last."""
        return self._written

    def check_importance(self) -> None:
        """Refuse an importance matrix that knows none of the tensors."""
        if self.imatrix is None or any(tensor.importance for tensor in self.done):
            return
        entries = self.imatrix.entries
        known = [t.after for t in self.done if t.is_quantized and t.name in entries]
        if known:
            kinds = ", ".join(dict.fromkeys(known))
            raise ValueError(
                f"{self.imatrix.path}: no importance matrix changes anything of {kinds}"
            )
        raise ValueError(
            f"{self.imatrix.path}: none of its {len(entries)} entries is a tensor that is quantised"
        )

    def keys(self) -> list[Encoded]:
        """The metadata of the file that is written."""
        keys = {
            name: encoded
            for name, encoded in encode_metadata(self.source.metadata).items()
            if not name.startswith((DEPTH_KEY, SPLIT_KEYS))
        }
        own: dict[str, tuple[object, str]] = {
            "general.file_type": (FILE_TYPES[self.rule.fmt], "uint32")
        }
        if any(tensor.after not in FLOATS for tensor in self.done if tensor.is_quantized):
            own["general.quantization_version"] = (QUANTIZATION_VERSION, "uint32")
        for name, k in self.depths.items():
            own[DEPTH_KEY + name] = (k, "uint64")
        if self.imatrix is not None:
            own["quantize.imatrix.file"] = (str(self.imatrix.path), "string")
            own["quantize.imatrix.entries_count"] = (len(self.imatrix.entries), "uint32")
            if self.imatrix.datasets:
                own["quantize.imatrix.dataset"] = (self.imatrix.datasets[0], "string")
            if self.imatrix.chunks > 0:
                own["quantize.imatrix.chunks_count"] = (self.imatrix.chunks, "uint32")
        for name, (value, kind) in own.items():
            keys[name] = (encode_value(name, value, kind),)
        return list(keys.values())
