"""Files whose header or metadata is wrong: by name, with what is said about each."""

from __future__ import annotations

import struct

from gguf_files import (
    VALUE_TYPES,
    Wrong,
    array_key,
    element,
    f32,
    image,
    key,
    raw_key,
    text,
    u32,
    u64,
)

MIB = 1 << 20
PAST_METADATA = 260 * MIB


def _with_count(what: str, count: int) -> bytes:
    """A file whose header promises `count` keys or tensors."""
    return image(key_count=count) if what == "keys" else image(tensor_count=count)


NOT_GGUF = {
    "an empty file": Wrong(b"", "not a GGUF file: it has 0 bytes, and a GGUF header 24"),
    "one byte": Wrong(b"G", "it has 1 bytes"),
    "nothing but the magic": Wrong(b"GGUF", "it has 4 bytes"),
    "a header without its count of keys": Wrong(image()[:16], "it has 16 bytes"),
    "a header cut short": Wrong(image()[:23], "it has 23 bytes"),
    "an ELF file": Wrong(b"\x7fELF" + bytes(60), r"it starts with '\\x7fELF'"),
    "a zip archive": Wrong(b"PK\x03\x04" + bytes(60), r"it starts with 'PK\\x03\\x04'"),
    "a gzipped file": Wrong(b"\x1f\x8b\x08\0" + bytes(60), r"it starts with '\\x1f\\x8b"),
    "a safetensors file": Wrong(u64(56) + b'{"__metadata__":{}}' + bytes(37), "not a GGUF file"),
    "a pointer of git-lfs": Wrong(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "not a GGUF file: it starts with 'vers'",
    ),
    "a web page": Wrong(b"<!DOCTYPE html><html>404</html>", "it starts with '<!DO'"),
    "the format before GGUF": Wrong(b"tjgg" + u32(3) + bytes(40), "it starts with 'tjgg'"),
    "the magic in lower case": Wrong(image(magic=b"gguf"), "it starts with 'gguf'"),
    "the magic backwards": Wrong(image(magic=b"FUGG"), "it starts with 'FUGG'"),
    "a byte order mark": Wrong(b"\xef\xbb\xbf" + image(), r"it starts with '\\xef\\xbb\\xbfG'"),
    "zeros": Wrong(bytes(64), r"it starts with '\\x00\\x00\\x00\\x00'"),
    "a hole": Wrong(b"", "it starts with", size=PAST_METADATA),
    "the oldest version": Wrong(
        image(version=1), "GGUF version 1; qkernels reads versions 2 and 3"
    ),
    "no version": Wrong(image(version=0), "GGUF version 0;"),
    "a version to come": Wrong(image(version=4), "GGUF version 4;"),
    "version 2^32 - 1": Wrong(image(version=2**32 - 1), "GGUF version 4294967295;"),
    "big-endian": Wrong(
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        r"a big-endian GGUF file \(version 3\); qkernels reads little-endian",
    ),
    "big-endian of the version before": Wrong(
        b"GGUF" + struct.pack(">IQQ", 2, 0, 0), r"a big-endian GGUF file \(version 2\)"
    ),
}

COUNTS = {
    "keys that are not there": Wrong(image(key_count=1), "promises 1 keys, with 0 bytes left"),
    "tensors that are not there": Wrong(
        image(tensor_count=9), "promises 9 tensors, with 0 bytes left"
    ),
    "one key more than there is": Wrong(
        image([key("a", "uint64", 1)], key_count=2), "promises 2 keys, with 21 bytes left"
    ),
    "one key fewer than there is": Wrong(
        image([key("a", "uint8", 1), key("b", "uint32", 2)], key_count=1, tensor_count=1),
        "promises 1 tensors, with 17 bytes left",
    ),
    "one tensor more than there is": Wrong(
        image([], [f32(data=b"", ne=(1,))], tensor_count=2)[:61],
        "promises 2 tensors, with 37 bytes left",
    ),
    "too many keys": Wrong(image(key_count=262145), "promises 262145 keys, with 0 bytes left"),
    "too many tensors": Wrong(
        image(tensor_count=262145), "promises 262145 tensors, with 0 bytes left"
    ),
    "as many keys as may be, of zeros": Wrong(
        image(key_count=(256 * MIB - 24) // 13), "key '' occurs twice", size=PAST_METADATA
    ),
    "as many tensors as may be, of zeros": Wrong(
        image(tensor_count=(256 * MIB - 24) // 24), "tensor '' occurs twice", size=PAST_METADATA
    ),
    "a key more than may be, of zeros": Wrong(
        image(key_count=(256 * MIB - 24) // 13 + 1),
        "with 268435432 bytes left of the 256 MiB of metadata",
        size=PAST_METADATA,
    ),
    **{
        f"{name} {what}": Wrong(_with_count(what, count), f"promises {count} {what}")
        for what in ("keys", "tensors")
        for name, count in (
            ("2^32", 2**32),
            ("2^63 - 1", 2**63 - 1),
            ("2^63", 2**63),
            ("2^64 - 1", 2**64 - 1),
        )
    },
}

KEYS = {
    "a key's name that ends outside": Wrong(
        image([u64(100) + bytes(20)]), "a key's name needs 100 bytes at byte 32, with 20 left"
    ),
    "a key's name of 2^63 bytes": Wrong(
        image([u64(2**63) + bytes(20)]), "a key's name needs 9223372036854775808 bytes"
    ),
    "a key's name of 2^64 - 1 bytes": Wrong(
        image([u64(2**64 - 1) + bytes(20)]), "a key's name needs 18446744073709551615 bytes"
    ),
    "a key's name that wraps to the start": Wrong(
        image([u64(2**64 - 32) + bytes(20)]), "a key's name needs 18446744073709551584 bytes"
    ),
    "a key's name past the metadata": Wrong(
        image([u64(257 * MIB)]),
        "a key's name needs 269484032 bytes .* of the 256 MiB of metadata",
        size=PAST_METADATA,
    ),
    "a key without a type": Wrong(image([text("abcdefgh")]), "key 'abcdefgh' needs 4 bytes"),
    "half a type": Wrong(image([text("abcdefgh") + b"\0\0"]), "needs 4 bytes at byte 40, with 2"),
    "a key without a value": Wrong(image([raw_key("abc", 10, b"1234")]), "key 'abc' needs 8 bytes"),
    "a key twice": Wrong(
        image([key("a", "uint8", 1), key("b", "uint8", 1), key("a", "uint8", 1)]),
        "key 'a' occurs twice",
    ),
    "a key twice, of other types": Wrong(
        image([key("a", "uint8", 1), key("a", "string", "x")]), "key 'a' occurs twice"
    ),
    "keys without a name": Wrong(image([key("", "bool", 0)] * 2), "key '' occurs twice"),
    "a key twice that is not UTF-8": Wrong(
        image([key(b"\xff\0", "bool", 0)] * 2), r"key '\\xff\\x00' occurs twice"
    ),
    "two keys twice": Wrong(
        image([key(name, "bool", 0) for name in "abcba"]), "key 'b' occurs twice"
    ),
    "100,000 times one key": Wrong(
        image([key("general.name", "bool", 1)] * 100_000), "key 'general.name' occurs twice"
    ),
}

VALUES = {
    **{
        f"a {kind} cut short": Wrong(
            image([key("a", kind, "x" if kind == "string" else 1)])[:-1], r"key 'a' needs \d"
        )
        for kind in VALUE_TYPES
        if kind != "array"
    },
    **{
        f"a value of type {type_id}": Wrong(
            image([raw_key("abc", type_id, bytes(8))]),
            f"key 'abc' has the unknown value type {type_id}",
        )
        for type_id in (13, 256, 2**31, 2**32 - 1)
    },
    "a string without a length": Wrong(
        image([raw_key("abc", 8, b"1234567")]), "string 0 of key 'abc' needs 8 bytes"
    ),
    "a string that ends outside": Wrong(
        image([raw_key("abc", 8, u64(9) + b"12345678")]),
        "string 0 of key 'abc' needs 9 bytes at byte 47, with 8 left",
    ),
    "a string of 2^63 bytes": Wrong(
        image([raw_key("abc", 8, u64(2**63) + b"12345678")]), "needs 9223372036854775808 bytes"
    ),
    "a string that wraps to the start": Wrong(
        image([raw_key("abc", 8, u64(2**64 - 47))]), "needs 18446744073709551569 bytes"
    ),
    "a string past the metadata": Wrong(
        image([raw_key("abc", 8, u64(257 * MIB))]),
        "string 0 of key 'abc' needs 269484032 bytes .* of the 256 MiB of metadata",
        size=PAST_METADATA,
    ),
}

ARRAYS = {
    **{
        f"a {kind} missing at the end of an array": Wrong(
            image([array_key("abc", kind, [1] * 8, count=9)]),
            f"key 'abc' is an array of 9 {kind} values, with {8 * len(element(kind, 1))} bytes",
        )
        for kind in VALUE_TYPES
        if kind not in ("array", "string")
    },
    **{
        f"an array of {kind} whose bytes wrap": Wrong(
            image([array_key("abc", kind, [1], count=2**64 // size + 1)]),
            f"array of {2**64 // size + 1} {kind} values, with {size} bytes left",
        )
        for kind, size in (("uint16", 2), ("float32", 4), ("int64", 8), ("float64", 8))
    },
    **{
        f"an array of {name} {kind} values": Wrong(
            image([array_key("abc", kind, [], count=count)]), f"array of {count} {kind} values"
        )
        for kind in ("uint8", "bool", "string", "float64")
        for name, count in (("2^61", 2**61), ("2^63", 2**63), ("2^64 - 1", 2**64 - 1))
    },
    "the third string of an array": Wrong(
        image([raw_key("abc", 9, u32(8) + u64(3) + text("a") + text("b") + u64(9))]),
        "string 2 of key 'abc' needs 9 bytes",
    ),
    "strings whose lengths wrap together": Wrong(
        image([raw_key("abc", 9, u32(8) + u64(2) + u64(2**63) + u64(2**63) + bytes(8))]),
        "string 0 of key 'abc' needs 9223372036854775808 bytes",
    ),
    "strings that are not there": Wrong(
        image([array_key("abc", "string", ["a"], count=2**40)]),
        "array of 1099511627776 string values",
    ),
    "arrays in arrays, 10,000 deep, the last one missing": Wrong(
        image([raw_key("abc", 9, (u32(9) + u64(1)) * 10_000)]),
        "key 'abc' is an array of 1 array values, with 0 bytes left",
    ),
    "arrays that are not there": Wrong(
        image([raw_key("abc", 9, u32(9) + u64(2**60))]),
        "key 'abc' is an array of 1152921504606846976 array values, with 0 bytes left",
    ),
    "an array in an array that ends outside": Wrong(
        image([raw_key("abc", 9, u32(9) + u64(2) + u32(4) + u64(1) + u32(7) + u32(4) + u64(9))]),
        "key 'abc' is an array of 9 uint32 values, with 0 bytes left",
    ),
    "a string in an array in an array that ends outside": Wrong(
        image([raw_key("abc", 9, u32(9) + u64(1) + u32(8) + u64(1) + u64(5))]),
        "string 0 of key 'abc' needs 5 bytes",
    ),
    "an array in an array of type 13": Wrong(
        image([raw_key("abc", 9, u32(9) + u64(1) + u32(13) + u64(0))]),
        "key 'abc' is an array of the unknown value type 13",
    ),
    "an array of type 13": Wrong(
        image([raw_key("abc", 9, u32(13) + u64(1) + bytes(12))]),
        "key 'abc' is an array of the unknown value type 13",
    ),
    "an empty array of type 2^32 - 1": Wrong(
        image([raw_key("abc", 9, u32(2**32 - 1) + u64(0))]), "unknown value type 4294967295"
    ),
    "an array without its type": Wrong(image([raw_key("abc", 9, b"\4")]), "needs 4 bytes"),
    "an array without its length": Wrong(
        image([raw_key("abc", 9, u32(4))]), "key 'abc' needs 8 bytes"
    ),
    "an array past the metadata": Wrong(
        image([array_key("k", "uint8", [], count=257 * MIB)]),
        "269484032 uint8 values.* of the 256 MiB of metadata",
        size=PAST_METADATA,
    ),
}

ALIGNMENTS = {
    **{
        f"an alignment of {alignment}": Wrong(
            image([key("general.alignment", "uint32", alignment)]),
            f"general.alignment is {alignment}; expected a power of two",
        )
        for alignment in (0, 3, 24, 33, 2**31 + 1, 2**32 - 1)
    },
    **{
        f"an alignment that is a {kind}": Wrong(
            image([key("general.alignment", kind, value)]),
            f"general.alignment is a {kind}; expected a uint32",
        )
        for kind, value in (
            ("uint64", 32),
            ("int32", 32),
            ("uint8", 32),
            ("float32", 32),
            ("bool", 1),
            ("string", "32"),
        )
    },
    "an array of alignments": Wrong(
        image([array_key("general.alignment", "uint32", [32])]),
        "general.alignment is an array of uint32; expected a uint32",
    ),
}

WRONG_HEADS = NOT_GGUF | COUNTS | KEYS | VALUES | ARRAYS | ALIGNMENTS
