"""Writing weights to GGUF files: `qkernels.save_gguf`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._frameworks import is_torch, plain
from .packed import PackedTensor
from .save_format import TensorEntry, alignment_of, encode_metadata, encode_value, write_file
from .tensor import QTensor

if TYPE_CHECKING:
    from ._frameworks import Array

NDArray = np.ndarray[Any, Any]

DEPTH_KEY = "qkernels.k."  # and a tensor's name: the k of rows that are filled up with zeros
MOST_DIMS = 4
ARRAY_TYPES = {"float32": 0, "float16": 1, "int8": 24, "int16": 25, "int32": 26, "int64": 27} | {
    "float64": 28
}


def save_gguf(
    path: str | os.PathLike[str],
    tensors: Mapping[str, QTensor | PackedTensor | Array],
    metadata: Mapping[str, object] | None = None,
    *,
    pad: bool = False,
) -> None:
    """Write a GGUF file, version 3.

    The file appears whole or not at all: it is written beside `path` under another name, and then
    renamed.

    Args:
        path: the file; one that is there is replaced.
        tensors: by name: QTensors, PackedTensors (whose blocks are written), and arrays of float32,
            float16, float64 or signed integers of one to four dimensions. A GGUFFile is such a
            mapping.
        metadata: str, int, float, bool, or lists of one of them. An int takes the first of uint32,
            int32, uint64 and int64 that holds it, a float is a float32. The `metadata` of a
            GGUFFile keeps its types.
        pad: allow tensors whose k is no multiple of the block: the file has whole blocks, and the
            key `qkernels.k.<name>` the true k, which only qkernels reads.

    Raises:
        TypeError: a tensor or a value that the format does not have.
        ValueError: a format without a GGUF id (q8_ks), a k that is no multiple of the block (see
            `pad`), over four dimensions or none, or a wrong `general.alignment`.
        OSError: the file cannot be written.
    """
    metadata = {} if metadata is None else metadata
    alignment = alignment_of(metadata)
    keys = encode_metadata(metadata)
    entries = []
    for name, tensor in tensors.items():
        entries.append(entry_of(name, tensor))
        if key := depth_key(name, tensor.shape, entries[-1].shape, pad):
            keys[DEPTH_KEY + name] = key
    for _ in write_file(Path(path), list(keys.values()), entries, alignment):
        pass


def whole_blocks(
    name: str, fmt: str, shape: tuple[int, ...], pieces: Callable[[], Iterable[NDArray]]
) -> TensorEntry:
    """A tensor in a format as a file holds it: rows of whole blocks.

    Raises:
        ValueError: a format without a GGUF id.
    """
    _, type_id, block, block_bytes = _core.format_info(fmt)
    if type_id < 0:
        raise ValueError(f"tensor {name!r} is in {fmt}, which GGUF files do not have")
    blocks = -(-shape[-1] // block)
    nbytes = math.prod(shape[:-1]) * blocks * block_bytes
    return TensorEntry(name, (*shape[:-1], blocks * block), type_id, nbytes, pieces)


def entry_of(name: str, tensor: QTensor | PackedTensor | Array) -> TensorEntry:
    """A tensor as it is written.

    Raises:
        TypeError, ValueError: as `save_gguf`.
    """
    if isinstance(tensor, (QTensor, PackedTensor)):
        return whole_blocks(name, tensor.fmt, tensor.shape, lambda: [_blocks_of(tensor)])
    array = plain(tensor, f"tensor {name!r}")
    array = array.numpy() if is_torch(array) else array
    if not isinstance(array, np.ndarray) or array.dtype.name not in ARRAY_TYPES:
        what = getattr(array, "dtype", type(array).__name__)
        raise TypeError(f"tensor {name!r} is {what}; expected weights, floats or signed integers")
    if not 1 <= array.ndim <= MOST_DIMS:
        raise ValueError(
            f"tensor {name!r} has {array.ndim} dimensions; files have 1 to {MOST_DIMS}"
        )
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    type_id = ARRAY_TYPES[array.dtype.name]
    return TensorEntry(name, array.shape, type_id, array.nbytes, lambda: [little])


def _blocks_of(tensor: QTensor | PackedTensor) -> NDArray:
    data = tensor.unpack().data if isinstance(tensor, PackedTensor) else tensor.data
    return np.asarray(data)


def depth_key(
    name: str, shape: tuple[int, ...], stored: tuple[int, ...], pad: bool
) -> bytes | None:
    """The key that says a tensor's k, where its rows are filled up.

    Raises:
        ValueError: they are, and `pad` does not allow it.
    """
    if len(shape) == 0 or shape[-1] == stored[-1]:
        return None
    if not pad:
        raise ValueError(
            f"tensor {name!r} has k={shape[-1]}, which its blocks do not divide; pad=True stores"
            f" {stored[-1]} weights a row, for qkernels alone to read"
        )
    return encode_value(DEPTH_KEY + name, int(shape[-1]))
