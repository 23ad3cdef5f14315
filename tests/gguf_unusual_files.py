"""Files that are unusual and right: by name, with everything that they hold."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from gguf_files import (
    BF16,
    BLOCKS,
    BYTES_32,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    NEVER_READ,
    Q4_K,
    Q8_0,
    REMOVED,
    UNKNOWN,
    VALUE_TYPES,
    Tensor,
    array_key,
    f32,
    image,
    key,
    raw_key,
    text,
    u32,
    u64,
)


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


def aligned(alignment: int) -> Unusual:
    tensors = [Tensor("odd", (3,), I8, b"abc"), f32(), Tensor("w", (32, 2), Q8_0, ROWS)]
    return Unusual(
        image(
            [key("general.alignment", "uint32", alignment)],
            tensors,
            alignment=alignment,
        ),
        {"odd": Array("int8", (3,), b"abc"), "t": T, "w": Matrix("q8_0", (2, 32), ROWS)},
        {"general.alignment": alignment},
    )


def padded(k: int, kind: str) -> Unusual:
    tensor = Tensor("w", (512, 2), Q4_K, bytes(range(144)) * 4)
    return Unusual(
        image([key("qkernels.k.w", kind, k)], [tensor]),
        {"w": Matrix("q4_k", (2, k), tensor.data)},
        {"qkernels.k.w": k},
    )


def scalars(type_id: int, dtype: str, size: int) -> Unusual:
    raw = bytes(range(6 * size))
    shapes = {"v": (6,), "m": (3, 2), "c": (1, 2, 3), "q": (1, 2, 1, 3)}
    tensors = [Tensor(name, ne, type_id, raw) for name, ne in shapes.items()]
    expected = {name: Array(dtype, ne[::-1], raw) for name, ne in shapes.items()}
    return Unusual(image([], tensors), dict(expected))


def named(*names: str) -> Unusual:
    tensors = [
        f32(name, offset=0, data=BYTES_32 if i == 0 else b"") for i, name in enumerate(names)
    ]
    keys = [key(name, "uint8", i) for i, name in enumerate(names)]
    return Unusual(
        image(keys, tensors), dict.fromkeys(names, T), {name: i for i, name in enumerate(names)}
    )


NOT_UTF8 = b"\xff\xfeab\xed\xa0\x80\xc0\x80"
SURROGATES = NOT_UTF8.decode("utf-8", "surrogateescape")
IN_BETWEEN = f32("a", data=BYTES_32 + bytes(160))  # a gap of five times the alignment behind it

UNUSUAL = {
    "nothing": Unusual(image()),
    "nothing, with rubbish behind": Unusual(image() + b"rubbish"),
    "version 2": Unusual(
        image([key("a", "uint8", 1)], [f32()], version=2), {"t": T}, {"a": 1}, version=2
    ),
    "tensors without keys": Unusual(image([], [f32()]), {"t": T}),
    "keys without tensors, not padded": Unusual(
        image([key("abc", "uint16", 513)]), {}, {"abc": 513}
    ),
    "an alignment and no tensors": Unusual(
        image([key("general.alignment", "uint32", 1 << 31)]), {}, {"general.alignment": 1 << 31}
    ),
    **{f"alignment {1 << power}": aligned(1 << power) for power in range(13)},
    "alignment 2^20": aligned(1 << 20),
    "every value type": Unusual(
        image([key(f"{k}.{i}", k, v) for k, vs in EXTREMES.items() for i, v in enumerate(vs)]),
        {},
        {f"{k}.{i}": v for k, vs in EXTREMES.items() for i, v in enumerate(vs)},
    ),
    "arrays of every type": Unusual(
        image([array_key(kind, kind, values) for kind, values in EXTREMES.items()]),
        {},
        dict(EXTREMES),
    ),
    "empty arrays of every type": Unusual(
        image([array_key(kind, kind, []) for kind in VALUE_TYPES if kind != "array"]),
        {},
        {kind: [] for kind in VALUE_TYPES if kind != "array"},
    ),
    "an array of empty strings": Unusual(
        image([array_key("a", "string", [""] * 1000)]), {}, {"a": [""] * 1000}
    ),
    "a long string and a long array": Unusual(
        image([key("s", "string", "x" * 100_000), array_key("a", "uint8", [7] * 100_000)]),
        {},
        {"s": "x" * 100_000, "a": [7] * 100_000},
    ),
    "text that is not UTF-8": Unusual(
        image(
            [key(NOT_UTF8, "string", NOT_UTF8), array_key("l", "string", [NOT_UTF8, b"ok"])],
            [Tensor(NOT_UTF8, (32,), F32, BYTES_32)],
        ),
        {SURROGATES: T},
        {SURROGATES: SURROGATES, "l": [SURROGATES, "ok"]},
    ),
    "names that are empty, long, or not for people": named(
        "", " ", "\0", "\0\0", "a\nb", "..", "/etc/passwd", "%s%n", "\N{PILE OF POO}", "x" * 70_000
    ),
    "names that start with each other": named(*("a" * length for length in range(1, 66))),
    "names of Python's own": named("__class__", "keys", "None", "0", "closed"),
    "names of keys that are tensors too": named("t", "general.architecture", "qkernels.k."),
    "one place for every tensor": Unusual(
        image([], [f32("a", offset=0), f32("b", offset=0, data=b""), f32("c", ne=(8,), offset=0)]),
        {"a": T, "b": T, "c": Array("float32", (8,), BYTES_32[:32])},
    ),
    "tensors that overlap": Unusual(
        image([], [f32("a"), Tensor("b", (16,), F32, b"", offset=64)]),
        {"a": T, "b": Array("float32", (16,), BYTES_32[64:])},
    ),
    "tensors out of order": Unusual(
        image([], [f32("z", ne=(8,), offset=96), f32("y", ne=(16,), offset=0, data=b"")]),
        {"z": Array("float32", (8,), BYTES_32[96:]), "y": Array("float32", (16,), BYTES_32[:64])},
    ),
    "gaps between tensors and behind them": Unusual(
        image([], [IN_BETWEEN, f32("b")]) + bytes(100), {"a": T, "b": T}
    ),
    "no padding behind the last tensor": Unusual(
        image([], [f32(), Tensor("v", (1,), I8, b"\x05")]),
        {"t": T, "v": Array("int8", (1,), b"\x05")},
    ),
    "a vector of blocks": Unusual(
        image([], [Tensor("v", (64,), Q8_0, ROWS)]), {"v": Matrix("q8_0", (64,), ROWS)}
    ),
    "experts": Unusual(
        image([], [Tensor("e", (32, 1, 2), Q8_0, ROWS)]), {"e": Matrix("q8_0", (2, 1, 32), ROWS)}
    ),
    "blocks in four and five dimensions": Unusual(
        image(
            [], [Tensor("q", (32, 1, 1, 2), Q8_0, ROWS), Tensor("r", (32, 1, 1, 1, 2), Q8_0, ROWS)]
        ),
        {"q": Matrix("q8_0", (2, 1, 1, 32), ROWS), "r": Matrix("q8_0", (2, 1, 1, 1, 32), ROWS)},
    ),
    **{
        f"padded rows, their depth a {kind}": padded(k, kind)
        for kind, k in (("uint16", 300), ("int32", 257), ("int64", 511), ("uint64", 512))
    },
    "padded experts": Unusual(
        image([key("qkernels.k.e", "uint8", 5)], [Tensor("e", (32, 1, 2), Q8_0, ROWS)]),
        {"e": Matrix("q8_0", (2, 1, 5), ROWS)},
        {"qkernels.k.e": 5},
    ),
    "depths of tensors that are not there": Unusual(
        image([key("qkernels.k.gone", "string", "?"), key("qkernels.k", "bool", 1)], [f32()]),
        {"t": T},
        {"qkernels.k.gone": "?", "qkernels.k": True},
    ),
    "unknown and removed types among good ones": Unusual(
        image(
            [],
            [
                f32(),
                Tensor("new", (3, 5), UNKNOWN, bytes(7)),
                Tensor("old", (32,), REMOVED, bytes(18)),
                Tensor("other", (128,), NEVER_READ, bytes(18)),
                Tensor("last", (2**32 - 1,), 2**32 - 1, bytes(1)),
                f32("u"),
            ],
        ),
        {
            "t": T,
            "new": Unread(bytes(32), "tensor 'new' has the unknown type 777"),
            "old": Unread(bytes(32), r"'old' has type q4_0_4_4 \(31\), which GGUF has removed"),
            "other": Unread(bytes(18), r"'other' has type q1_0 \(41\), which qkernels does not"),
            "last": Unread(bytes(32), "tensor 'last' has the unknown type 4294967295"),
            "u": T,
        },
    ),
    **{
        f"a matrix in {fmt}": Unusual(
            image([], [Tensor("w", (2 * block, 3), type_id, bytes(range(1, nbytes + 1)) * 6)]),
            {"w": Matrix(fmt, (3, 2 * block), bytes(range(1, nbytes + 1)) * 6)},
        )
        for type_id, (fmt, block, nbytes) in BLOCKS.items()
        if nbytes < 256
    },
    "a matrix in q8_k": Unusual(
        image([], [Tensor("w", (256, 1), 15, b"\1" * 292)]),
        {"w": Matrix("q8_k", (1, 256), b"\1" * 292)},
    ),
    **{
        f"a matrix in {fmt}": Unusual(
            image([], [Tensor("w", (5, 3), type_id, bytes(range(15 * size)))]),
            {"w": Matrix(fmt, (3, 5), bytes(range(15 * size)))},
        )
        for type_id, fmt, size in ((F32, "f32", 4), (F16, "f16", 2), (BF16, "bf16", 2))
    },
    **{
        f"{dtype} of every rank": scalars(type_id, dtype, size)
        for type_id, dtype, size in (
            (I8, "int8", 1),
            (I16, "int16", 2),
            (I32, "int32", 4),
            (I64, "int64", 8),
            (F64, "float64", 8),
        )
    },
    "bfloats of every rank": Unusual(
        image(
            [],
            [
                Tensor(name, ne, BF16, bytes(range(8)))
                for name, ne in (
                    ("v", (4,)),
                    ("m", (2, 2)),
                    ("q", (1, 1, 1, 4)),
                    ("f", (4,) + (1,) * 4),
                )
            ],
        ),
        {
            "v": Matrix("bf16", (4,), bytes(range(8))),
            "m": Matrix("bf16", (2, 2), bytes(range(8))),
            "q": Matrix("bf16", (4, 1, 1, 1), bytes(range(8))),
            "f": Matrix("bf16", (1, 1, 1, 1, 4), bytes(range(8))),
        },
    ),
    "scalars of every type": Unusual(
        image(
            [],
            [
                Tensor("f", (), F32, BYTES_32[4:8]),
                Tensor("h", (), F16, b"ab"),
                Tensor("b", (), BF16, b"ab"),
                Tensor("d", (), F64, bytes(range(8))),
                Tensor("i", (), I8, b"a"),
                f32(),
            ],
        ),
        {
            "f": Array("float32", (), BYTES_32[4:8]),
            "h": Array("float16", (), b"ab"),
            "b": Array("float32", (), b"\0\0ab"),
            "d": Array("float64", (), bytes(range(8))),
            "i": Array("int8", (), b"a"),
            "t": T,
        },
    ),
    "tensors without elements, the last at the file's end": Unusual(
        image(
            [],
            [
                Tensor("a", (0,), F32),
                Tensor("b", (8, 0, 3), F16),
                f32(),
                Tensor("c", (0, 5), I64),
                Tensor("d", (32, 0), Q8_0),
                Tensor("e", (0,), Q4_K),
                Tensor("f", (0, 2), BF16),
                Tensor("g", (8, 8, 0, 8, 8), F32),
            ],
        ),
        {
            "a": Array("float32", (0,), b""),
            "b": Array("float16", (3, 0, 8), b""),
            "t": T,
            "c": Array("int64", (5, 0), b""),
            "d": Matrix("q8_0", (0, 32), b""),
            "e": Array("float32", (0,), b""),
            "f": Array("float32", (2, 0), b""),
            "g": Array("float32", (8, 8, 0, 8, 8), b""),
        },
    ),
    "a tensor without elements far behind the end": Unusual(
        image([], [f32(), f32("a", ne=(0,), offset=2**64 - 1, data=b"")]),
        {"t": T, "a": Array("float32", (0,), b"")},
    ),
    "nothing but a tensor without elements": Unusual(
        image([], [f32(ne=(0,), data=b"")]), {"t": Array("float32", (0,), b"")}
    ),
    "five and more dimensions": Unusual(
        image([], [f32(ne=(2,) * 5), f32("u", ne=(32,) + (1,) * 31), f32("i", ne=(2,) * 5)]),
        {
            "t": Array("float32", (2,) * 5, BYTES_32),
            "u": Array("float32", (1,) * 31 + (32,), BYTES_32),
            "i": Array("float32", (2,) * 5, BYTES_32),
        },
    ),
    "bools of other numbers": Unusual(
        image([key("a", "bool", 2), key("b", "bool", 255), array_key("c", "bool", [0, 1, 128])]),
        {},
        {"a": True, "b": True, "c": [False, True, True]},
    ),
    "arrays of arrays": Unusual(
        image(
            [
                raw_key("none", 9, u32(9) + u64(0)),
                raw_key("empty", 9, u32(9) + u64(2) + (u32(4) + u64(0)) + (u32(8) + u64(0))),
                raw_key(
                    "mixed",
                    9,
                    u32(9)
                    + u64(3)
                    + (u32(5) + u64(2) + u32(1) + u32(2))
                    + (u32(8) + u64(1) + text("x"))
                    + (u32(9) + u64(1) + u32(7) + u64(1) + b"\1"),
                ),
                key("behind", "uint8", 7),
            ]
        ),
        {},
        {"none": [], "empty": [[], []], "mixed": [[1, 2], ["x"], [[True]]], "behind": 7},
    ),
    "types that a fork has numbers for": Unusual(
        image([], [Tensor(n, (128,), i, bytes(32)) for n, i in (("a", 36), ("b", 37), ("c", 38))]),
        {
            "a": Unread(
                bytes(32), "type 36, which is i2_s in files of BitNet's fork and was iq4_nl_4_4"
            ),
            "b": Unread(
                bytes(32), "type 37, which is i8_s in files of BitNet's fork and was iq4_nl_4_8"
            ),
            "c": Unread(
                bytes(32), "type 38, which is tl1 in files of BitNet's fork and was iq4_nl_8_8"
            ),
        },
    ),
    "floats that are not numbers": Unusual(
        image([], [f32(data=b"\xff" * 128)]), {"t": Array("float32", (32,), b"\xff" * 128)}
    ),
    "a key of the writer's own, longer than the file's data": Unusual(
        image([key("k", "string", "y" * 4096)], [Tensor("b", (1,), I8, struct.pack("b", -1))]),
        {"b": Array("int8", (1,), b"\xff")},
        {"k": "y" * 4096},
    ),
    "a magic inside": Unusual(
        image([key("GGUF", "string", image())]), {}, {"GGUF": image().decode("latin-1")}
    ),
    "a table that looks like another": Unusual(
        image([key("a", "string", text("t") + u32(1) + u64(32) + u32(0) + u64(0))], [f32()]),
        {"t": T},
        {"a": (text("t") + u32(1) + u64(32) + u32(0) + u64(0)).decode()},
    ),
}
