"""What a file must be read as, and values that every file may hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from gguf_files import BYTES_32


class Array(NamedTuple):
    """A tensor that is handed out as a NumPy array."""

    dtype: str
    shape: tuple[int, ...]
    raw: bytes


class Matrix(NamedTuple):
    """A tensor that is handed out as a QTensor."""

    fmt: str
    shape: tuple[int, ...]
    raw: bytes


class Unread(NamedTuple):
    """A tensor of a type that is not read: its bytes, and what is said where weights are wanted."""

    raw: bytes
    message: str


@dataclass
class Unusual:
    """A file, and what it must be read as."""

    raw: bytes
    tensors: dict[str, Array | Matrix | Unread] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)
    version: int = 3


T = Array("float32", (32,), BYTES_32)
ROWS = bytes(range(1, 69))  # two blocks of q8_0
EXTREMES: dict[str, list[int | float | str]] = {
    "uint8": [0, 255],
    "int8": [-128, 127],
    "uint16": [0, 65535],
    "int16": [-32768, 32767],
    "uint32": [0, 2**32 - 1],
    "int32": [-(2**31), 2**31 - 1],
    "float32": [-0.0, 2.0**-149, float("inf")],
    "bool": [False, True],
    "string": ["", "a\0b", "\N{SNOWMAN}"],
    "uint64": [0, 2**64 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "float64": [2.0**-1074, -1.7976931348623157e308],
}

NOT_UTF8 = b"\xff\xfeab\xed\xa0\x80\xc0\x80"
SURROGATES = NOT_UTF8.decode("utf-8", "surrogateescape")
