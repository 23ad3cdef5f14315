"""Files that are unusual and right: by name, with everything that they hold."""

from __future__ import annotations

import struct

from gguf_expected import EXTREMES, NOT_UTF8, ROWS, SURROGATES, Array, Matrix, T, Unusual
from gguf_files import (
    BYTES_32,
    F32,
    I8,
    Q8_0,
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
from gguf_unusual_tensors import UNUSUAL_TENSORS


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


def named(*names: str) -> Unusual:
    tensors = [
        f32(name, offset=0, data=BYTES_32 if i == 0 else b"") for i, name in enumerate(names)
    ]
    keys = [key(name, "uint8", i) for i, name in enumerate(names)]
    return Unusual(
        image(keys, tensors), dict.fromkeys(names, T), {name: i for i, name in enumerate(names)}
    )


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
    "depths of tensors that are not there": Unusual(
        image([key("qkernels.k.gone", "string", "?"), key("qkernels.k", "bool", 1)], [f32()]),
        {"t": T},
        {"qkernels.k.gone": "?", "qkernels.k": True},
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
    **UNUSUAL_TENSORS,
}
