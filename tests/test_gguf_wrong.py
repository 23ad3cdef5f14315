"""GGUF files at fault: what is wrong is said, with the values, whatever the bytes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

import qkernels as qk
from gguf_contents import array_of, matrix_of
from gguf_files import (
    BYTES_32,
    NEVER_READ,
    REMOVED,
    UNKNOWN,
    Tensor,
    Wrong,
    array_key,
    f32,
    image,
    key,
    load,
)
from gguf_wrong_head import WRONG_HEADS
from gguf_wrong_tensors import WRONG_TENSORS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


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


WRONG = WRONG_HEADS | WRONG_TENSORS


def test_the_names_of_the_wrong_files_are_their_own() -> None:
    assert len(WRONG) == len(WRONG_HEADS) + len(WRONG_TENSORS)


def check_wrong(path: Path, wrong: Wrong, *, mmap: bool) -> float:
    """The processor time until the file is refused, with its path and what is wrong."""
    wrong.write(path)
    start = time.process_time()
    with pytest.raises(ValueError, match=wrong.message) as caught:
        qk.load_gguf(path, mmap=mmap)
    seconds = time.process_time() - start
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(f"{path}: ")
    return seconds


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_within_a_second(path: Path, case: str) -> None:
    assert check_wrong(path, WRONG[case], mmap=True) < 1


@pytest.mark.parametrize("case", [case for case, wrong in WRONG.items() if not wrong.size])
def test_what_is_wrong_in_a_copied_file_is_said_within_a_second(path: Path, case: str) -> None:
    assert check_wrong(path, WRONG[case], mmap=False) < 1


def test_what_is_wrong_in_a_large_copied_file_is_said_when_it_is_read(path: Path) -> None:
    check_wrong(path, WRONG["a string past the metadata"], mmap=False)


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
