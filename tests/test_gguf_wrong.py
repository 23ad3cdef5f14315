"""GGUF files at fault: what is wrong is said, with the values, whatever the bytes."""

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
import pytest

import qkernels as qk
from gguf_contents import array_of, matrix_of
from gguf_files import (
    BYTES_32,
    NEVER_READ,
    Q8_0,
    REMOVED,
    UNKNOWN,
    Tensor,
    Wrong,
    array_key,
    f32,
    image,
    key,
    load,
    raw_key,
    u32,
    u64,
)
from gguf_wrong_head import WRONG_HEADS
from gguf_wrong_tensors import FAULTY_TENSORS, WRONG_TENSORS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


# Tensors of types that are not read here do not keep the file from opening.


@pytest.mark.parametrize(
    ("type_id", "message"),
    [
        (UNKNOWN, "tensor 'odd' has the unknown type 777"),
        (REMOVED, r"tensor 'odd' has type q4_0_4_4 \(31\), which GGUF has removed"),
        (NEVER_READ, r"tensor 'odd' has type iq4_k \(139\), which qkernels does not multiply by"),
    ],
)
def test_a_type_that_is_not_read_has_bytes_and_raises_where_weights_are_wanted(
    path: Path, type_id: int, message: str
) -> None:
    odd = Tensor("odd", (256,), type_id, bytes(range(144)))
    file = load(path, image([], [odd, f32()]))
    found = dict(file)
    assert array_of(file, "t").tobytes() == BYTES_32
    tensor = found["odd"]
    assert isinstance(tensor, qk.UnreadTensor)
    assert (tensor.type_id, tensor.shape, tensor.size) == (type_id, (256,), 256)
    assert tensor.data.tobytes()[:144] == bytes(range(144))
    assert pickle.loads(pickle.dumps(tensor)).data.tobytes() == tensor.data.tobytes()
    x = np.ones(256, np.float32)
    weights: Any = tensor
    uses: list[Callable[[], object]] = [
        lambda: weights.dequantize(),
        lambda: weights @ x,
        lambda: x @ weights,
        lambda: weights[0],
        lambda: np.asarray(weights),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=message):
            use()
    for operator in (qk.gemv, qk.gemm):
        with pytest.raises((TypeError, ValueError)):
            operator(weights, x)


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
            unread = file["t"]
            assert isinstance(unread, qk.UnreadTensor)
            assert f"type {name} ({type_id.value}), which" in unread.reason
        # The size of a type that is known is checked, read or not.
        raw = image([], [Tensor("t", (block, 2), type_id, bytes(2 * size - 1))])
        with pytest.raises(ValueError, match="tensor 't' ends at byte"):
            load(path, raw)["t"]


WRONG = WRONG_HEADS | WRONG_TENSORS


def test_the_names_of_the_wrong_files_are_their_own() -> None:
    assert len(WRONG | FAULTY_TENSORS) == sum(
        map(len, (WRONG_HEADS, WRONG_TENSORS, FAULTY_TENSORS))
    )


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


@pytest.mark.parametrize("mmap", [True, False], ids=["mapped", "copied"])
@pytest.mark.parametrize("case", FAULTY_TENSORS)
def test_a_tensor_at_fault_is_refused_when_it_is_asked_for(
    path: Path, mmap: bool, case: str
) -> None:
    wrong = FAULTY_TENSORS[case]
    wrong.write(path)
    with qk.load_gguf(path, mmap=mmap, pack=True) as file:
        assert "t" in file
        assert repr(file)
        for look_up in (file.__getitem__, file.unpacked):
            with pytest.raises(ValueError, match=wrong.message) as caught:
                look_up("t")
            assert type(caught.value) is ValueError
            assert str(caught.value).startswith(f"{path}: ")
        for name in file:
            if name != "t":
                assert array_of(file, name).tobytes() == BYTES_32


ODD = {
    "a shape": (Tensor("odd", (33,), Q8_0, bytes(34)), []),
    "a place": (f32("odd", offset=1 << 40, data=b""), []),
    "a size": (f32("odd", ne=(1 << 40,)), []),
    "too many dimensions": (f32("odd", ne=(1,) * 65), []),
    "an offset between two places": (f32("odd", ne=(1,), offset=4, data=b""), []),
    "a depth": (f32("odd"), [key("qkernels.k.odd", "uint32", 7)]),
    "a depth that is text": (f32("odd"), [key("qkernels.k.odd", "string", "7")]),
}


@pytest.mark.parametrize("case", ODD)
def test_one_entry_at_fault_costs_its_tensor_and_no_other(path: Path, case: str) -> None:
    odd, keys = ODD[case]
    good = [Tensor("w", (32, 1), Q8_0, bytes(34)), f32()]
    file = load(path, image(keys, [good[0], odd, good[1]]))
    assert list(file) == ["w", "odd", "t"]
    assert matrix_of(file, "w").shape == (1, 32)
    assert array_of(file, "t").tobytes() == BYTES_32
    with pytest.raises(ValueError, match=r"model\.gguf: .*'(qkernels\.k\.)?odd'"):
        file["odd"]


def test_a_file_cut_in_its_data_has_the_tensors_that_are_whole(path: Path) -> None:
    raw = image([], [f32("a"), f32("b"), f32("c")])
    file = load(path, raw[:-100])
    assert array_of(file, "a").tobytes() == array_of(file, "b").tobytes() == BYTES_32
    with pytest.raises(ValueError, match="tensor 'c' ends at byte"):
        file["c"]


def test_arrays_in_arrays_are_read_64_deep(path: Path) -> None:
    def nested(depth: int) -> bytes:
        return raw_key(f"k{depth}", 9, (u32(9) + u64(1)) * (depth - 1) + u32(4) + u64(1) + u32(7))

    file = load(path, image([nested(64), nested(65), nested(10_000), key("b", "uint8", 1)]))
    value = file.metadata["k64"]
    for _ in range(64):
        (value,) = cast("list[object]", value)
    assert value == 7
    for depth in (65, 10_000):
        with pytest.raises(ValueError, match=rf"model\.gguf: key 'k{depth}' has arrays in arrays"):
            file.metadata[f"k{depth}"]
    assert file.metadata["b"] == 1


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
            load(path, raw[:size])["t"]


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
