"""`qkernels verify`: every block is read, and what is no number is found."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from gguf_files import F32, F64, I32, Q4_0, Q8_0, UNKNOWN, Tensor, image
from qkernels.cli.app import app
from qkernels.tools import verify as verify_file
from qkernels.tools.verify import TensorStats, verify
from weights import random_weights, reference

NDArray = np.ndarray[Any, Any]

NAN, INFINITY = 0x7E00, 0x7C00  # in binary16


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "160"})


def write(path: Path, *tensors: Tensor) -> Path:
    path.write_bytes(image(tensors=tensors))
    return path


def stats_of(path: Path) -> dict[str, TensorStats]:
    with qk.load_gguf(path) as file:
        return {stats.name: stats for stats in verify(file, list(file))}


def q8_0(name: str, n: int, k: int, seed: int = 0) -> tuple[Tensor, NDArray]:
    raw = random_weights("q8_0", n, k, seed)
    return Tensor(name, (k, n), Q8_0, raw.tobytes()), raw


def test_statistics_are_those_of_the_decoded_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_file, "PIECE", 3 * 96)  # rows in several pieces, the last one short
    tensor, raw = q8_0("w", 10, 96)
    stats = stats_of(write(tmp_path / "a.gguf", tensor))["w"]
    expected = reference(raw, "q8_0").astype(np.float64)
    assert (stats.type, stats.shape, stats.weights) == ("q8_0", [10, 96], 960)
    assert (stats.smallest, stats.largest) == (expected.min(), expected.max())
    assert stats.mean == pytest.approx(expected.mean(), abs=1e-12)
    assert stats.rms == pytest.approx(np.sqrt((expected**2).mean()), rel=1e-12)
    assert stats.zeros == np.count_nonzero(expected == 0)
    assert stats.is_sound


@pytest.mark.parametrize("bits", [NAN, INFINITY, INFINITY | 0x8000])
def test_scales_that_are_no_numbers_are_counted(tmp_path: Path, bits: int) -> None:
    tensor, raw = q8_0("w", 4, 128)
    blocks = raw.reshape(4, 4, 34)
    blocks[1, 2, :2] = blocks[3, 0, :2] = list(struct.pack("<H", bits))
    tensor.data = raw.tobytes()
    path = write(tmp_path / "a.gguf", tensor)
    stats = stats_of(path)["w"]
    assert (stats.bad_scales, stats.bad_weights, stats.weights) == (2, 64, 512)
    good = reference(raw, "q8_0")
    assert stats.largest == good[np.isfinite(good)].max()
    result = invoke("verify", path)
    assert result.exit_code == 1
    assert "2 groups with a NaN or infinite scale or min, 64 NaN or infinite" in result.stdout
    assert "512 weights of 1 tensors read, 1 of them at fault" in result.stdout


def test_a_min_that_is_no_number_is_found_though_the_scale_is_one(tmp_path: Path) -> None:
    raw = random_weights("q4_1", 1, 64)
    raw[0, 2:4] = list(struct.pack("<H", NAN))
    path = write(tmp_path / "a.gguf", Tensor("w", (64, 1), 3, raw.tobytes()))
    assert stats_of(path)["w"].bad_scales == 1


def test_an_infinite_scale_of_zeros_is_found(tmp_path: Path) -> None:
    block = struct.pack("<H", INFINITY) + bytes(32)
    path = write(tmp_path / "a.gguf", Tensor("w", (32, 1), Q8_0, block))
    assert stats_of(path)["w"].bad_scales == 1
    assert invoke("verify", path).exit_code == 1


def test_stacks_vectors_and_plain_numbers_are_read_too(tmp_path: Path) -> None:
    stack = random_weights("q4_0", 6, 64)
    path = write(
        tmp_path / "a.gguf",
        Tensor("stack", (64, 3, 2), Q4_0, stack.tobytes()),
        Tensor("vector", (3,), F32, struct.pack("<3f", 1.0, float("nan"), -2.0)),
        Tensor("ids", (4,), I32, struct.pack("<4i", 7, 0, -3, 0)),
        Tensor("wide", (2,), F64, struct.pack("<2d", 1e300, -1e300)),
    )
    found = stats_of(path)
    assert found["stack"].weights == 384
    assert found["stack"].largest == reference(stack, "q4_0").max()
    assert (found["vector"].bad_weights, found["vector"].mean) == (1, -0.5)
    assert (found["ids"].smallest, found["ids"].largest, found["ids"].zeros) == (-3, 7, 2)
    assert found["wide"].largest == 1e300
    assert [name for name, stats in found.items() if not stats.is_sound] == ["vector"]


def test_a_tensor_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    strange = Tensor("strange", (7,), UNKNOWN, bytes(7))
    path = write(tmp_path / "a.gguf", strange, q8_0("w", 1, 32)[0])
    result = invoke("verify", path, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["sound"] is False
    by_name = {tensor["name"]: tensor for tensor in found["tensors"]}
    assert "777" in by_name["strange"]["fault"]
    assert by_name["w"]["fault"] is None


def test_a_sound_file_ends_with_0_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", q8_0("a.weight", 3, 64)[0], q8_0("b.weight", 2, 32)[0])
    result = invoke("verify", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "256 weights of 2 tensors read, all of them sound" in result.stdout
    found = json.loads(invoke("verify", path, "--tensor", "b.*", "--json").stdout)
    assert found["sound"] is True
    assert [tensor["name"] for tensor in found["tensors"]] == ["b.weight"]


def test_progress_is_told_of_every_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_file, "PIECE", 64)
    path = write(tmp_path / "a.gguf", q8_0("w", 5, 64)[0])
    done: list[int] = []
    with qk.load_gguf(path) as file:
        list(verify(file, ["w"], done.append))
    assert done == [64] * 5


def test_control_c_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify_file, "_read", interrupted)
    result = invoke("verify", write(tmp_path / "a.gguf", q8_0("w", 1, 32)[0]))
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "\n")


@pytest.mark.model
def test_the_real_model_is_sound(model_path: Path) -> None:
    result = invoke("verify", model_path, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["sound"] is True
    with qk.load_gguf(model_path) as file:
        assert [tensor["name"] for tensor in found["tensors"]] == list(file)
