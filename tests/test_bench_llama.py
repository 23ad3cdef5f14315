"""`qkernels bench llama`: what it measures, beside what, and what it makes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qkernels._measure.method import Timing
from qkernels.bench import llama, llama_peers
from qkernels.bench.llama import Case, Plan, Row, measure_tokens
from qkernels.bench.llama_peers import Ours
from qkernels.cli.app import app

QUICK = ["--rounds", "1", "--starts", "1", "--tokens", "4", "--prompt", "20", "--threads", "1"]


class FakePeer:
    """A runtime that does nothing, and remembers what it was asked for."""

    name = "llama.cpp"
    asked: list[tuple[str, int]]

    def __init__(self, path: Path, threads: int, context: int) -> None:
        type(self).asked = [("make", context)]

    def read(self, tokens: Sequence[int]) -> None:
        self.asked.append(("read", len(tokens)))

    def rewind(self, position: int) -> None:
        self.asked.append(("rewind", position))

    def step(self, count: int) -> None:
        self.asked.append(("step", count))

    def close(self) -> None:
        self.asked.append(("close", 0))


@pytest.fixture
def with_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_peers, "has_llama_cpp", lambda: True)
    monkeypatch.setattr(llama, "LlamaCpp", FakePeer)
    monkeypatch.setattr(llama_peers, "START_LLAMA_CPP", "print(123.0)")


@pytest.fixture
def without_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_peers, "has_llama_cpp", lambda: False)


def invoke(*arguments: str | Path) -> Any:
    environment = {"COLUMNS": "160"}
    return CliRunner().invoke(app, ["bench", "llama", *map(str, arguments)], env=environment)


@pytest.mark.usefixtures("with_peer")
def test_the_command_prints_all(random_model_path: Path) -> None:
    options: list[str | Path] = [*QUICK, "--act", "int16", "--act", "int8", "--json"]
    result = invoke(random_model_path, *options)
    assert result.exit_code == 0, result.output
    written = json.loads(result.stdout)
    assert [case["label"] for case in written["cases"]] == [
        "decode 4",
        "prefill 20",
        "start to first token",
    ]
    names = [[row["name"] for row in case["rows"]] for case in written["cases"]]
    both = ["qkernels int16", "qkernels int8", "llama.cpp"]
    assert names == [both, both, ["qkernels int16", "llama.cpp"]]
    for case in written["cases"]:
        assert all(row["tokens_per_second"] > 0 for row in case["rows"])
        for verdict in case["verdicts"]:
            assert verdict in result.stderr
    ours, start = written["cases"][0]["rows"][0], written["cases"][2]["rows"]
    assert ours["read_bytes"] > 1e6
    assert 0 < ours["of_roof"] < 100
    assert start[1]["timing"]["samples"] == [123.0, 123.0]
    assert written["model"]["formats"] == {"q4_1": 28, "q8_0": 1}


@pytest.mark.usefixtures("with_peer")
def test_both_sides_are_asked_for_the_same(random_model_path: Path) -> None:
    plan = Plan((1,), rounds=1, tokens=4, prompt=20, starts=0)
    measure_tokens(random_model_path, plan, 1, with_peer=True)
    asked = FakePeer.asked
    assert asked[0] == ("make", 20)
    assert asked[1] == ("read", 6)
    assert asked[-1] == ("close", 0)
    assert set(asked[2:-1]) == {("rewind", 6), ("step", 4), ("read", 20)}


@pytest.mark.usefixtures("without_peer")
def test_without_llama_cpp_it_is_said_to_be_absent(random_model_path: Path) -> None:
    result = invoke(random_model_path, *QUICK, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["absent"] == "llama-cpp-python is not installed"
    assert all(len(case["rows"]) == 1 and not case["verdicts"] for case in found["cases"])
    assert "absent: llama.cpp, since llama-cpp-python is not installed" in result.stderr


def test_a_step_is_the_likeliest_token_appended(random_model_path: Path) -> None:
    runtime = Ours(random_model_path, 1, 64, "int16")
    core = runtime._session.core
    try:
        runtime.read([1, 2, 3])
        runtime.step(5)
        assert core.position == 8
        runtime.rewind(3)
        assert core.position == 3
        assert runtime.bytes_of_a_step(40) > runtime.bytes_of_a_step(3) > 1e6
    finally:
        runtime.close()


def case_of(ours: Sequence[float], theirs: Sequence[float]) -> Case:
    row = Row("qkernels int16", Timing.of(ours), 10, 1000)
    peer = Row("llama.cpp", Timing.of(theirs), 10)
    return Case("decode 10", 1, [row, peer], bandwidth=40_000.0)


def test_a_verdict_is_the_ratio_of_medians() -> None:
    case = case_of([1.0, 1.0], [2.0, 2.0])
    assert case.verdicts() == ["qkernels int16 is 2.00x as fast as llama.cpp"]
    assert case.of_roof(case.rows[0]) == pytest.approx(1000 * 10 / 40_000)
    assert case.of_roof(case.rows[1]) is None
    slower = case_of([3.0, 3.0], [2.0, 2.0])
    assert slower.verdicts() == ["qkernels int16 takes 1.50x the time of llama.cpp"]


def test_timings_that_overlap_get_no_verdict() -> None:
    (verdict,) = case_of([1.0, 1.1, 1.2], [1.1, 1.15, 1.2]).verdicts()
    assert verdict.startswith("no verdict on qkernels int16: the interquartile ranges of")


@pytest.mark.usefixtures("without_peer")
def test_what_is_wrong_is_one_line(
    random_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_peers, "START_OURS", "raise SystemExit('no room')")
    for arguments, message in (
        ([tmp_path / "missing.gguf"], "does not exist"),
        ([random_model_path, "--prompt", "513"], "max_context=513 is outside 1..512"),
        ([random_model_path, *QUICK], "a process fails to start a model: no room"),
        ([random_model_path, *QUICK, "--act", "int3"], "int3"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("qkernels bench: ")
        assert message in result.stderr
