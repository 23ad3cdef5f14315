"""docs/performance.md: its commands run, and its tables are what they find."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest
from typer.testing import CliRunner

import performance_tables as tables
from qkernels._measure import method
from qkernels.bench import calls, llama
from qkernels.bench.peers import Peer
from qkernels.bench.peers.dense import DecodeNumpy, GgufNumpy
from qkernels.bench.run import Plan, Task, run
from qkernels.cli import bench as cli
from qkernels.cli.app import app
from qkernels.llama import models

COMMANDS = [found[1] for found in tables.TABLE.findall(tables.PAGE.read_text(encoding="utf-8"))]
N, K = 64, 256
MACHINE = {"cpu": "a CPU", "isa": "avx2", "compiler": "GNU 12", "processors": 2, "version": "0"}


def test_the_page_has_tables() -> None:
    text = tables.PAGE.read_text(encoding="utf-8")
    assert len(COMMANDS) == text.count("<!-- table: ") == text.count("<!-- end of table -->")
    assert len(set(COMMANDS)) == len(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_is_one(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables, arguments = tables.split(command)
    assert variables.keys() <= {"QKERNELS_ISA"}
    if arguments[1] != "-m":
        assert (tables.ROOT / arguments[1]).is_file()
        return
    asked: list[object] = []

    def measured(*_: Any, **__: Any) -> Any:
        asked.append(None)
        raise OSError("enough")

    monkeypatch.setattr(cli, "_report", measured)
    monkeypatch.setattr(calls, "measure", measured)
    monkeypatch.setattr(llama, "run", measured)
    monkeypatch.setattr(models, "find_model", lambda path: Path("model.gguf"))
    result = CliRunner().invoke(app, arguments[3:])
    assert (result.exit_code, asked) == (1, [None]), result.output


def test_a_command_may_set_variables() -> None:
    variables, arguments = tables.split("A=1 B='x y' qkernels bench formats -f q4_0")
    assert variables == {"A": "1", "B": "x y"}
    assert arguments == [sys.executable, "-m", "qkernels", "bench", "formats", "-f", "q4_0"]
    with pytest.raises(ValueError, match="'rm -r x' is no command"):
        tables.split("rm -r x")


def test_tables_are_replaced_where_there_is_a_new_one() -> None:
    page = "".join(
        f"text {name}\n<!-- table: {name} -->\n{tables.told(name, None)}<!-- end of table -->\n"
        for name in ("first", "second")
    )
    found = tables.replace(page, {"second": tables.told("second", "1\n2\n")}.get)
    assert found == page.replace("`second`\n\n", "`second`\n\n```\n1\n2\n```\n\n")
    assert tables.replace(found, {"second": tables.told("second", None)}.get) == page


@pytest.fixture(name="report")
def _report(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A small run of a batch size, as JSON, in which one peer is said to be ggml."""
    monkeypatch.setattr(method, "TURN_SECONDS", 0)
    peers: list[Peer] = [DecodeNumpy(), GgufNumpy()]
    tasks = [Task(fmt, fmt, N, K, request.param) for fmt in ("q4_0", "q8_0")]
    plan = Plan(("int8", "int16"), (1,), 2, cache_bytes=1 << 16)
    found: dict[str, Any] = json.loads(run(tasks, plan, peers=peers).to_json())
    for case in found["cases"]:
        for row in case["rows"]:
            row["name"] = row["name"].replace("gguf + NumPy", "ggml repacked")
    return found


def cells(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("report", [1], indirect=True)
def test_a_table_of_vectors_has_a_row_for_each_case_and_act(report: dict[str, Any]) -> None:
    text = tables.told("command", report)
    head, *rows = cells(text)
    assert head[1:] == ["native", "packed", "GB/s", "of roof", "spread", "ggml", "ratio"]
    assert [row[0] for row in rows] == ["q4_0, int16", "q4_0, int8", "q8_0, int16", "q8_0, int8"]
    by_name = {row["name"]: row for row in report["cases"][0]["rows"]}
    ours = [by_name[name] for name in ("qkernels int16", "qkernels packed int16")]
    best = min(ours, key=lambda row: row["timing"]["median"])
    ggml = by_name["ggml repacked"]["timing"]["median"]
    expected = [f"{row['timing']['median'] * 1e6:.1f}" for row in ours]
    expected += [f"{best['gigabytes']:.1f}", f"{best['of_roof']:.0%}"]
    expected += [f"{best['timing']['spread']:.0%}", f"{ggml * 1e6:.1f}"]
    assert rows[0][1:-1] == expected
    assert rows[0][-1].rstrip("?") == f"{ggml / best['timing']['median']:.2f}"
    assert max(map(len, text.splitlines())) <= 100
    assert report["machine"]["cpu"] in text


@pytest.mark.parametrize("report", [4], indirect=True)
def test_a_table_of_batches_has_the_time_of_decoding_first(report: dict[str, Any]) -> None:
    head, *rows = cells(tables.told("command", report))
    assert head[1:] == ["native", "packed", "spread", "ggml", "ratio", "decoded", "ratio"]
    (decoded,) = (r for r in report["cases"][0]["rows"] if r["name"] == "decode + NumPy")
    assert rows[0][-2] == f"{decoded['timing']['median'] * 1e6:.1f}"


def test_a_rival_that_is_absent_is_a_dash() -> None:
    timing = {"samples": [1.0], "low": 1.0, "median": 1.0, "high": 1.0}
    case = {"rows": [{"name": "ggmlish", "timing": timing}]}
    assert list(tables._against(case, {}, "ggml")) == ["-", "-"]


def test_a_table_of_calls_has_their_tails() -> None:
    seconds = {"p50": 1e-6, "p90": 2e-6, "p99": 3e-6, "p99.9": 4e-6}
    kinds = [{"name": name, "calls": 7, "seconds": seconds} for name in ("a", "b")]
    found = {"machine": MACHINE, "busy": 2, "steal": 0.01, "load": 1.5, "findings": ["so", "and"]}
    text = tables.told("command", {**found, "tiny": kinds, "shared": [], "large": kinds})
    assert cells(text)[0] == ["us a call", "calls", "p50", "p90", "p99", "p99.9"]
    assert cells(text)[4] == ["b", "7", "1.00", "2.00", "3.00", "4.00"]
    assert re.search(
        r"a CPU, avx2, GNU 12; steal 1.0%, load 1.5; 2 busy .*\n\n- so\.\n- and\.", text
    )


def test_a_table_of_models_has_speeds_and_times() -> None:
    def row(name: str, seconds: float, tokens: int, of_roof: float | None) -> dict[str, Any]:
        timing = {"samples": [seconds] * 3, "low": seconds, "median": seconds, "high": seconds}
        speed = tokens / seconds
        return {
            **{"name": name, "tokens": tokens, "tokens_per_second": speed, "of_roof": of_roof},
            "timing": {**timing, "spread": 0.0},
        }

    decode = [row("qkernels int16", 0.5, 64, 0.8), row("llama.cpp", 1.5, 64, None)]
    start = [row("qkernels int16", 0.1, 1, None)]
    cases = [
        {"label": "decode 64", "threads": 2, "rows": decode, "verdicts": ["faster"]},
        {"label": "start", "threads": 1, "rows": start, "verdicts": []},
    ]
    found = {"machine": MACHINE, "model": {}, "steal": 0.01, "load": 1.5, "rounds": 7}
    text = tables.told("command", {**found, "cases": cases})
    head, *rows = cells(text)
    assert head[1:] == ["threads", "qkernels", "spread", "llama.cpp", "ratio", "of roof"]
    assert rows[0] == ["decode 64", "2", "128 tok/s", "0%", "43 tok/s", "3.00", "80%"]
    assert rows[1] == ["start", "1", "100 ms", "0%", "-", "-", "-"]
    assert text.rstrip().endswith("7 rounds.\n\n- decode 64, threads 2: faster.")


def test_a_page_is_written_after_each_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- table: python --version -->\n<!-- end of table -->\n"
        "<!-- table: python -c 1/0 -->\n<!-- end of table -->\n"
    )
    monkeypatch.setattr(sys, "argv", ["performance_tables.py", str(page)])
    with pytest.raises(CalledProcessError):
        tables.main()
    assert "```\nPython 3." in page.read_text()
