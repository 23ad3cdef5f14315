"""The bench: what its reports and tables say, and of whom. No speed passes or fails."""

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
from qkernels.bench import MIN_ROUNDS, cli, method, plot, roof, run, show
from qkernels.bench.method import Timing
from qkernels.bench.peers import Peer, UnsuitedError, all_peers, ggml_library
from qkernels.bench.peers.dense import DecodeNumpy, GgufNumpy
from qkernels.bench.peers.ggml import Ggml
from qkernels.bench.problem import Problem
from qkernels.bench.report import Case, Report, make_row
from qkernels.bench.run import Plan, Task
from qkernels.bench.summary import summaries
from qkernels.cli import app
from weights import bound

N, K = 64, 256
CACHE = 1 << 16
SHARED_PEERS: list[Peer] = [DecodeNumpy(), GgufNumpy()]


def plan(**changes: Any) -> Plan:
    defaults: dict[str, Any] = {"rounds": 2, "cache_bytes": CACHE}
    return Plan(**(defaults | changes))


def small_run(fmt: str = "q4_0", peers: Sequence[Peer] | None = None, **changes: Any) -> Report:
    return run.run([Task("a case", fmt, N, K)], plan(**changes), peers=peers, command="typed")


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of 64 KiB, turns of one call and no ggml, for whole commands."""
    monkeypatch.setattr(run, "last_level_cache", lambda: CACHE)
    monkeypatch.setattr(ggml_library, "folder", lambda: None)
    monkeypatch.setattr(method, "TURN_SECONDS", 0)


def timing(*samples: float) -> Timing:
    return Timing.of(samples)


# What it says


def wild_case() -> Case:
    report = small_run(peers=SHARED_PEERS)
    (case,) = report.cases
    wild = timing(1.0, 5.0, 9.0)
    best = roof.Roof("one_stream", wild, {"one_stream": wild})
    rows = [r if r.is_peer else type(r)(**{**r.__dict__, "timing": wild}) for r in case.rows]
    return Case(**{**case.__dict__, "roof": best, "rows": rows})


def test_a_spread_that_is_too_large_is_said() -> None:
    *verdicts, of_roof = wild_case().verdicts()
    for name in ("qkernels int16", "qkernels packed int16"):
        said = f"no verdict on {name}: {name} spreads by 80.0%"
        assert any(verdict.startswith(said) for verdict in verdicts)
    assert of_roof == "no safe roof: one_stream spreads by 80.0% of its median, over 25%"


def test_json_has_every_sample() -> None:
    report = json.loads(small_run(acts=("int16", "int8"), threads=(1, 2)).to_json())
    assert report["command"] == "typed"
    assert report["machine"]["isa"] == qk.info()["isa"]
    told = {"cache_bytes", "cold", "huge_pages", "rounds", "steal", "seconds", "load"}
    assert told <= report.keys()
    assert [case["threads"] for case in report["cases"]] == [1, 2]
    assert report["summaries"] == {"1": [], "2": []}
    for case in report["cases"]:
        assert (case["fmt"], case["n"], case["k"], case["m"]) == ("q4_0", N, K, 1)
        assert case["weight_bytes"] == N * K // 32 * 18
        assert case["copies"] * case["weight_bytes"] > 4 * CACHE
        assert len(case["roof"]["variants"]) == 4
        fastest = min(case["roof"]["variants"].values(), key=lambda t: t["median"])
        assert fastest == case["roof"]["variants"][case["roof"]["variant"]]
        names = [row["name"] for row in case["rows"]]
        assert {"qkernels int16", "qkernels int8", "gguf + NumPy", "torch float32"} <= set(names)
        for row in case["rows"]:
            assert len(row["timing"]["samples"]) == 2
            assert row["gigabytes"] > 0
            assert row["of_roof"] > 0
            assert row["ratio"] > 0
        assert max(row["ratio"] for row in case["rows"] if row["is_peer"]) == 1


def cases_of(rows: dict[str, dict[str, Timing]], read: Timing, m: int = 1) -> list[Case]:
    """Cases by label, each of rows by name: of qkernels where the name says so, else of peers."""
    best = roof.Roof("one_stream", read, {"one_stream": read})
    return [
        Case(
            label=label,
            fmt=label,
            n=N,
            k=K,
            m=m,
            threads=1,
            weight_bytes=1000,
            copies=1,
            roof=best,
            rows=[
                make_row(name, "qkernels" not in name, timings, [], best, 1000, 0.0)
                for name in timings
            ],
            absent={},
        )
        for label, timings in rows.items()
    ]


def test_a_summary_has_the_mean_and_the_worst_case() -> None:
    ours = "qkernels packed int16"
    cases = cases_of(
        {
            "q4_0": {ours: timing(2.0), "ggml": timing(9.0), "ggml repacked": timing(4.0)},
            "q6_k": {ours: timing(2.0), "ggml": timing(1.0), "torch float32": timing(0.1)},
            "q8_ks": {ours: timing(4.0), "torch float32": timing(0.1)},
        },
        timing(1.0),
    )
    assert summaries(cases) == [
        f"{ours} vs ggml: geomean 1.00x, worst 0.50x (q6_k);"
        " of roof: geomean 40%, worst 25% (q8_ks)"
    ]
    assert summaries(cases[:1]) == []
    assert summaries(cases[2:] * 2) == [
        f"{ours} vs ggml: no case; of roof: geomean 25%, worst 25% (q8_ks)"
    ]


def test_a_batch_has_to_beat_decoding_first_and_has_no_roof() -> None:
    rows = {"qkernels int16": timing(2.0), "ggml": timing(1.0), "decode + NumPy": timing(6.0)}
    batches = cases_of({"m=4": rows, "m=32": rows}, timing(1.0), m=4)
    told = (
        "qkernels int16 vs ggml: geomean 0.50x, worst 0.50x (m=4);"
        " vs decode + NumPy: geomean 3.00x, worst 3.00x (m=4)"
    )
    assert summaries(batches) == [told]
    single = cases_of({"m=1": rows}, timing(1.0))
    assert summaries(single + batches) == [told.replace("(m=4)", "(m=1)") + "; of roof: 50% (m=1)"]


def test_a_summary_says_how_much_of_it_is_unsafe() -> None:
    wild = timing(1.0, 2.0, 3.0)
    rows = {"qkernels int16": timing(2.0), "ggml": timing(4.0)}
    unsafe = rows | {"ggml": wild}
    (line,) = summaries(cases_of({"a": rows, "b": unsafe, "c": unsafe}, timing(1.0)))
    assert "worst 1.00x (b), no verdict in 2 of 3; of roof" in line
    assert line.endswith("(a)")
    (line,) = summaries(cases_of({"a": rows, "b": rows}, wild))
    assert line.endswith("worst 100% (a), unsafe in 2 of 2")


def test_what_disturbed_a_run_is_said() -> None:
    report = small_run(peers=[])
    processors = report.machine["processors"]
    report.steal, report.load = 0.02, 1 + processors / 2
    assert report.disturbance() is None
    report.steal = 0.15
    stolen = "the host took away 15.0% of the processor time"
    assert report.disturbance() == f"{stolen}: no number here is safe"
    report.load = load = 2 + processors / 2
    wanted = f"programs wanted {load:.1f} of {processors} processors, this one 1"
    assert report.disturbance() == f"{stolen} and {wanted}: no number here is safe"
    report.steal, report.load = None, None
    assert report.disturbance() is None


def test_a_roof_below_a_product_is_said() -> None:
    rows = {"qkernels int16": timing(1.0, 1.1), "ggml": timing(1.0, 3.0)}
    (case,) = cases_of({"a": rows}, timing(2.0, 2.0))
    (verdict,) = [verdict for verdict in case.verdicts() if "roof" in verdict]
    assert verdict == "the roof is too low: qkernels int16 reaches 190% of it"


def test_panels_have_the_roof_of_the_bytes_that_they_read() -> None:
    read = timing(1.0)
    best = roof.Roof("one_stream", read, {"one_stream": read})
    name = "qkernels packed int16"
    timings = {name: timing(4.0)}
    row = make_row(name, False, timings, [], best, 10**9, 0.0, 2 * 10**9)
    assert (row.gigabytes, row.read_bytes, row.of_roof) == (0.25, 2 * 10**9, 0.5)
    (case,) = cases_of({"a": timings}, read)
    assert case.rows[0].of_roof == 0.25
    # Three times the bytes in four times the time are no reason to doubt the roof; five are.
    for factor, found in ((3, 0), (5, 1)):
        rows = [dataclasses.replace(case.rows[0], read_bytes=factor * case.weight_bytes)]
        assert len(dataclasses.replace(case, rows=rows).verdicts()) == found


@pytest.mark.parametrize(("fmt", "recoded"), [("iq2_xxs", True), ("q4_0", False)])
def test_bytes_that_are_read_are_those_of_the_layout(fmt: str, recoded: bool) -> None:
    (case,) = small_run(fmt, peers=[DecodeNumpy()]).cases
    rows = {row.name: row for row in case.rows}
    packed = qk.QTensor(Problem(fmt, N, K, 1, False, CACHE).raw, fmt, (N, K)).pack()
    assert rows["qkernels packed int16"].read_bytes == packed.nbytes
    assert (packed.nbytes > case.weight_bytes) == recoded
    others = {row.read_bytes for name, row in rows.items() if "packed" not in name}
    assert others == {case.weight_bytes}


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
def test_json_can_be_the_whole_standard_output(tmp_path: Path) -> None:
    arguments = ("bench", "gemv", "--n", N, "--k", K, "--threads", "1", "--json")
    assert len(json.loads(invoke(*arguments, "-").stdout)["cases"]) == 1
    path = tmp_path / "bench.json"
    assert invoke(*arguments, path).exit_code == 0
    assert json.loads(path.read_text())["rounds"] == MIN_ROUNDS


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
def test_a_plot_is_a_picture_or_a_word_on_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "bench.png"
    result = invoke("bench", "gemv", "--n", N, "--k", K, "--threads", "1", "--plot", path)
    if importlib.util.find_spec("matplotlib") is None:
        assert result.stderr.startswith("qkernels bench: --plot needs matplotlib")
    else:
        assert result.exit_code == 0, result.output
        assert path.read_bytes().startswith(b"\x89PNG")
