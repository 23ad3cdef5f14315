"""The bench: whom it compares, and its commands. No speed passes or fails."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import qkernels as qk
from bench_cases import CACHE, K, N, cases_of, plan, small_run, timing
from qkernels._measure import MIN_ROUNDS, method
from qkernels.bench import plot, run, show
from qkernels.bench.peers import UnsuitedError, all_peers, ggml_library
from qkernels.bench.peers.ggml import Ggml
from qkernels.bench.problem import Problem
from qkernels.bench.run import Task
from qkernels.cli import bench as cli
from qkernels.cli.app import app
from weights import bound


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of 64 KiB, turns of one call and no ggml, for whole commands."""
    monkeypatch.setattr(run, "last_level_cache", lambda: CACHE)
    monkeypatch.setattr(ggml_library, "folder", lambda: None)
    monkeypatch.setattr(method, "TURN_SECONDS", 0)


# Whom it compares


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("fmt", ["q4_0", "q4_k", "iq2_xs", "f16", "q8_ks"])
def test_every_candidate_computes_the_product(fmt: str, m: int) -> None:
    report = run.run([Task("", fmt, N, K, m)], plan(acts=("int16", "float32"), rounds=1))
    limits = {
        f"qkernels {packed}{act}": bound(act, fmt)
        for act in ("int16", "float32")
        for packed in ("", "packed ")
    }
    assert limits.keys() <= {row.name for row in report.cases[0].rows}
    for row in report.cases[0].rows:
        assert row.error < limits.get(row.name, loosest(row.name)), row.name


def loosest(peer: str) -> float:
    """The largest error of a peer: of 8-bit activations or bfloat16, or of other weights."""
    if found := re.search(r" int(\d) g32", peer):
        return {2: 0.5, 4: 0.1, 8: 2e-2}[int(found.group(1))]
    return 2e-2 if peer.startswith("ggml") or peer == "torch bfloat16" else 2e-6


def test_a_depth_past_the_last_block_is_measured_as_well() -> None:
    report = run.run([Task("", "q4_k", 8, 320)], plan(rounds=1))
    errors = {row.name: row.error for row in report.cases[0].rows}
    assert errors["gguf + NumPy"] < 2e-6
    assert "ggml" not in errors
    assert "ggml" in report.cases[0].absent


def test_an_absent_peer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    gone = {"torch", "llama_cpp", "onnxruntime"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in gone else find_spec(name)
    )
    (case,) = small_run().cases
    assert case.absent == {
        "torch float32": "torch is not installed",
        "torch bfloat16": "torch is not installed",
        "torch int4 g32": "torch is not installed",
        "onnxruntime": "onnxruntime is not installed",
        "ggml": "llama-cpp-python is not installed",
    }
    assert {row.name for row in case.rows if row.is_peer} == {"decode + NumPy", "gguf + NumPy"}


def test_a_ggml_that_does_not_load_is_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "libggml-base.so").write_text("no library")
    monkeypatch.setattr(ggml_library, "folder", lambda: tmp_path)
    assert "libggml-base.so" in str(Ggml().absence())


def test_ggml_says_what_it_cannot_multiply_by() -> None:
    with pytest.raises(UnsuitedError, match="ggml has no weights in q8_ks"), ExitStack() as stack:
        Ggml().candidates(Problem("q8_ks", N, K, 1, True, CACHE), 1, stack)
    with pytest.raises(UnsuitedError, match="k=320 is no whole"), ExitStack() as stack:
        Ggml().candidates(Problem("q4_k", N, 320, 1, True, CACHE), 1, stack)


def test_peers_have_different_names() -> None:
    names = [peer.name for peer in all_peers()]
    assert len(set(names)) == len(names)


# The command


@pytest.mark.parametrize(
    ("arguments", "labels"),
    [
        (("formats", "-f", "q4_0", "-f", "q4_k", "--n", N, "--k", K), ["q4_0", "q4_k"]),
        (("gemv", "-f", "q8_0", "--n", N, "--k", K, "--warm"), ["q8_0 64x256"]),
        (("gemm", "--n", N, "--k", K, "--m", 1, "--m", 4), ["q4_k 64x256, m=1", "m=4"]),
        (
            ("gemm", "-f", "q4_0", "-f", "q8_0", "--n", N, "--k", K, "--m", 4),
            ["q4_0 64x256, m=4", "q8_0 64x256, m=4"],
        ),
    ],
    ids=["formats", "gemv", "gemm", "gemm of two"],
)
@pytest.mark.usefixtures("small_machine")
def test_the_table_shows_every_row(arguments: tuple[object, ...], labels: list[str]) -> None:
    result = invoke("bench", *arguments, "--threads", "1")
    assert result.exit_code == 0, result.output
    for part in (
        *labels,
        *show.HEADINGS,
        "qkernels int16",
        "decode + NumPy",
        "gguf + NumPy",
        "torch float32",
        "torch bfloat16",
        "roof: ",
        "absent: ggml, since llama-cpp-python is not installed",
        "warm weights" if "--warm" in arguments else "cold weights",
        "1 thread",
        str(qk.info()["cpu"]),
        str(qk.info()["isa"]),
        "steal ",
    ):
        assert part in result.output
    summed = re.findall(r"^(qkernels .*) vs ggml: no case; ", result.output, re.M)
    assert summed == (["qkernels int16", "qkernels packed int16"] if len(labels) > 1 else [])


@pytest.mark.usefixtures("small_machine")
def test_shapes_are_those_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, int]] = []

    def collect(tasks: Sequence[Task], *_: Any) -> None:
        seen.extend((task.label, task.n, task.k) for task in tasks)

    monkeypatch.setattr(cli, "_report", collect)
    assert invoke("bench", "shapes", "-f", "q4_0", "-f", "q8_0").exit_code == 0
    assert len(seen) == 20
    assert ("lm_head 32000x2048 q8_0", 32000, 2048) in seen
    assert ("SmolLM2 attn_k 192x576 q4_0", 192, 576) in seen


@pytest.mark.usefixtures("small_machine")
def test_json_is_the_whole_standard_output() -> None:
    result = invoke("bench", "gemv", "--n", N, "--k", K, "--threads", "1", "--json")
    found = json.loads(result.stdout)
    assert (len(found["cases"]), found["rounds"]) == (1, MIN_ROUNDS)
    assert "qkernels int16" in result.stderr


def test_fewer_rounds_than_fifteen_are_refused() -> None:
    result = invoke("bench", "gemv", "--rounds", "14")
    assert result.exit_code == 2
    assert "15" in result.output


@pytest.mark.usefixtures("small_machine")
def test_a_wrong_name_is_one_line() -> None:
    result = invoke("bench", "gemv", "--format", "q9_9", "--threads", "1")
    assert result.exit_code == 1
    assert result.stderr == "qkernels bench: unknown format 'q9_9'; see qkernels.formats()\n"
    result = invoke("bench", "gemv", "--act", "int4", "--n", N, "--k", K, "--threads", "1")
    assert result.stderr == "qkernels bench: act='int4' is not one of int16, float32, int8\n"


def test_a_plot_has_rows_of_at_most_ten_cases_on_one_number_of_threads() -> None:
    rows = {f"case {i}": {"qkernels int16": timing(1.0)} for i in range(23)}
    cases = cases_of(rows, timing(1.0))
    cases += [dataclasses.replace(case, threads=2) for case in cases[:3]]
    found = [[case.label for case in row] for row in plot._rows(cases)]
    assert [len(row) for row in found] == [8, 8, 7, 3]
    assert [label for row in found for label in row] == [case.label for case in cases]


@pytest.mark.usefixtures("small_machine")
def test_a_plot_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "bench.png"
    result = invoke("bench", "gemv", "--n", N, "--k", K, "--threads", "1", "--plot", path)
    assert result.exit_code == 0, result.output
    assert path.read_bytes().startswith(b"\x89PNG")
