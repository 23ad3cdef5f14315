"""GGUF files as objects: mappings that behave, closed files, paths, and what the system refuses."""

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qkernels as qk
from gguf_contents import array_of, matrix_of
from gguf_files import (
    BYTES_32,
    Q8_0,
    UNKNOWN,
    Tensor,
    array_key,
    f32,
    image,
    key,
    load,
)


@pytest.fixture(params=[True, False], ids=["mapped", "copied"])
def mmap(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_a_missing_name_raises_with_near_ones(path: Path) -> None:
    file = load(path, image([key("general.name", "uint8", 1)], [f32("blk.0.attn_q.weight")]))
    with pytest.raises(KeyError, match=r"no tensor 'blk.0.attn_k'; near names: 'blk.0.attn_q.weig"):
        file["blk.0.attn_k"]
    with pytest.raises(KeyError, match=r"no key 'general.nme'; near names: 'general.name'"):
        file.metadata["general.nme"]
    with pytest.raises(KeyError, match="has no tensor 'zzz'"):
        file["zzz"]
    assert "zzz" not in file
    assert 7 not in file  # type: ignore[comparison-overlap]
    assert file.get("zzz") is None
    assert file.metadata.get("zzz", 5) == 5
    assert file.metadata.get("general.name", 5) == 1
    with pytest.raises(TypeError, match="a tensor is a str, not int"):
        file[7]  # type: ignore[index]


def test_look_ups_in_a_closed_file_raise(path: Path, mmap: bool) -> None:
    file = load(path, image([key("a", "uint8", 1)], [f32()]), mmap=mmap)
    metadata = file.metadata
    assert metadata["a"] == 1
    assert not file.closed
    file.close()
    file.close()
    assert file.closed
    look_ups: list[Callable[[], object]] = [
        lambda: file["t"],
        lambda: "t" in file,
        lambda: len(file),
        lambda: list(file),
        lambda: metadata["a"],
        lambda: list(metadata),
        lambda: file.__enter__(),
    ]
    for look_up in look_ups:
        with pytest.raises(ValueError, match=r"model\.gguf is closed"):
            look_up()
    assert "closed" in repr(file)
    assert "closed" in repr(metadata)


def test_tensors_outlive_their_file_and_keep_its_map(path: Path) -> None:
    def is_mapped() -> bool:
        return str(path) in Path("/proc/self/maps").read_text()

    with load(path, image([], [f32(), Tensor("w", (32, 1), Q8_0, bytes(34))])) as file:
        vector, matrix = array_of(file, "t"), matrix_of(file, "w")
    del file
    assert is_mapped()
    assert vector.tobytes() == BYTES_32
    del vector
    assert is_mapped()
    assert not np.asarray(matrix.data).any()
    del matrix
    assert not is_mapped()


def test_files_leave_no_descriptor_and_no_cycle(path: Path) -> None:
    path.write_bytes(image([key("a", "uint8", 1)], [f32()]))
    bad = path.with_name("bad.gguf")
    bad.write_bytes(image([], [f32()], tensor_count=2)[:90])
    gc.collect()
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            file = qk.load_gguf(path)
            assert file.metadata["a"] == 1
            with pytest.raises(ValueError, match="bad"):
                qk.load_gguf(bad)
        del file
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()


def test_a_path_is_a_str_or_a_path(path: Path) -> None:
    path.write_bytes(image())

    class Named:
        def __fspath__(self) -> str:
            return str(path)

    for given in (path, str(path), Named()):
        assert qk.load_gguf(given).path == path
    with pytest.raises(ValueError, match="null byte"):
        qk.load_gguf("a\0b")
    for wrong in (3, None, [str(path)]):
        with pytest.raises(TypeError, match="PathLike"):
            qk.load_gguf(wrong)  # type: ignore[arg-type]


def test_a_path_that_is_not_utf8_opens(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xff.gguf")
    assert len(load(path, image([], [f32()]))) == 1
    path.write_bytes(b"GG")
    with pytest.raises(ValueError, match="not a GGUF file"):
        qk.load_gguf(path)


def test_what_the_system_refuses_is_an_os_error(tmp_path: Path, mmap: bool) -> None:
    missing = tmp_path / "missing.gguf"
    with pytest.raises(FileNotFoundError, match=r"No such file.*missing\.gguf") as caught:
        qk.load_gguf(missing, mmap=mmap)
    assert caught.value.filename == str(missing)
    with pytest.raises(IsADirectoryError):
        qk.load_gguf(tmp_path, mmap=mmap)


def test_only_regular_files_are_read(tmp_path: Path, mmap: bool) -> None:
    fifo = tmp_path / "fifo.gguf"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero")):
        with pytest.raises(ValueError, match=r"not a regular file"):
            qk.load_gguf(path, mmap=mmap)


def test_text_forms_say_what_is_inside(path: Path) -> None:
    keys = [
        key("general.name", "string", "small"),
        array_key("tokens", "string", ["a"] * 500),
        key("template", "string", "x" * 5000),
    ]
    tensors = [f32("a"), f32("b"), Tensor("c", (32, 1), Q8_0, bytes(34))]
    file = load(path, image(keys, [*tensors, Tensor("d", (1,), UNKNOWN, bytes(4))]))
    assert "4 tensors: 2 f32, 1 q8_0, 1 type 777" in repr(file)
    assert "general.name: 'small'" in repr(file.metadata)
    assert "tokens: string[500]" in repr(file.metadata)
    assert "template: string of 5,000 bytes" in repr(file.metadata)
    many = load(path, image([key(f"k{i}", "uint8", 0) for i in range(300)]))
    assert "... and 100 more" in repr(many.metadata)


def test_threads_read_one_file_at_once(path: Path) -> None:
    keys = [array_key("list", "int32", list(range(1000)))]
    file = load(path, image(keys, [f32()]))
    wrong: list[object] = []

    def read() -> None:
        for _ in range(200):
            if file.metadata["list"] != list(range(1000)):
                wrong.append("metadata")
            if array_of(file, "t").tobytes() != BYTES_32:
                wrong.append("tensor")

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
