"""Metadata that describes an older file's tensors, where `save_gguf` writes others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from test_save_metadata import WAYS


def padded(path: Path, k: int) -> qk.GGUFFile:
    qk.save_gguf(path, {"w": qk.quantize(np.ones((4, k), np.float32), "q4_k", pad=True)}, pad=True)
    return qk.load_gguf(path)


@pytest.mark.parametrize("way", ["itself", "dict()", "unpacked", "pickled"])
def test_depths_of_old_tensors_do_not_cut_new_ones(tmp_path: Path, way: str) -> None:
    old = padded(tmp_path / "a.gguf", 100)
    whole = np.ones((4, 256), np.float32)
    for new in (qk.quantize(whole, "q4_k"), whole, whole[:, :100]):
        qk.save_gguf(tmp_path / "b.gguf", {"w": new}, WAYS[way](old.metadata))
        file = qk.load_gguf(tmp_path / "b.gguf")
        assert file["w"].shape == new.shape
        assert "qkernels.k.w" not in file.metadata
    qk.save_gguf(tmp_path / "b.gguf", {"other": whole}, WAYS[way](old.metadata))
    assert "qkernels.k.w" not in qk.load_gguf(tmp_path / "b.gguf").metadata


@pytest.mark.parametrize("way", ["itself", "dict()", "unpacked"])
def test_depths_of_the_same_tensors_stay(tmp_path: Path, way: str) -> None:
    old = padded(tmp_path / "a.gguf", 100)
    for tensors in (old, dict(old)):
        qk.save_gguf(tmp_path / "b.gguf", tensors, WAYS[way](old.metadata), pad=True)
        assert qk.load_gguf(tmp_path / "b.gguf")["w"].shape == (4, 100)


@pytest.mark.parametrize("k", [5, 100, 257, 0, -1, "256", None])
def test_a_depth_by_hand_that_does_not_fit_is_refused(tmp_path: Path, k: object) -> None:
    tensor = qk.quantize(np.ones((4, 256), np.float32), "q4_k")
    metadata = {"qkernels.k.w": k}
    with pytest.raises((TypeError, ValueError), match=r"metadata 'qkernels.k.w'"):
        qk.save_gguf(tmp_path / "b.gguf", {"w": tensor}, metadata)
    with pytest.raises((TypeError, ValueError), match=r"metadata 'qkernels.k.gone'"):
        qk.save_gguf(tmp_path / "b.gguf", {"w": tensor}, {"qkernels.k.gone": k})


def part(path: Path, number: int) -> qk.GGUFFile:
    keys = {"split.no": number, "split.count": 3, "split.tensors.count": 9, "general.name": "x"}
    qk.save_gguf(path, {f"w{number}": np.ones(4, np.float32)}, keys)
    return qk.load_gguf(path)


def test_merged_parts_are_no_part(tmp_path: Path) -> None:
    a, b = (part(tmp_path / f"{i}.gguf", i) for i in range(2))
    for tensors, metadata in (
        ({**a, **b}, {**a.metadata, **b.metadata}),
        ({**a, **b}, a.metadata),
        ({**a, **b}, a.metadata | b.metadata),
    ):
        qk.save_gguf(tmp_path / "m.gguf", tensors, metadata)
        assert dict(qk.load_gguf(tmp_path / "m.gguf").metadata) == {"general.name": "x"}


def test_a_part_that_is_copied_stays_one(tmp_path: Path) -> None:
    old = part(tmp_path / "a.gguf", 1)
    qk.save_gguf(tmp_path / "b.gguf", old, {**old.metadata, "general.name": "y"})
    assert qk.load_gguf(tmp_path / "b.gguf").metadata["split.count"] == 3


def of_type(path: Path, file_type: int, **formats: str) -> qk.GGUFFile:
    ones = np.ones((2, 256), np.float32)
    tensors: dict[str, Any] = {name: qk.quantize(ones, fmt) for name, fmt in formats.items()}
    tensors["norm"] = np.ones(4, np.float32)
    qk.save_gguf(path, tensors, {"general.file_type": file_type})
    return qk.load_gguf(path)


def test_the_file_type_is_that_of_the_tensors_that_are_written(tmp_path: Path) -> None:
    def written(old: qk.GGUFFile, new: qk.GGUFFile) -> object:
        for metadata in (old.metadata, dict(old.metadata)):
            qk.save_gguf(tmp_path / "c.gguf", dict(new), metadata)
        return qk.load_gguf(tmp_path / "c.gguf").metadata.get("general.file_type")

    q4_0 = of_type(tmp_path / "a.gguf", 2, a="q4_0")
    mixture = of_type(tmp_path / "m.gguf", 15, a="q4_k", b="q4_k", c="q6_k")
    q8_0 = of_type(tmp_path / "b.gguf", 7, a="q8_0", b="q8_0")
    assert written(q4_0, q4_0) == 2
    assert written(mixture, mixture) == 15
    assert written(q4_0, q8_0) == written(mixture, q8_0) == 7
    assert written(q8_0, mixture) is None
    qk.save_gguf(tmp_path / "c.gguf", q8_0, {"general.file_type": 15})  # as it was asked for
    assert qk.load_gguf(tmp_path / "c.gguf").metadata["general.file_type"] == 15
