"""Notes of `qkernels verify`: what others refuse of a file, and the parts that are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from gguf_files import I8, UNKNOWN, Tensor, f32, image, key, load, raw_key, u32, u64
from qkernels.cli.app import app
from qkernels.files.ggml_rules import notes_on
from qkernels.files.parts import part_of


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


NOTED = {
    "tensors that overlap": (
        image([], [f32("a"), f32("b", ne=(16,), offset=64, data=b"")]),
        ["tensor 'b' overlaps 'a', which ggml refuses", "tensor 'b' is at byte"],
    ),
    "three at one place": (
        image([], [f32("a", offset=0), f32("b", offset=0, data=b""), f32("c", offset=0, data=b"")]),
        ["tensor 'b' overlaps 'a', and 1 more, which ggml refuses", "tensor 'b' is at byte"],
    ),
    "a gap": (
        image([], [f32("a", data=bytes(160)), f32("b")]),
        ["tensor 'b' is at byte 256, and ggml expects it at 224, behind the one before it"],
    ),
    "another order": (
        image([], [f32("a", ne=(8,), offset=32), f32("b", ne=(8,), offset=0, data=b"")]),
        ["tensor 'a' is at byte 128, and ggml expects it at 96"],
    ),
    "a long name": (
        image([], [f32("x" * 64)]),
        [f"1 tensor ('{'x' * 63}') with a name of 64 bytes or more, which ggml refuses"],
    ),
    "many long names": (
        image([], [f32(f"{i}{'x' * 63}") for i in range(5)]),
        ["5 tensors ('0"],
    ),
    "null characters": (
        image([key("k\0l", "uint8", 1)], [f32("a\0b")]),
        ["1 key ('k\\x00l') with a null character", "1 tensor ('a\\x00b') with a null character"],
    ),
    "no key": (image([key("", "uint8", 1)], [f32()]), ["a key is empty, which ggml refuses"]),
    "arrays of arrays": (
        image([raw_key("k", 9, u32(9) + u64(0))], [f32()]),
        ["1 key ('k') with arrays of arrays, which ggml refuses"],
    ),
    "five dimensions": (
        image([], [f32(ne=(2,) * 5)]),
        ["1 tensor ('t') with over 4 dimensions, which ggml refuses"],
    ),
    "an alignment of 4": (
        image([key("general.alignment", "uint32", 4)], [f32()], alignment=4),
        ["the alignment 4 is no multiple of 8, as GGUF's specification asks"],
    ),
    "nothing": (image([key("a", "uint8", 1)], [f32("a"), Tensor("b", (3,), I8, b"abc")]), []),
    "nothing, with scalars and empty tensors": (
        image([], [f32("a", ne=(0,), data=b""), f32("s", ne=(), data=bytes(4)), f32("b")]),
        [],
    ),
}


@pytest.mark.parametrize("case", NOTED)
def test_what_ggml_refuses_is_noted_and_is_no_fault(tmp_path: Path, case: str) -> None:
    raw, expected = NOTED[case]
    file = load(tmp_path / "a.gguf", raw)
    notes = notes_on(file)
    assert len(notes) == len(expected)
    for note, start in zip(notes, expected, strict=True):
        assert note.startswith(start)
    shown = invoke("verify", tmp_path / "a.gguf")
    assert shown.exit_code == 0
    assert shown.stdout.count("note: ") == len(expected)
    found = json.loads(invoke("verify", tmp_path / "a.gguf", "--json").stdout)
    assert (found["sound"], found["notes"]) == (True, notes)


def test_nothing_is_expected_behind_a_tensor_of_unknown_size(tmp_path: Path) -> None:
    odd = Tensor("odd", (7,), UNKNOWN, bytes(7))
    assert notes_on(load(tmp_path / "a.gguf", image([], [odd, f32()]))) == []


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The first of three parts, with the third beside it."""
    for number in (0, 2):
        keys = {"split.no": number, "split.count": 3, "split.tensors.count": 9}
        path = tmp_path / f"m-{number + 1:05}-of-00003.gguf"
        qk.save_gguf(path, {f"blk.{number}.w": np.ones(4, np.float32)}, keys)
    return tmp_path / "m-00001-of-00003.gguf"


def test_a_part_says_which_it_is_and_what_is_missing(first: Path) -> None:
    notes = [
        "part 1 of 3: the model's other tensors are in other files",
        "1 of the 3 parts are not beside it: m-00002-of-00003.gguf",
    ]
    file = qk.load_gguf(first)
    assert str(part_of(file.metadata)) == "part 1 of 3"
    assert notes_on(file) == notes
    for command in ("verify", "inspect"):
        shown = invoke(command, first)
        assert shown.exit_code == 0
        for note in notes:
            assert f"note: {note}" in shown.stdout
        assert json.loads(invoke(command, first, "--json").stdout)["notes"] == notes
    with pytest.raises(KeyError, match="it is part 1 of 3, and the others have the other tensors"):
        file["blk.2.w"]


def test_all_parts_beside_each_other_are_not_missing(first: Path) -> None:
    (first.parent / "m-00002-of-00003.gguf").touch()
    assert len(notes_on(qk.load_gguf(first))) == 1


def test_a_part_of_another_name_does_not_say_what_is_missing(first: Path) -> None:
    other = first.rename(first.parent / "other.gguf")
    assert len(notes_on(qk.load_gguf(other))) == 1


@pytest.mark.parametrize("count", [0, 1, -3, "3", [3], 3.0])
def test_a_whole_file_is_no_part(tmp_path: Path, count: object) -> None:
    qk.save_gguf(tmp_path / "a.gguf", {"w": np.ones(4)}, {"split.no": 0, "split.count": count})
    file = qk.load_gguf(tmp_path / "a.gguf")
    assert part_of(file.metadata) is None
    assert notes_on(file) == []


# What somebody hands in where a path belongs.


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_contents_of_a_file_are_no_path(kind: Any) -> None:
    error = ValueError if kind is bytes else TypeError
    raw = image([], [f32()])
    with pytest.raises(error, match=rf"takes a path, and these are {len(raw)} bytes that start"):
        qk.load_gguf(kind(raw))


def test_a_path_in_bytes_is_a_path(tmp_path: Path) -> None:
    load(tmp_path / "a.gguf", image([], [f32()]))
    path = bytes(tmp_path / "a.gguf")
    file = qk.load_gguf(path)  # type: ignore[arg-type]
    assert (list(file), file.path) == (["t"], tmp_path / "a.gguf")
    qk.save_gguf(path, file, file.metadata)  # type: ignore[arg-type]
    assert list(qk.load_gguf(tmp_path / "a.gguf")) == ["t"]
