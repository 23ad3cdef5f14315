"""Files whose tensor table or data is wrong: by name, with what is said about each.

A table that cannot be read to its end is the file's fault, and any other wrong entry its tensor's:
the file opens, and what is said about the tensor is said when it is asked for.
"""

from __future__ import annotations

from gguf_files import (
    BLOCKS,
    F16,
    F32,
    F64,
    I8,
    I64,
    Q4_K,
    Q8_0,
    UNKNOWN,
    Tensor,
    Wrong,
    array_key,
    f32,
    image,
    key,
    u64,
)
from gguf_wrong_head import MIB, PAST_METADATA

HUGE = 1 << 62
DEPTH = "qkernels.k.t"
Q4_K_TENSOR = Tensor("t", (512,), Q4_K, bytes(288))


def one(tensor: Tensor) -> bytes:
    return image([], [tensor])


def depth(k: int, tensor: Tensor = Q4_K_TENSOR, kind: str = "int64") -> bytes:
    return image([key(DEPTH, kind, k)], [tensor])


# The table's entry of one tensor named "t" with one dimension ends at these bytes of a file.
NAME_ENDS, NDIM_ENDS, NE_ENDS, TYPE_ENDS, ENTRY_ENDS = 33, 37, 45, 49, 57

ENTRIES = {
    "a tensor's name that ends outside": Wrong(
        image(tensor_count=1) + u64(99) + bytes(40), "a tensor's name needs 99 bytes"
    ),
    "a tensor's name of 2^64 - 1 bytes": Wrong(
        image(tensor_count=1) + u64(2**64 - 1) + bytes(40), "needs 18446744073709551615 bytes"
    ),
    "a tensor's name past the metadata": Wrong(
        image(tensor_count=1) + u64(257 * MIB),
        "a tensor's name needs 269484032 bytes .* of the 256 MiB of metadata",
        size=PAST_METADATA,
    ),
    "an entry behind 256 MiB of metadata": Wrong(
        image([array_key("k", "uint8", [], count=256 * MIB - 24 - 25 - 23)], tensor_count=1),
        "the header promises 1 tensors, with 23 bytes left of the 256 MiB of metadata",
        size=PAST_METADATA,
    ),
    **{
        f"an entry that ends in its {part}": Wrong(
            # A long name makes room for the count of tensors to be believed.
            one(f32("t" * 41))[: 40 + end],
            f"tensor '{'t' * 41}' needs {wanted} bytes at byte {40 + start}",
        )
        for part, start, end, wanted in (
            ("count of dimensions", NAME_ENDS, NDIM_ENDS - 1, 4),
            ("dimensions", NDIM_ENDS, NE_ENDS - 1, 8),
            ("type", NE_ENDS, TYPE_ENDS - 1, 4),
            ("offset", TYPE_ENDS, ENTRY_ENDS - 1, 8),
        )
    },
    "2^31 dimensions": Wrong(one(f32(ndim=2**31)), "tensor 't' needs 17179869184 bytes"),
    "2^32 - 1 dimensions": Wrong(one(f32(ndim=2**32 - 1)), "tensor 't' needs 34359738360 bytes"),
    "65 dimensions that are not there": Wrong(
        one(f32(ndim=65, ne=(1,), data=b"")), "tensor 't' needs 520 bytes"
    ),
    "dimensions that are not there": Wrong(
        one(f32("t" * 20, ne=(1,), ndim=2))[:64],
        "tensor 'tttttttttttttttttttt' needs 8 bytes at byte 64, with 0 left",
    ),
    "a tensor twice": Wrong(image([], [f32("a"), f32("b"), f32("a")]), "tensor 'a' occurs twice"),
    "tensors without a name": Wrong(image([], [f32(""), f32("")]), "tensor '' occurs twice"),
    "a tensor twice at one place": Wrong(
        image([], [f32("a", offset=0), f32("a", offset=0)]), "tensor 'a' occurs twice"
    ),
}

SHAPES = {
    "65 dimensions": Wrong(
        one(f32(ne=(1,) * 65)), "tensor 't' has 65 dimensions; qkernels reads at most 64"
    ),
    "an empty dimension that hides a product": Wrong(
        one(f32(ne=(HUGE, HUGE, 0))), r"tensor 't' of shape \[.*\] has 2\^63 elements or more"
    ),
    "an empty dimension before a product": Wrong(
        one(f32(ne=(0, HUGE, HUGE, HUGE))), r"tensor 't' of shape \[0, .*\] has 2\^63 elements"
    ),
    "an empty dimension that hides bytes": Wrong(
        one(f32(ne=(HUGE, 0))), r"tensor 't' of shape \[.*, 0\] in f32 has 2\^63 bytes or more"
    ),
    "empty rows that are no whole blocks": Wrong(
        one(f32(ne=(33, 0), type_id=Q8_0)), "tensor 't' has rows of 33 weights, no multiple"
    ),
    "a scalar in blocks": Wrong(
        one(f32(ne=(), type_id=Q8_0)), "tensor 't' has rows of 1 weights, no multiple of the 32"
    ),
    "many dimensions whose product wraps": Wrong(
        one(f32(ne=(2,) * 63)), r"tensor 't' of shape \[2, 2, 2, 2, ...\] has 2\^63 elements"
    ),
    "an empty dimension that hides a dimension of -1": Wrong(
        one(f32(ne=(2**64 - 1, 0))), "has 18446744073709551615 elements in dimension 0"
    ),
    "a dimension of 2^63": Wrong(one(f32(ne=(2**63,))), "has 9223372036854775808 elements in"),
    "a dimension of -1": Wrong(one(f32(ne=(2**64 - 1,))), "has 18446744073709551615 elements"),
    "two dimensions of -1": Wrong(
        one(f32(ne=(2**64 - 1, 2**64 - 1))), "has 18446744073709551615 elements in dimension 0"
    ),
    **{
        f"a product that wraps to {name}": Wrong(
            one(f32(ne=ne)), r"tensor 't' of shape \[.*\] has 2\^63 elements or more"
        )
        for name, ne in (
            ("0", (HUGE, 4)),
            ("0 at two equal factors", (2**32, 2**32)),
            ("0 at the last of four", (2**16, 2**16, 2**16, 2**16)),
            ("-2^63", (2**21, 2**21, 2**21)),
            ("1", (0xFFFFFFFFFFFFFFF1 // 15 // 3, 3, 15, 31)),
            ("32", (2**62 + 8, 4)),
        )
    },
}

SIZES = {
    "float32 whose bytes wrap to 0": Wrong(
        one(f32(ne=(HUGE,))),
        r"tensor 't' of shape \[4611686018427387904\] in f32 has 2\^63 bytes or more",
    ),
    "float32 whose bytes wrap to 128": Wrong(
        one(f32(ne=(HUGE + 32,))), r"in f32 has 2\^63 bytes or more"
    ),
    "float64 whose bytes wrap with the last dimension": Wrong(
        one(f32(ne=(4, 1 << 59), type_id=F64)), r"in f64 has 2\^63 bytes or more"
    ),
    "int64 whose bytes pass 2^63": Wrong(
        one(f32(ne=(1 << 30, 1 << 30), type_id=I64)), r"in i64 has 2\^63 bytes or more"
    ),
    "q8_0 whose bytes pass 2^63 though its weights do not": Wrong(
        one(f32(ne=(2**63 - 32,), type_id=Q8_0)), r"in q8_0 has 2\^63 bytes or more"
    ),
    "q4_k of 2^62 weights": Wrong(one(f32(ne=(HUGE,), type_id=Q4_K)), "tensor 't' ends at byte 25"),
    **{
        f"a row that cuts a {fmt} block": Wrong(
            one(Tensor("t", (block + block // 2, 1), type_id, bytes(2 * nbytes))),
            f"tensor 't' has rows of {block + block // 2} weights, no multiple of the {block} in",
        )
        for type_id, (fmt, block, nbytes) in BLOCKS.items()
    },
    **{
        f"one byte too few for {fmt}": Wrong(
            one(Tensor("t", (block, 3), type_id, bytes(3 * nbytes - 1))),
            f"tensor 't' ends at byte {96 + 3 * nbytes} of a file of {95 + 3 * nbytes}",
        )
        for type_id, (fmt, block, nbytes) in {
            **BLOCKS,
            F32: ("f32", 1, 4),
            F16: ("f16", 1, 2),
            F64: ("f64", 1, 8),
            I8: ("i8", 1, 1),
            I64: ("i64", 1, 8),
        }.items()
    },
    "rows whose weights make whole blocks together only": Wrong(
        one(Tensor("t", (16, 2), Q8_0, bytes(34))), "tensor 't' has rows of 16 weights, no multip"
    ),
    "no data at all": Wrong(one(f32(data=b"")), "tensor 't' has offset 0 into the data, which"),
    "data that starts behind the end": Wrong(
        one(f32(ne=(1,)))[:ENTRY_ENDS], "which starts at byte 64 of a file of 57"
    ),
    "the last of three tensors cut": Wrong(
        image([], [f32("a"), f32("b"), f32()])[:-1], "tensor 't' ends at byte"
    ),
}

OFFSETS = {
    "a tensor behind the end": Wrong(
        one(f32(offset=128)),
        "tensor 't' has offset 128 into the data, which starts at byte 64 of a file of 192",
    ),
    "a tensor that begins inside and ends outside": Wrong(
        one(f32(offset=96)), "tensor 't' ends at byte 288 of a file of 192"
    ),
    "a tensor far behind the end": Wrong(one(f32(offset=1 << 60)), "has offset 115292150460684"),
    "an offset that wraps to the header": Wrong(
        one(f32(offset=2**64 - 32)), "tensor 't' has offset 18446744073709551584 into the data"
    ),
    "an offset of 2^63": Wrong(one(f32(offset=2**63)), "has offset 9223372036854775808 into"),
    "an offset that wraps when the start is added": Wrong(
        one(f32(offset=2**63 - 32)), "tensor 't' has offset 9223372036854775776 into the data"
    ),
    "an offset that wraps when the size is added": Wrong(
        one(f32(ne=(2**60,), offset=2**62)), "tensor 't' has offset 4611686018427387904 into"
    ),
    "an offset inside with a size that wraps past it": Wrong(
        one(f32(ne=(2**61 - 16,), offset=32)), "tensor 't' ends at byte 9223372036854775840 of"
    ),
    "an unknown type behind the end": Wrong(
        one(f32(type_id=UNKNOWN, offset=1 << 40)),
        "tensor 't' has offset 1099511627776 into the data",
    ),
    "an unknown type that is not aligned": Wrong(
        one(f32(type_id=UNKNOWN, offset=8)), "has offset 8, no multiple of the alignment 32"
    ),
    "an offset of 1": Wrong(one(f32(ne=(4,), offset=1)), "offset 1, no multiple of the alignment"),
    "an offset that is not aligned": Wrong(
        one(f32(ne=(4,), offset=16)), "tensor 't' has offset 16, no multiple of the alignment 32"
    ),
    "an offset that is not aligned to 64": Wrong(
        image([key("general.alignment", "uint32", 64)], [f32(ne=(4,), offset=32)], alignment=64),
        "tensor 't' has offset 32, no multiple of the alignment 64",
    ),
    "an alignment that moves the data behind the end": Wrong(
        image([key("general.alignment", "uint32", 2**31)], [f32()]),
        "offset 0 into the data, which starts at byte 2147483648 of a file of",
    ),
}

DEPTHS = {
    "a depth of 0": Wrong(
        depth(0), r"key 'qkernels.k.t' is 0, which does not round up to rows of 512"
    ),
    "a depth below zero": Wrong(depth(-512), "key 'qkernels.k.t' is -512, which does not round up"),
    "a depth of -2^63": Wrong(depth(-(2**63)), "is -9223372036854775808, which does not round"),
    "a depth of a block less": Wrong(depth(256), "is 256, which does not round up to rows of 512"),
    "a depth past the row": Wrong(depth(513), "is 513, which does not round up"),
    "a depth of 2^63 - 1": Wrong(depth(2**63 - 1), "is 9223372036854775807, which does not round"),
    "a depth of 2^63": Wrong(
        depth(2**63, kind="uint64"), "key 'qkernels.k.t' is 9223372036854775808, which passes 2"
    ),
    "a depth that is a string": Wrong(
        image([key(DEPTH, "string", "300")], [Q4_K_TENSOR]),
        "key 'qkernels.k.t' is a string; expected an integer",
    ),
    "a depth that is a float": Wrong(
        depth(300, kind="float32"), "key 'qkernels.k.t' is a float32; expected an integer"
    ),
    "a depth that is a bool": Wrong(depth(1, kind="bool"), "is a bool; expected an integer"),
    "a depth that is an array": Wrong(
        image([array_key(DEPTH, "int32", [300])], [Q4_K_TENSOR]),
        "key 'qkernels.k.t' is an array of int32; expected an integer",
    ),
    "a float row of another depth": Wrong(depth(31, f32()), "is 31, which does not round up to"),
    "a depth past a row of an unknown type": Wrong(
        depth(33, f32(type_id=UNKNOWN)), "is 33, which does not round up to rows of 32"
    ),
}

WRONG_TENSORS = ENTRIES
FAULTY_TENSORS = SHAPES | SIZES | OFFSETS | DEPTHS  # whose fault is that of 't' alone
