"""`qkernels gate-train`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from qkernels import gates
from qkernels.cli.app import app

NDArray = np.ndarray[Any, Any]

DOWN = "blk.0.ffn_down.weight"


def invoke(*arguments: object) -> Any:
    environment = {"COLUMNS": "120"}
    return CliRunner().invoke(app, ["gate-train", *map(str, arguments)], env=environment)


@pytest.fixture
def arrays(tmp_path: Path) -> tuple[Path, Path, NDArray, NDArray]:
    rng = np.random.default_rng(0)
    w = (rng.standard_normal((32, 256)) / 16).astype(np.float32)
    x = (rng.standard_normal((6, 256)) * np.geomspace(1, 0.01, 256)).astype(np.float32)
    np.save(tmp_path / "w.npy", w)
    np.save(tmp_path / "x.npy", x)
    return tmp_path / "w.npy", tmp_path / "x.npy", w, x


def test_a_step_is_a_line_and_the_last_line_the_outcome() -> None:
    result = invoke(
        "--n", 256, "--k", 1024, "--samples", 4, "--block-k", 32, "--steps", 50, "--lr", "1e-5",
        "--lambda", "1e-3", "--threshold", 0.5,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 51
    assert lines[0].split() == [
        "step", "1", "loss", "0.032", "mean", "gate", "1.000000", "active", "32",
    ]  # fmt: skip
    assert lines[-1] == "active blocks 32 of 32, mean squared error 0, relative error 0"
    assert "--lr auto chooses their size" in result.stderr


def test_defaults_are_the_same_as_spelt_out() -> None:
    spelt = ["--n", 256, "--k", 1024, "--samples", 4, "--block-k", 32, "--seed", 0]
    common = ["--lr", "auto", "--json"]
    assert invoke(*common).stdout == invoke(*common, *spelt).stdout


def test_arrays_and_options_reach_the_training(
    arrays: tuple[Path, Path, NDArray, NDArray], tmp_path: Path
) -> None:
    weights, inputs, w, x = arrays
    expected = gates.train(
        w, x[:3], block_k=16, steps=80, lr="auto", l1=2e-3, threshold=0.4, rule="proximal",
        normalize=False, row_group=16,
    )  # fmt: skip
    result = invoke(
        "--weights", weights, "--activations", inputs, "--samples", 3, "--block-k", 16,
        "--steps", 80, "--lr", "auto", "--lambda", "2e-3", "--threshold", 0.4, "--rule",
        "proximal", "--raw", "--row-group", 16, "--json", "--save", tmp_path / "gates.json",
        "--threads", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert found["mask"] == expected.mask.tolist()
    assert (found["active"], found["blocks"]) == (expected.active, 32)
    assert {key: found[key] for key in expected.to_dict()} == expected.to_dict()
    assert gates.GateResult.load(tmp_path / "gates.json").to_dict() == expected.to_dict()


def test_a_tensor_of_a_model_is_trained_with_what_it_meets(random_model_path: Path) -> None:
    prompt = "The capital of France is"
    common = ["--weights", random_model_path, "--tensor", DOWN, "--lr", "auto", "--json"]
    result = invoke(*common, "--prompt", prompt)
    assert result.exit_code == 0, result.output
    x = gates.capture(random_model_path, [prompt], DOWN)[DOWN]
    with qk.load_gguf(random_model_path) as file:
        expected = gates.train(file.unpacked(DOWN), x, lr="auto")
    assert json.loads(result.stdout)["gates"] == expected.gates.tolist()
    # Without a prompt, inputs are random.
    assert json.loads(invoke(*common).stdout)["shape"] == list(expected.shape)


def test_a_path_is_a_line_a_price() -> None:
    prices = "1e-4,1e-2,1"
    result = invoke("--n", 64, "--k", 256, "--lambda-path", prices, "--lr", "auto")
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.splitlines()
    assert head.split()[0] == "lambda"
    assert [line.split()[0] for line in lines] == ["0.0001", "0.01", "1"]
    assert lines[0].split()[1:4] == ["8", "of", "8"]
    assert lines[-1].split()[1:4] == ["0", "of", "8"]
    several = ["--n", 64, "--k", 256, "--lambda-path", prices, "--lr", "auto", "--json"]
    assert [step["l1"] for step in json.loads(invoke(*several).stdout)["path"]] == [1e-4, 1e-2, 1]


def test_a_bar_takes_the_place_of_the_lines() -> None:
    result = invoke("--n", 16, "--k", 64, "--lr", "auto", "--progress")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [result.stdout.strip()]
    assert result.stdout.startswith("active blocks ")


@pytest.mark.parametrize("extra", [[], ["--lambda-path", "1e-3,1e-2"]])
def test_a_plot_is_written(tmp_path: Path, extra: list[str]) -> None:
    file = tmp_path / "gates.png"
    result = invoke("--n", 16, "--k", 64, "--lr", "auto", "--plot", file, *extra)
    assert result.exit_code == 0, result.output
    assert file.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [file]
    result = invoke("--plot", tmp_path / "gates.txt")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--plot draws .png, .svg, .pdf, and not 'gates.txt'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "fast"], "--lr: 'fast' is not a number"),
        (["--lr", "-1"], "lr=-1.0 is not a positive number"),
        (["--lambda", "-1"], "l1=-1.0 is not a number from 0 on"),
        (["--threshold", "1.5"], "threshold=1.5 is outside 0..1"),
        (["--block-k", "2000"], "block_k=2000 is outside 1..1024"),
        (["--steps", "-1"], "steps=-1 is below 0"),
        (["--rule", "newton"], "rule='newton'"),
        (["--row-group", "300"], "row_group=300 is outside 1..256"),
        (["--lambda-path", "1e-3,x"], "--lambda-path: 'x' is not a number"),
        (["--weights", "none.gguf", "--tensor", "a"], "none.gguf"),
        (["--activations", "none.npy"], "none.npy"),
        (["--lr", "nan"], "lr=nan is not a positive number"),
        (["--lambda", "nan"], "l1=nan is not a number from 0 on"),
        (["--block-k", "0"], "block_k=0 is outside 1..1024"),
        (["--save", "no/such/folder/gates.json"], "there is no folder no/such/folder"),
        (["--save", "."], ". is a folder"),
        (["--plot", "no/such/folder/gates.png"], "there is no folder no/such/folder"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_1(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("qkernels gate-train: ")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "Invalid value for '--n'"),
        (["--tensor", "a"], "--tensor is of a file"),
        (["--prompt", "a"], "--prompt needs a model"),
        (["--weights", "w.npy", "--n", "4"], "--n and --k are for random weights"),
        (["--weights", "w", "--tensor", "t", "--prompt", "a", "--activations", "x"], "both say"),
        (["--lambda-path", "1,2", "--save", "gates.json"], "--save takes one result"),
        (["--thresh", "1"], "No such option"),
    ],
)
def test_a_wrong_use_is_exit_code_2(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_wrong_files_are_named(
    arrays: tuple[Path, Path, NDArray, NDArray], random_model_path: Path, tmp_path: Path
) -> None:
    weights, inputs, _, x = arrays
    narrow = tmp_path / "narrow.npy"
    np.save(narrow, x[:, 1:])
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}], object), allow_pickle=True)
    text = tmp_path / "text"
    text.write_text("no weights")
    cut = tmp_path / "cut.npy"
    cut.write_bytes(inputs.read_bytes()[:200])
    norm = "blk.0.attn_norm.weight"
    for arguments, message in [
        (["--weights", weights, "--activations", narrow], "x has k=255, the weights have k=256"),
        (["--weights", weights, "--activations", objects], str(objects)),
        (["--weights", weights, "--activations", cut], str(cut)),
        (["--weights", weights, "--activations", text], f"{text} is no .npy file"),
        (["--weights", weights, "--activations", inputs, "--samples", 7], "has 6 of them"),
        (["--weights", weights, "--tensor", "a"], "is an array, which has no tensor 'a'"),
        (["--weights", text, "--tensor", "a"], str(text)),
        (["--weights", random_model_path], "give --tensor NAME"),
        (["--weights", random_model_path, "--tensor", "blk.0.ffn_dwn.weight"], DOWN),
        (["--weights", random_model_path, "--tensor", norm], "gates take a matrix"),
    ]:
        result = invoke(*arguments)
        assert (result.exit_code, type(result.exception)) == (1, SystemExit), arguments
        assert message in result.stderr


def test_steps_that_are_too_small_are_noticed_unless_their_size_was_chosen() -> None:
    small = ["--n", 16, "--k", 64]
    notice = "no gate moved by 0.001: 50 steps of 1e-5 are too small"
    assert notice in invoke(*small).stderr
    assert notice in invoke(*small, "--lambda-path", "1e-4,1e-3").stderr
    assert invoke(*small, "--lr", "auto", "--lambda", 0).stderr == ""
    assert invoke(*small, "--steps", 0).stderr == ""
    assert invoke(*small, "--json").stderr == ""


@pytest.mark.parametrize("stop", ["train", "save"])
def test_an_interruption_is_exit_code_130_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    file = tmp_path / "gates.json"
    file.write_text("old")
    if stop == "train":
        monkeypatch.setattr(gates, "train", interrupted)
    else:
        monkeypatch.setattr("os.replace", interrupted)
    result = invoke("--n", 16, "--k", 64, "--save", file)
    assert result.exit_code == 130
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == "old"


def test_help_has_an_example() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    assert "qkernels gate-train --weights" in " ".join(result.stdout.replace("│", " ").split())


def test_without_matplotlib_a_plot_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke("--n", 16, "--k", 64, "--plot", tmp_path / "gates.png")
    assert result.exit_code == 1
    assert "--plot needs matplotlib" in result.stderr
    assert list(tmp_path.iterdir()) == []
