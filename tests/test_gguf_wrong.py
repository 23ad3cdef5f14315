"""GGUF files at fault: what is wrong is said, with the values, whatever the bytes."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import qkernels as qk
from gguf_files import (
    BYTES_32,
    F64,
    NEVER_READ,
    Q4_K,
    REMOVED,
    UNKNOWN,
    Tensor,
    array_key,
    f32,
    image,
    key,
    load,
    raw_key,
    text,
    u32,
    u64,
)

NDArray = np.ndarray[Any, Any]


@pytest.fixture(params=[True, False], ids=["mapped", "copied"])
def mmap(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def array_of(file: qk.GGUFFile, name: str) -> NDArray:
    tensor = file[name]
    assert isinstance(tensor, np.ndarray)
    return tensor


def matrix_of(file: qk.GGUFFile, name: str) -> qk.QTensor:
    tensor = file[name]
    assert isinstance(tensor, qk.QTensor)
    return tensor


# Tensors of types that are not read here do not keep the file from opening.


@pytest.mark.parametrize(
    ("type_id", "message"),
    [
        (UNKNOWN, "tensor 'odd' has the unknown type 777"),
        (REMOVED, r"tensor 'odd' has type q4_0_4_4 \(31\), which GGUF has removed"),
        (NEVER_READ, r"tensor 'odd' has type q1_0 \(41\), which qkernels does not multiply by yet"),
    ],
)
def test_a_type_that_is_not_read_raises_for_its_tensor_only(
    path: Path, type_id: int, message: str
) -> None:
    odd = Tensor("odd", (128,), type_id, bytes(18))
    file = load(path, image([], [odd, f32()]))
    assert list(file) == ["odd", "t"]
    assert array_of(file, "t").tobytes() == BYTES_32
    with pytest.raises(ValueError, match=message):
        file["odd"]


def test_every_type_that_the_gguf_package_knows_is_read_or_refused_by_name(path: Path) -> None:
    for type_id, (block, nbytes) in gguf.GGML_QUANT_SIZES.items():
        size = 36 if type_id.name == "Q8_1" else nbytes  # as ggml has it; the package errs
        name = type_id.name.lower()
        file = load(path, image([], [Tensor("t", (block, 1), type_id, bytes(size))]))
        if name in qk.formats():
            assert matrix_of(file, "t").fmt == name
        elif name in ("i8", "i16", "i32", "i64", "f64"):
            assert array_of(file, "t").shape == (1, 1)
        else:
            with pytest.raises(ValueError, match=rf"type {name} \({type_id.value}\), which"):
                file["t"]
        # The size of a type that is known is checked, read or not.
        raw = image([], [Tensor("t", (block, 2), type_id, bytes(2 * size - 1))])
        with pytest.raises(ValueError, match="tensor 't' ends at byte"):
            load(path, raw)


HUGE = 1 << 62
DEPTH = "qkernels.k.t"
Q4_K_TENSOR = Tensor("t", (512,), Q4_K, bytes(288))


def depth(k: int, tensor: Tensor = Q4_K_TENSOR) -> bytes:
    return image([key(DEPTH, "int64", k)], [tensor])


WRONG: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "not a GGUF file: it has 0 bytes, and a GGUF header 24"),
    "a header cut short": (image()[:23], "it has 23 bytes"),
    "another kind of file": (b"\x7fELF" + bytes(60), r"it starts with '\\x7fELF'"),
    "the oldest version": (image(version=1), "GGUF version 1; qkernels reads versions 2 and 3"),
    "no version": (image(version=0), "GGUF version 0;"),
    "a version to come": (image(version=4), "GGUF version 4;"),
    "big-endian": (
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        r"a big-endian GGUF file \(version 3\); qkernels reads little-endian",
    ),
    "keys that are not there": (image(key_count=1), "promises 1 keys, with 0 bytes left"),
    "tensors that are not there": (image(tensor_count=9), "promises 9 tensors, with 0 bytes left"),
    "too many keys": (image(key_count=262145), "promises 262145 keys; qkernels reads at most"),
    "too many tensors": (image(tensor_count=262145), "promises 262145 tensors; qkernels reads"),
    "2^64 - 1 keys": (image(key_count=2**64 - 1), "promises 18446744073709551615 keys"),
    "2^64 - 1 tensors": (image(tensor_count=2**64 - 1), "promises 18446744073709551615 tensors"),
    "a key's name that ends outside": (
        image([u64(100) + bytes(20)]),
        "a key's name needs 100 bytes at byte 32, with 20 left",
    ),
    "a key's name of 2^64 - 1 bytes": (
        image([u64(2**64 - 1) + bytes(20)]),
        "a key's name needs 18446744073709551615 bytes",
    ),
    "a key without a type": (image([text("abcdefgh")]), "key 'abcdefgh' needs 4 bytes"),
    "a key without a value": (image([raw_key("abc", 10, b"1234")]), "key 'abc' needs 8 bytes"),
    "a type of value that is unknown": (
        image([raw_key("abc", 13, bytes(8))]),
        "key 'abc' has the unknown value type 13",
    ),
    "a string that ends outside": (
        image([raw_key("abc", 8, u64(9) + b"12345678")]),
        "string 0 of key 'abc' needs 9 bytes at byte 47, with 8 left",
    ),
    "a string of 2^63 bytes": (
        image([raw_key("abc", 8, u64(2**63) + b"12345678")]),
        "needs 9223372036854775808 bytes",
    ),
    "the third string of an array": (
        image([raw_key("abc", 9, u32(8) + u64(3) + text("a") + text("b") + u64(9))]),
        "string 2 of key 'abc' needs 9 bytes",
    ),
    "a bool of 2": (image([key("abc", "bool", 2)]), "key 'abc' has a bool of 2 at index 0"),
    "a bool of 255 in an array": (
        image([array_key("abc", "bool", [0, 1, 255])]),
        "key 'abc' has a bool of 255 at index 2; expected 0 or 1",
    ),
    "an array of arrays": (
        image([raw_key("abc", 9, u32(9) + u64(1) + bytes(12))]),
        "key 'abc' is an array of arrays, which qkernels does not read",
    ),
    "an array of an unknown type": (
        image([raw_key("abc", 9, u32(77) + u64(1) + bytes(12))]),
        "key 'abc' is an array of the unknown value type 77",
    ),
    "an array without its length": (image([raw_key("abc", 9, u32(4))]), "key 'abc' needs 8 bytes"),
    "an array that ends outside": (
        image([array_key("abc", "int32", [1, 2], count=3)]),
        "key 'abc' is an array of 3 int32 values, with 8 bytes left",
    ),
    "an array whose bytes wrap": (
        image([array_key("abc", "float64", [1.0], count=2**61)]),
        "array of 2305843009213693952 float64 values, with 8 bytes left",
    ),
    "strings that are not there": (
        image([array_key("abc", "string", ["a"], count=2**40)]),
        "array of 1099511627776 string values",
    ),
    "a key twice": (
        image([key("a", "uint8", 1), key("b", "uint8", 1), key("a", "uint8", 1)]),
        "key 'a' occurs twice",
    ),
    "a tensor twice": (image([], [f32("a"), f32("b"), f32("a")]), "tensor 'a' occurs twice"),
    "an alignment of 0": (
        image([key("general.alignment", "uint32", 0)]),
        "general.alignment is 0; expected a power of two",
    ),
    "an alignment of 24": (
        image([key("general.alignment", "uint32", 24)]),
        "general.alignment is 24; expected a power of two",
    ),
    "an alignment of another type": (
        image([key("general.alignment", "uint64", 32)]),
        "general.alignment is a uint64; expected a uint32",
    ),
    "an array of alignments": (
        image([array_key("general.alignment", "uint32", [32])]),
        "general.alignment is an array of uint32; expected a uint32",
    ),
    "a tensor's name that ends outside": (
        image([], [f32()], tensor_count=1)[:24] + u64(99) + bytes(40),
        "a tensor's name needs 99 bytes",
    ),
    "no dimensions": (image([], [f32(ne=())]), "tensor 't' has 0 dimensions; expected 1 to 4"),
    "five dimensions": (image([], [f32(ne=(1, 1, 1, 1, 1))]), "tensor 't' has 5 dimensions"),
    "2^32 - 1 dimensions": (image([], [f32(ndim=2**32 - 1)]), "has 4294967295 dimensions"),
    "dimensions that are not there": (
        image([], [f32("t" * 20, ne=(1,), ndim=2)])[:64],
        "tensor 'tttttttttttttttttttt' needs 8 bytes at byte 64, with 0 left",
    ),
    "an empty dimension": (
        image([], [f32(ne=(32, 0))]),
        "tensor 't' has 0 elements in dimension 1; expected 1 or more, below 2",
    ),
    "an empty dimension that hides a product": (
        image([], [f32(ne=(HUGE, HUGE, 0))]),
        "tensor 't' has 0 elements in dimension 2",
    ),
    "a dimension of 2^63": (image([], [f32(ne=(2**63,))]), "has 9223372036854775808 elements in"),
    "a dimension of -1": (image([], [f32(ne=(2**64 - 1,))]), "has 18446744073709551615 elements"),
    "a product that wraps": (
        image([], [f32(ne=(HUGE, 4))]),
        r"tensor 't' of shape \[4611686018427387904, 4\] has 2\^63 elements or more",
    ),
    "bytes that wrap": (
        image([], [f32(ne=(HUGE,))]),
        r"tensor 't' of shape \[4611686018427387904\] in f32 has 2\^63 bytes or more",
    ),
    "bytes that wrap with the last dimension": (
        image([], [f32(ne=(4, 1 << 59), type_id=F64)]),
        r"in f64 has 2\^63 bytes or more",
    ),
    "a row that cuts a block": (
        image([], [Tensor("t", (576, 1), Q4_K, bytes(432))]),
        "tensor 't' has rows of 576 weights, no multiple of the 256 in a q4_k block",
    ),
    "one byte too few": (
        image([], [f32(data=bytes(127))]),
        r"tensor 't' ends at byte 192 of a file of 191",
    ),
    "a tensor behind the end": (
        image([], [f32(offset=128)]),
        "tensor 't' has offset 128 into the data, which starts at byte 64 of a file of 192",
    ),
    "a tensor far behind the end": (image([], [f32(offset=1 << 60)]), "has offset 115292150460684"),
    "an offset that wraps": (
        image([], [f32(offset=2**64 - 32)]),
        "tensor 't' has offset 18446744073709551584 into the data",
    ),
    "an offset that wraps when the start is added": (
        image([], [f32(offset=2**63 - 32)]),
        "tensor 't' has offset 9223372036854775776 into the data",
    ),
    "an unknown type behind the end": (
        image([], [f32(type_id=UNKNOWN, offset=1 << 40)]),
        "tensor 't' has offset 1099511627776 into the data",
    ),
    "an offset that is not aligned": (
        image([], [f32(ne=(4,), offset=16)]),
        "tensor 't' has offset 16, no multiple of the alignment 32",
    ),
    "an offset that is not aligned to 64": (
        image([key("general.alignment", "uint32", 64)], [f32(ne=(4,), offset=32)], alignment=64),
        "tensor 't' has offset 32, no multiple of the alignment 64",
    ),
    "a depth of 0": (depth(0), r"key 'qkernels.k.t' is 0, which does not round up to rows of 512"),
    "a depth below zero": (depth(-512), "key 'qkernels.k.t' is -512, which does not round up"),
    "a depth of a block less": (depth(256), "is 256, which does not round up to rows of 512 in"),
    "a depth past the row": (depth(513), "is 513, which does not round up"),
    "a depth of 2^63 - 1": (depth(2**63 - 1), "is 9223372036854775807, which does not round up"),
    "a depth of 2^63": (
        image([key(DEPTH, "uint64", 2**63)], [Q4_K_TENSOR]),
        "key 'qkernels.k.t' is 9223372036854775808, which passes 2",
    ),
    "a depth that is a string": (
        image([key(DEPTH, "string", "300")], [Q4_K_TENSOR]),
        "key 'qkernels.k.t' is a string; expected an integer",
    ),
    "a depth that is an array": (
        image([array_key(DEPTH, "int32", [300])], [Q4_K_TENSOR]),
        "key 'qkernels.k.t' is an array of int32; expected an integer",
    ),
    "a float row of another depth": (depth(31, f32()), "is 31, which does not round up to rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(path: Path, mmap: bool, case: str) -> None:
    raw, message = WRONG[case]
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=message) as caught:
        qk.load_gguf(path, mmap=mmap)
    assert str(caught.value).startswith(f"{path}: ")


def test_metadata_past_256_mib_is_refused_by_name(path: Path) -> None:
    with path.open("wb") as file:
        file.write(image([array_key("k", "uint8", [], count=257 << 20)]))
        file.truncate(300 << 20)  # a hole: nothing is written
    with pytest.raises(ValueError, match=r"269484032 uint8 values.* of the 256 MiB of metadata"):
        qk.load_gguf(path)


def test_names_in_messages_are_cut_and_escaped(path: Path) -> None:
    name = b"\x1b[31m\n\xff" + b"x" * 100_000
    with pytest.raises(ValueError, match="occurs twice") as caught:
        load(path, image([key(name, "bool", 1)] * 2))
    said = str(caught.value).removeprefix(f"{path}: ")
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 120
    assert "x..." in said


def test_every_shorter_file_is_refused(path: Path) -> None:
    raw = image([key("a", "uint8", 1), array_key("b", "string", ["x", "y"])], [f32()])
    for size in range(len(raw)):
        with pytest.raises(ValueError, match=r"model\.gguf: "):
            load(path, raw[:size])


def test_a_file_that_shrank_raises(path: Path) -> None:
    raw = image([key("a", "uint8", 1), key("b", "uint8", 2)], [f32()])
    file = load(path, raw)
    assert file.metadata["a"] == 1
    os.truncate(path, 100)
    look_ups: list[Callable[[], object]] = [
        lambda: file["t"],
        lambda: file.metadata["b"],
        lambda: list(file),
        lambda: "t" in file,
    ]
    for look_up in look_ups:
        with pytest.raises(ValueError, match=f"the file shrank from {len(raw)} to 100 bytes"):
            look_up()
    path.write_bytes(raw)
    assert array_of(file, "t").tobytes() == BYTES_32


def test_a_copied_file_may_shrink(path: Path) -> None:
    file = load(path, image([key("a", "string", "b")], [f32()]), mmap=False)
    path.write_bytes(b"")
    path.unlink()
    assert file.metadata["a"] == "b"
    assert array_of(file, "t").tobytes() == BYTES_32


def test_a_mapped_file_may_be_removed(path: Path) -> None:
    file = load(path, image([], [f32()]))
    path.unlink()
    assert array_of(file, "t").tobytes() == BYTES_32
