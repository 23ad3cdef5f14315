"""What the bench says: verdicts, summaries, doubts and JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

import qkernels as qk
from bench_cases import CACHE, K, N, cases_of, small_run, timing
from qkernels._measure import roof
from qkernels.bench.peers import Peer
from qkernels.bench.peers.dense import DecodeNumpy, GgufNumpy
from qkernels.bench.problem import Problem
from qkernels.bench.report import Case, make_row
from qkernels.bench.summary import summaries

SHARED_PEERS: list[Peer] = [DecodeNumpy(), GgufNumpy()]


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
