"""The bytes of a GGUF file: metadata values, the table of tensors, and where their data lies.

magic  version  tensors  keys | key: name, type, value ... | tensor: name, shape, type, offset ...
padding | data of a tensor, padding | ...
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from qkernels import _core
from qkernels._base.files import whole_files
from qkernels.files.metadata import Metadata
from qkernels.files.values import check_key, encode_value, text_bytes

NDArray = np.ndarray[Any, Any]

DEFAULT_ALIGNMENT = 32
MOST_ALIGNMENT = 1 << 31
ALIGNMENT_KEY = "general.alignment"

Encoded = tuple[bytes | memoryview, ...]  # a key with its value, in pieces


@dataclass(frozen=True)
class TensorEntry:
    """A tensor to be written: its data is asked for, piece by piece, when its turn comes."""

    name: str
    shape: tuple[int, ...]  # as the file has it: rows of whole blocks
    type_id: int
    nbytes: int
    pieces: Callable[[], Iterable[NDArray]]


def encode_metadata(metadata: Mapping[str, object]) -> dict[str, Encoded]:
    """Each key with its value; of a file's metadata, as the file has it, with nothing read.

    Raises:
        TypeError, ValueError: as `encode_value` and `check_key`.
    """
    if isinstance(metadata, Metadata):
        core = metadata._source.opened()
        return {
            key: (text_bytes(key, "a metadata key"), core.raw_value(i).data)
            for i, key in enumerate(metadata)
        }
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata is a mapping of keys to values, not {type(metadata).__name__}")
    return {check_key(key): (encode_value(key, value),) for key, value in metadata.items()}


def alignment_of(metadata: Mapping[str, object]) -> int:
    """What every tensor's place is a multiple of.

    Raises:
        ValueError: `general.alignment` is no power of two up to 2^31.
    """
    value = metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    alignment = int(value) if is_whole else 0  # type: ignore[call-overload]
    if not 1 <= alignment <= MOST_ALIGNMENT or alignment & (alignment - 1):
        raise ValueError(f"{ALIGNMENT_KEY} is {value!r}; expected a power of two up to 2^31")
    return alignment


def _head(keys: Sequence[Encoded], tensors: Sequence[TensorEntry], alignment: int) -> Iterator[Any]:
    """All before the data, piece by piece."""
    yield b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for key in keys:
        yield from key
    offset = 0
    for tensor in tensors:
        yield text_bytes(tensor.name, "a tensor's name")
        yield struct.pack("<I", len(tensor.shape))
        yield struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        yield struct.pack("<IQ", tensor.type_id, offset)
        offset += tensor.nbytes + -tensor.nbytes % alignment


def write_file(
    path: str | os.PathLike[str],
    keys: Sequence[Encoded],
    tensors: Sequence[TensorEntry],
    alignment: int,
) -> Iterator[NDArray]:
    """Write a file, piece by piece: each is handed out when it has been written.

    Raises:
        ValueError: `path` is there, and is no regular file; a tensor lies in a mapped file that
            has become shorter.
        OSError: the file cannot be written; whatever was there stays as it was.
    """
    with whole_files([path]) as (file,):
        file.writelines(_head(keys, tensors, alignment))
        _pad(file, alignment)
        for tensor in tensors:
            written = 0
            for piece in tensor.pieces():
                data = np.ascontiguousarray(piece)
                try:
                    file.write(data.reshape(-1).view(np.uint8).data)
                finally:
                    _core.check_mapped(piece)  # of a file that was cut: nothing, or zeros
                written += data.nbytes
                yield data
            if written != tensor.nbytes:
                raise AssertionError(f"{tensor.name}: {written} bytes for {tensor.nbytes}")
            _pad(file, alignment)
        file.truncate()


def _pad(file: IO[bytes], alignment: int) -> None:
    """Go to the next multiple of the alignment; what was passed over are zeros."""
    file.seek(-file.tell() % alignment, os.SEEK_CUR)
