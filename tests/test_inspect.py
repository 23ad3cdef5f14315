"""`qkernels inspect`: a file's head as tables and as JSON; and what every help has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import qkernels as qk
from gguf_files import (
    BF16,
    I32,
    Q4_0,
    Q4_K,
    UNKNOWN,
    Tensor,
    array_key,
    f32,
    image,
    key,
)
from gguf_unusual_files import UNUSUAL
from qkernels.cli.app import app
from qkernels.tools.inspect import inspect

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "160"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    keys = [
        key("general.architecture", "string", "llama"),
        key("general.name", "string", "[bold]not markup\x1b[31m"),
        array_key("tokenizer.ggml.scores", "float32", [float(i) for i in range(20)]),
        key("a.nan", "float32", float("nan")),
    ]
    tensors = [
        Tensor("blk.0.attn_q.weight", (256, 8), Q4_K, bytes(8 * 144)),
        Tensor("blk.1.attn_q.weight", (32, 4), Q4_0, bytes(4 * 18)),
        Tensor("positions", (5,), I32, bytes(20)),
        Tensor("blk.0.bias", (6,), BF16, bytes(12)),
        f32("output_norm.weight"),
        Tensor("strange", (7,), UNKNOWN, bytes(7)),
    ]
    path = tmp_path / "small.gguf"
    path.write_bytes(image(keys, tensors))
    return path


def test_json_has_every_key_and_every_tensor(path: Path) -> None:
    result = invoke("inspect", path, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["path"], found["nbytes"]) == (str(path), path.stat().st_size)
    assert (found["version"], found["alignment"]) == (3, 32)
    tensors = {t["name"]: (t["type"], t["shape"], t["nbytes"]) for t in found["tensors"]}
    assert tensors == {
        "blk.0.attn_q.weight": ("q4_k", [8, 256], 8 * 144),
        "blk.1.attn_q.weight": ("q4_0", [4, 32], 72),
        "positions": ("i32", [5], 20),
        "blk.0.bias": ("bf16", [6], 12),
        "output_norm.weight": ("f32", [32], 128),
        "strange": ("type 777", [7], None),
    }
    assert [t["name"] for t in found["tensors"] if not t["readable"]] == ["strange"]
    values = {entry["key"]: entry["value"] for entry in found["metadata"]}
    assert values["general.architecture"] == "llama"
    assert values["general.name"] == "[bold]not markup\x1b[31m"
    assert values["a.nan"] == "nan"
    assert values["tokenizer.ggml.scores"] == [float(i) for i in range(8)]
    lengths = {entry["key"]: entry["length"] for entry in found["metadata"]}
    assert lengths["tokenizer.ggml.scores"] == 20
    totals = {t["type"]: (t["tensors"], t["weights"], t["nbytes"]) for t in found["totals"]}
    assert totals["q4_k"] == (1, 2048, 1152)
    assert next(iter(totals)) == "q4_k"


def test_offsets_are_where_the_bytes_lie(path: Path) -> None:
    raw = path.read_bytes()
    with qk.load_gguf(path) as file:
        entries = {entry.name: entry for entry in inspect(file).tensors}
    norm = entries["output_norm.weight"]
    assert raw[norm.offset : norm.offset + 128] == bytes(range(128))


def test_all_keeps_arrays_whole(path: Path) -> None:
    found = json.loads(invoke("inspect", path, "--all", "--json").stdout)
    values = {entry["key"]: entry["value"] for entry in found["metadata"]}
    assert values["tokenizer.ggml.scores"] == [float(i) for i in range(20)]


def test_the_tables_show_names_types_shapes_and_bytes(path: Path) -> None:
    result = invoke("inspect", path)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["blk.0.attn_q.weight", "q4_k", "8", "x", "256", "1,152", "4.50"] in lines
    assert ["blk.1.attn_q.weight", "q4_0", "4", "x", "32", "72", "4.50"] in lines
    assert any(line[:4] == ["strange", "type", "777", "(not"] for line in lines)
    assert "float32[20]" in result.stdout
    assert "0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0 ..." in result.stdout


def test_text_from_a_file_neither_steers_the_terminal_nor_is_markup(path: Path) -> None:
    shown = invoke("inspect", path).stdout
    assert "\x1b" not in shown
    assert "[bold]not markup\\x1b[31m" in shown


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("positions", ["positions"]),
        ("blk.0.*", ["blk.0.attn_q.weight", "blk.0.bias"]),
        ("*attn*", ["blk.0.attn_q.weight", "blk.1.attn_q.weight"]),
    ],
)
def test_tensors_are_chosen_by_name_or_pattern(path: Path, pattern: str, names: list[str]) -> None:
    found = json.loads(invoke("inspect", path, "--tensor", pattern, "--json").stdout)
    assert [tensor["name"] for tensor in found["tensors"]] == names


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_misspelt_name_has_near_ones(path: Path, command: str) -> None:
    result = invoke(command, path, "--tensor", "blk.0.attn_k.weight")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"qkernels {command}: {path} has no tensor")
    assert "near names: 'blk.0.attn_q.weight', 'blk.1.attn_q.weight'" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["inspect", "verify"])
@pytest.mark.parametrize("raw", [None, b"", b"no file of this kind", b"GGUF\x03\0\0\0"])
def test_a_file_at_fault_is_one_line(tmp_path: Path, command: str, raw: bytes | None) -> None:
    path = tmp_path / "broken.gguf"
    if raw is not None:
        path.write_bytes(raw)
    result = invoke(command, path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"qkernels {command}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Example: qkernels {command}" in result.stdout


def test_info_as_json_is_what_the_package_says() -> None:
    found = json.loads(invoke("info", "--json").stdout)
    assert found["formats"] == qk.formats()
    assert found["isa"] == qk.info()["isa"]


@pytest.mark.parametrize("name", sorted(UNUSUAL))
def test_unusual_files_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    case = UNUSUAL[name]
    path = tmp_path / "unusual.gguf"
    path.write_bytes(case.raw)
    shown = invoke("inspect", path)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert f"GGUF version {case.version}, {len(case.raw):,} bytes" in shown.stdout
    found = json.loads(invoke("inspect", path, "--all", "--json").stdout)
    assert [tensor["name"] for tensor in found["tensors"]] == list(case.tensors)


@pytest.mark.model
def test_the_real_model_is_inspected(model_path: Path) -> None:
    result = invoke("inspect", model_path, "--json")
    found = json.loads(result.stdout)
    with qk.load_gguf(model_path) as file:
        assert [tensor["name"] for tensor in found["tensors"]] == list(file)
        assert [entry["key"] for entry in found["metadata"]] == list(file.metadata)
    assert sum(t["nbytes"] for t in found["tensors"]) <= found["nbytes"]
    assert invoke("inspect", model_path).exit_code == 0
