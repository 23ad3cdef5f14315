"""Files, their metadata and their tensors go to other processes by path, and copies share a map."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk

ROWS = np.random.default_rng(0).standard_normal((8, 256)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.gguf"
    tensors: dict[str, Any] = {"w": qk.quantize(ROWS, "q4_k"), "v": np.arange(4, dtype=np.float32)}
    qk.save_gguf(path, tensors, {"general.name": "x", "a.list": [1, 2]})
    return path


def blocks(file: qk.GGUFFile) -> bytes:
    found = file.unpacked("w")
    assert isinstance(found, qk.QTensor)
    return np.asarray(found.data).tobytes()


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_file_is_opened_again(path: Path, mmap: bool, pack: bool, protocol: int) -> None:
    file = qk.load_gguf(path, mmap=mmap, pack=pack)
    raw = pickle.dumps(file, protocol)
    assert len(raw) < 1000
    again = pickle.loads(raw)
    assert (again.path, list(again)) == (path, list(file))
    assert dict(again.metadata) == dict(file.metadata)
    assert type(again["w"]) is type(file["w"])
    assert blocks(again) == blocks(file)


def test_a_pickle_of_a_relative_path_is_opened_elsewhere(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    raw = pickle.dumps(qk.load_gguf("a.gguf"))
    monkeypatch.chdir("/")
    assert list(pickle.loads(raw)) == ["w", "v"]


def test_pickled_metadata_is_opened_again(path: Path) -> None:
    metadata = pickle.loads(pickle.dumps(qk.load_gguf(path).metadata))
    assert dict(metadata) == {"general.name": "x", "a.list": [1, 2]}


@pytest.mark.parametrize("what", ["file", "metadata"])
def test_a_file_that_changed_is_not_taken_for_the_one_pickled(path: Path, what: str) -> None:
    file = qk.load_gguf(path)
    raw = pickle.dumps(file if what == "file" else file.metadata)
    status = path.stat()
    qk.save_gguf(path, {"other": ROWS})
    with pytest.raises(ValueError, match=r"a\.gguf is not the file that was pickled: .* size"):
        pickle.loads(raw)
    qk.save_gguf(path, file, file.metadata)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(ValueError, match=r"is not the file that was pickled: .* time of change"):
        pickle.loads(raw)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert pickle.loads(raw) is not None
    path.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(raw)


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_shares_the_map_and_is_closed_by_itself(path: Path, pack: bool, copied: Any) -> None:
    file = qk.load_gguf(path, pack=pack)
    other = copied(file)
    assert list(other) == list(file)
    assert np.shares_memory(np.asarray(file.unpacked("v")), np.asarray(other.unpacked("v")))
    assert type(other["w"]) is type(file["w"])
    metadata = copied(file.metadata)
    file.close()
    assert (other.closed, other.metadata["general.name"]) == (False, "x")
    assert metadata["a.list"] == [1, 2]
    other.close()
    assert metadata["general.name"] == "x"


def test_a_closed_file_is_neither_pickled_nor_copied(path: Path) -> None:
    file = qk.load_gguf(path)
    metadata = file.metadata
    file.close()
    for what in (file, metadata):
        for go in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(ValueError, match=r"a\.gguf is closed"):
                go(what)


def test_a_tensor_of_a_file_is_pickled_by_its_path(path: Path) -> None:
    file = qk.load_gguf(path)
    tensor = file["w"]
    raw = pickle.dumps(tensor)
    assert len(raw) < 1000
    again = pickle.loads(raw)
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(tensor.data))
    file.close()
    assert len(pickle.dumps(tensor)) > 1000  # the bytes, which nothing else has


class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Rows of a tensor, from a file that each worker opens by itself."""

    def __init__(self, file: qk.GGUFFile) -> None:
        self.file = file

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        found = self.file["w"]
        assert isinstance(found, qk.QTensor)
        return torch.from_numpy(np.asarray(found[index : index + 1].dequantize()))


@pytest.mark.slow
def test_a_spawned_worker_of_a_dataloader_reads_the_file(path: Path) -> None:
    file = qk.load_gguf(path)
    loader = torch.utils.data.DataLoader(
        Rows(file), batch_size=8, num_workers=1, multiprocessing_context="spawn"
    )
    (batch,) = loader
    expected = file["w"]
    assert isinstance(expected, qk.QTensor)
    np.testing.assert_array_equal(batch[:, 0], expected.dequantize())
