"""Copying a file by `save_gguf`: what is read is written again, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qkernels as qk
from gguf_files import NEVER_READ, UNKNOWN, Tensor, f32, image, key, load
from qkernels.save_tensors import ARRAY_TYPES

Entry = tuple[str, int, tuple[int, ...], bytes]


def copied(path: Path, file: qk.GGUFFile, way: str) -> list[Entry]:
    tensors = file if way == "whole" else dict(file)
    qk.save_gguf(path, tensors, file.metadata, pad=True)
    return contents(qk.load_gguf(path))


def contents(file: qk.GGUFFile) -> list[Entry]:
    core = file._source.opened()
    found = []
    for i, name in enumerate(file):
        entry = core.tensor(i)
        found.append((name, entry.type_id, entry.stored, core.raw_tensor(i).tobytes()))
    return found


RANKS = [(256,), (256, 3), (256, 2, 2), (256, 1, 2, 2)]
TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q4_0": 2, "q8_0": 8, "q4_k": 12, "iq2_s": 22}


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("way", ["whole", "dict"])
def test_a_copy_keeps_dtype_and_rank_and_bytes(tmp_path: Path, way: str, pack: bool) -> None:
    rng = np.random.default_rng(0)
    tensors = []
    for fmt, type_id in TYPES.items():
        info = qk._core.format_info(fmt)
        block, nbytes = info.block, info.block_bytes
        for ne in RANKS:
            size = int(np.prod(ne)) // block * nbytes
            tensors.append(Tensor(f"{fmt}.{len(ne)}", ne, type_id, rng.bytes(size)))
    for name, type_id in ARRAY_TYPES.items():
        size = 2 if name == "bfloat16" else np.dtype(name).itemsize
        tensors.append(Tensor(f"scalars.{name}", (3, 1, 2, 2), type_id, rng.bytes(12 * size)))
    tensors.append(Tensor("scalar", (), 0, rng.bytes(4)))
    tensors.append(Tensor("empty", (0, 3), 0))
    file = qk.load_gguf(load(tmp_path / "a.gguf", image([], tensors)).path, pack=pack)
    assert copied(tmp_path / "b.gguf", file, way) == contents(file)


@pytest.mark.parametrize("way", ["whole", "dict"])
def test_tensors_of_types_that_are_not_read_are_copied_bit_for_bit(
    tmp_path: Path, way: str
) -> None:
    tensors = [
        Tensor("odd", (3, 5), UNKNOWN, bytes(range(7))),
        Tensor("other", (256, 2), NEVER_READ, 2 * bytes(range(144))),
        f32(),
        Tensor("last", (7,), UNKNOWN, bytes(range(64))),
    ]
    file = load(tmp_path / "a.gguf", image([key("a", "uint8", 1)], tensors))
    assert copied(tmp_path / "b.gguf", file, way) == contents(file)


def test_a_whole_file_is_copied_with_what_is_not_written_otherwise(tmp_path: Path) -> None:
    tensors = [f32("x" * 70), f32("five", ne=(2,) * 5), f32("a\0b"), Tensor("s", (), 30, b"ab")]
    file = load(tmp_path / "a.gguf", image([], tensors))
    assert copied(tmp_path / "b.gguf", file, "whole") == contents(file)
    with pytest.raises(ValueError, match="has 70 bytes"):
        copied(tmp_path / "b.gguf", file, "dict")
    with pytest.raises(ValueError, match="has 5 dimensions"):
        qk.save_gguf(tmp_path / "c.gguf", {"five": file["five"]})


def test_a_tensor_at_fault_is_not_copied(tmp_path: Path) -> None:
    file = load(tmp_path / "a.gguf", image([], [f32(), f32("odd", offset=1 << 40)]))
    for way in ("whole", "dict"):
        with pytest.raises(ValueError, match=r"a\.gguf: tensor 'odd' has offset"):
            copied(tmp_path / "b.gguf", file, way)
    assert not (tmp_path / "b.gguf").exists()
