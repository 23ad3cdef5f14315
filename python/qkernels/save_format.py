"""The bytes of a GGUF file: metadata values, the table of tensors, and where their data lies.

magic  version  tensors  keys | key: name, type, value ... | tensor: name, shape, type, offset ...
padding | data of a tensor, padding | ...
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import _core
from .extract_files import whole_files
from .gguf_metadata import Metadata

NDArray = np.ndarray[Any, Any]

DEFAULT_ALIGNMENT = 32
ALIGNMENT_KEY = "general.alignment"
VALUE_TYPES = {  # a type's id, and how struct packs it
    "uint8": (0, "B"),
    "int8": (1, "b"),
    "uint16": (2, "H"),
    "int16": (3, "h"),
    "uint32": (4, "I"),
    "int32": (5, "i"),
    "float32": (6, "f"),
    "bool": (7, "?"),
    "string": (8, ""),
    "uint64": (10, "Q"),
    "int64": (11, "q"),
    "float64": (12, "d"),
}
ARRAY = 9
WHOLE = ("uint32", "int32", "uint64", "int64")  # the first that holds an int is taken


@dataclass(frozen=True)
class TensorEntry:
    """A tensor to be written: its data is asked for, piece by piece, when its turn comes."""

    name: str
    shape: tuple[int, ...]  # as the file has it: rows of whole blocks
    type_id: int
    nbytes: int
    pieces: Callable[[], Iterable[NDArray]]


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def _element(kind: str, value: Any) -> bytes:
    return _text(value) if kind == "string" else struct.pack("<" + VALUE_TYPES[kind][1], value)


def _holds(kind: str, value: int) -> bool:
    try:
        struct.pack("<" + VALUE_TYPES[kind][1], value)
    except struct.error:
        return False
    return True


def _kind(key: str, values: Sequence[object]) -> str:
    """The name of the type that all of some values have.

    Raises:
        TypeError: a value that metadata cannot hold, or values of several types.
        ValueError: an integer past 64 bits.
    """
    types = {type(value) for value in values}
    if types <= {int, float} and float in types:
        return "float32"
    if len(types) == 1:
        (kind,) = types
        if kind in (str, bool):
            return {str: "string", bool: "bool"}[kind]
        if kind is int:
            for name in WHOLE:
                if all(_holds(name, value) for value in values):  # type: ignore[arg-type]
                    return name
            raise ValueError(f"metadata {key!r} holds an integer past 64 bits")
    names = ", ".join(sorted(t.__name__ for t in types)) or "nothing"
    raise TypeError(
        f"metadata {key!r} holds {names}; a value is a str, int, float or bool, or a list of those"
    )


def encode_value(key: str, value: object, kind: str | None = None) -> bytes:
    """A key with its value. `kind` names the value's type, or that of an array's elements.

    Without it an int takes the first of uint32, int32, uint64 and int64 that holds it, and a float
    is a float32.

    Raises:
        TypeError, ValueError: a value that metadata cannot hold.
    """
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    kind = kind or _kind(key, values)
    raw = b"".join(_element(kind, v) for v in values)
    if isinstance(value, (list, tuple)):
        head = struct.pack("<IIQ", ARRAY, VALUE_TYPES[kind][0], len(values))
    else:
        head = struct.pack("<I", VALUE_TYPES[kind][0])
    return _text(key) + head + raw


def encode_metadata(metadata: Mapping[str, object]) -> dict[str, bytes]:
    """Each key with its value; of a file's metadata, in the types that it has there.

    Raises:
        TypeError, ValueError: as `encode_value`.
    """
    if not isinstance(metadata, Metadata):
        return {key: encode_value(key, value) for key, value in metadata.items()}
    core = metadata._source.opened()
    return {
        key: encode_value(key, core.value(i), core.value_type(i)[0])
        for i, key in enumerate(core.keys())
    }


def alignment_of(metadata: Mapping[str, object]) -> int:
    """What every tensor's place is a multiple of.

    Raises:
        ValueError: `general.alignment` is no power of two from 8 on.
    """
    alignment = metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
        raise ValueError(f"{ALIGNMENT_KEY} is {alignment!r}; expected a power of two from 8 on")
    return alignment


def _header(keys: Sequence[bytes], tensors: Sequence[TensorEntry], alignment: int) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(keys)), *keys]
    offset = 0
    for tensor in tensors:
        parts.append(_text(tensor.name))
        parts.append(struct.pack("<I", len(tensor.shape)))
        parts.extend(struct.pack("<Q", extent) for extent in reversed(tensor.shape))
        parts.append(struct.pack("<IQ", tensor.type_id, offset))
        offset += tensor.nbytes + -tensor.nbytes % alignment
    header = b"".join(parts)
    return header + bytes(-len(header) % alignment)


def write_file(
    path: Path, keys: Sequence[bytes], tensors: Sequence[TensorEntry], alignment: int
) -> Iterator[NDArray]:
    """Write a file, piece by piece: each is handed out when it has been written.

    Raises:
        ValueError: `path` is there, and is no regular file; a tensor lies in a mapped file that
            has become shorter.
        OSError: the file cannot be written; whatever was there stays as it was.
    """
    with whole_files([path]) as (file,):
        file.write(_header(keys, tensors, alignment))
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
            file.write(bytes(-tensor.nbytes % alignment))
