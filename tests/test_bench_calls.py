"""`qkernels bench calls`: which calls it times, beside whom, and what it makes of them."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from qkernels._measure import machine
from qkernels._measure.method import Timing
from qkernels.bench import calls, gaps
from qkernels.bench.calls import Calls, Samples, busy_processes, take_turns, until
from qkernels.cli.app import app


def samples(*microseconds: float) -> Samples:
    return Samples("", np.array(microseconds) / 1e6)


def found(tiny: list[Samples], shared: list[Samples], large: list[Samples]) -> Calls:
    return Calls("typed", {}, 2, tiny, shared, large, None, None, None)


def test_single_calls_are_timed_in_turns_after_one_that_is_not() -> None:
    done: list[str] = []
    clock = iter(range(0, 10**9, 1000))
    kinds = {name: (lambda name=name: done.append(name)) for name in "AB"}
    timed = take_turns(kinds, 2, range(3), lambda: done.append("|"), clock=lambda: next(clock))
    assert "".join(done) == "|AAA|BBB|BBB|AAA" * 3
    assert [s.name for s in timed] == ["A", "B"]
    for kind in timed:
        assert kind.seconds == pytest.approx([1e-6] * 3 * 2 * 2)


def test_rounds_last_as_long_as_they_are_told_to() -> None:
    clock = iter(range(100))
    assert len(list(until(3, lambda: next(clock)))) == 3
    assert len(list(until(0, lambda: next(clock)))) == 1


def test_findings_are_differences_of_medians_and_the_ratio_of_tails() -> None:
    tiny = [samples(1, 1, 9), samples(3, 3, 3)]
    tails = [samples(*[10] * 98, 100, 100), samples(*[5] * 98, 300, 300)]
    told = found(tiny, [samples(4), samples(8), samples(5)], tails)
    assert told.findings() == [
        "a call with out= takes 2.00 us over an empty one (asked: 4 at most)",
        "handing half of a product over costs 1.00 us (asked: 1 at most)",
        "the 99th percentile on two threads is 3.00x that on one"
        " (asked: 3 at most, with two busy processes on two processors)",
    ]


def test_a_second_thread_that_did_not_come_is_no_verdict() -> None:
    tiny, large = [samples(1), samples(2)], [samples(1), samples(1)]
    alone = found(tiny, [samples(4), samples(8), samples(8)], large)
    assert alone.hand_over is None
    assert "no verdict on handing over: the second thread's processor" in alone.findings()[1]
    assert found(tiny, [], large).findings()[1] == "no verdict on handing over: one processor"


def test_what_a_second_thread_gains_is_told_for_the_worst_gap() -> None:
    seconds = {
        (gaps.NUMPY, 1): 3.0,
        (gaps.NUMPY, 2): 2.0,
        (gaps.TORCH, 1): 3.0,
        (gaps.TORCH, 2): 1.5,
    }
    timings = {
        (name, threads, gap): Timing.of([value + (0.5 if (name, threads, gap) == slow else 0.0)])
        for slow in [(gaps.TORCH, 2, 100)]
        for (name, threads), value in seconds.items()
        for gap in gaps.GAPS
    }
    assert gaps.Gaps(timings, {}).findings() == [
        "two threads are 1.50x as fast as one with NumPy's arrays 200 us after the call before"
        " (asked: 1.4 at least)",
        "with tensors 1.50x at the least, 100 us after the call before"
        " (asked: 1.5 at least after 20 us and more)",
    ]


def test_busy_processes_end_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    with busy_processes(2):
        assert [process.poll() for process in started] == [None, None]
    assert all(process.returncode is not None for process in started)


def test_the_small_product_on_two_threads_is_worth_them() -> None:
    _, rows, depth = calls.SHARED
    grain = 32768  # multiplications, as src/ops/linear.cpp has it
    assert rows * depth >= 2 * 4 * grain


def test_the_command_prints_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "last_level_cache", lambda: 1 << 16)
    for name in ("TINY_ROUNDS", "SHARED_ROUNDS"):
        monkeypatch.setattr(calls, name, 1)
    monkeypatch.setattr(calls, "LARGE", ("q4_k", 64, 256))
    monkeypatch.setattr(calls, "measure_gaps", partial(gaps.measure_gaps, rounds=1))
    monkeypatch.setattr(gaps, "CASE", ("q4_0", 64, 256))
    arguments = ["bench", "calls", "--busy", "1", "--seconds", "0.1", "--json"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    written = json.loads(result.stdout)
    assert written["busy"] == 1
    assert [len(written[name]) for name in ("tiny", "large")] == [4, 2]
    for kind in written["tiny"] + written["shared"] + written["large"]:
        seconds = kind["seconds"]
        assert kind["calls"] > 0
        assert 0 < seconds["p50"] <= seconds["p90"] <= seconds["p99"] <= seconds["p99.9"]
        assert kind["name"] in result.stderr
    ways = {(entry["name"], entry["threads"], entry["gap_us"]) for entry in written["gaps"]}
    several = qk.info()["processors"] > 1
    assert ways >= {(gaps.NUMPY, t, gap) for t in (1, 2) for gap in gaps.GAPS if several}
    assert all(entry["seconds"] > 0 for entry in written["gaps"])
    for line in (*written["findings"], "beside busy processes: 1", "steal "):
        assert line in result.stderr
