"""GGUF files byte by byte, right and wrong: nothing here checks what it is given.

image(keys=[key("a.b", "uint32", 7)], tensors=[Tensor("w", (4,), F32, bytes(16))])
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from format_facts import FACTS

if TYPE_CHECKING:
    from pathlib import Path

    import qkernels as qk

VALUE_TYPES = {
    "uint8": (0, "B"),
    "int8": (1, "b"),
    "uint16": (2, "H"),
    "int16": (3, "h"),
    "uint32": (4, "I"),
    "int32": (5, "i"),
    "float32": (6, "f"),
    "bool": (7, "B"),
    "string": (8, ""),
    "array": (9, ""),
    "uint64": (10, "Q"),
    "int64": (11, "q"),
    "float64": (12, "d"),
}

F32, F16, BF16, F64 = 0, 1, 30, 28
I8, I16, I32, I64 = 24, 25, 26, 27
Q4_0, Q4_1, Q8_0, Q4_K = 2, 3, 8, 12
BLOCKS = {  # quantised types by id: (name, weights, bytes) of a block
    facts.gguf_id: (fmt, facts.block, facts.nbytes)
    for fmt, facts in FACTS.items()
    if not facts.is_float and facts.gguf_id is not None
}
REMOVED, UNKNOWN, NEVER_READ = 31, 777, 139  # q4_0_4_4, no type at all, iq4_k of ik_llama.cpp


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return u64(len(raw)) + raw


def element(kind: str, value: object) -> bytes:
    if kind == "string":
        assert isinstance(value, str | bytes)
        return text(value)
    return struct.pack("<" + VALUE_TYPES[kind][1], value)


def key(name: str | bytes, kind: str, value: object) -> bytes:
    return raw_key(name, VALUE_TYPES[kind][0], element(kind, value))


def array_key(
    name: str | bytes, kind: str, values: Sequence[object], *, count: int | None = None
) -> bytes:
    """An array; `count` is what the file says its length is."""
    head = u32(VALUE_TYPES[kind][0]) + u64(len(values) if count is None else count)
    return raw_key(name, 9, head + b"".join(element(kind, v) for v in values))


def raw_key(name: str | bytes, type_id: int, value: bytes) -> bytes:
    return text(name) + u32(type_id) + value


@dataclass
class Tensor:
    """A tensor of the table; without an offset, the next aligned one."""

    name: str | bytes
    ne: tuple[int, ...]
    type_id: int
    data: bytes = b""
    offset: int | None = None
    ndim: int | None = None


def image(
    keys: Sequence[bytes] = (),
    tensors: Sequence[Tensor] = (),
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    alignment: int = 32,
    key_count: int | None = None,
    tensor_count: int | None = None,
) -> bytes:
    """The bytes of a file; `alignment` is what is used, and not written as a key by itself."""
    head = bytearray(magic + u32(version))
    head += u64(len(tensors) if tensor_count is None else tensor_count)
    head += u64(len(keys) if key_count is None else key_count)
    head += b"".join(keys)
    data = bytearray()
    for tensor in tensors:
        data += bytes(-len(data) % alignment)
        head += text(tensor.name)
        head += u32(len(tensor.ne) if tensor.ndim is None else tensor.ndim)
        head += b"".join(u64(extent) for extent in tensor.ne)
        head += u32(tensor.type_id)
        head += u64(len(data) if tensor.offset is None else tensor.offset)
        data += tensor.data
    return bytes(head + bytes(-len(head) % alignment) + data if tensors else head)


@dataclass
class Wrong:
    """A file at fault, and a regular expression for what is said about it."""

    raw: bytes
    message: str
    size: int = 0  # where larger than `raw`, the file ends in a hole up to it

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            file.write(self.raw)
            file.truncate(max(self.size, len(self.raw)))


BYTES_32 = bytes(range(128))  # 32 float32


def f32(name: str = "t", **changes: Any) -> Tensor:
    """A vector of 32 float32, right but for the changes."""
    return Tensor(**{"name": name, "ne": (32,), "type_id": F32, "data": BYTES_32, **changes})


def load(path: Path, raw: bytes, *, mmap: bool = True) -> qk.GGUFFile:
    """Write a file and open it."""
    import qkernels as qk  # seeds of the fuzz targets are made where it is not built

    path.write_bytes(raw)
    return qk.load_gguf(path, mmap=mmap)
