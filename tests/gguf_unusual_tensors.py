"""Files whose tensors are unusual and right: their types, ranks and depths."""

from __future__ import annotations

from gguf_expected import ROWS, Array, Matrix, T, Unread, Unusual
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
    Tensor,
    f32,
    image,
    key,
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


UNUSUAL_TENSORS = {
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
    "unknown and removed types among good ones": Unusual(
        image(
            [],
            [
                f32(),
                Tensor("new", (3, 5), UNKNOWN, bytes(7)),
                Tensor("old", (32,), REMOVED, bytes(18)),
                Tensor("other", (256,), NEVER_READ, bytes(144)),
                Tensor("last", (2**32 - 1,), 2**32 - 1, bytes(1)),
                f32("u"),
            ],
        ),
        {
            "t": T,
            "new": Unread(bytes(32), "tensor 'new' has the unknown type 777"),
            "old": Unread(bytes(32), r"'old' has type q4_0_4_4 \(31\), which GGUF has removed"),
            "other": Unread(bytes(144), r"'other' has type iq4_k \(139\), which qkernels does not"),
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
}
