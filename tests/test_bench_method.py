"""The bench's method: in which order it times, over which memory, and what it makes of samples."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import qkernels as qk
from qkernels._measure import machine, memory, method, roof
from qkernels._measure.method import Candidate, Timing, copies_needed, doubts, measure
from qkernels.bench import run
from qkernels.bench.peers import all_peers
from qkernels.bench.problem import Problem

N, K = 64, 256
CACHE = 1 << 16


def timing(*samples: float) -> Timing:
    return Timing.of(samples)


def test_candidates_alternate_a_b_b_a() -> None:
    turns: list[str] = []
    clock = iter(range(10_000))

    def candidate(name: str) -> Candidate:
        return Candidate(name, lambda: turns.append(name))

    timings = measure([candidate("A"), candidate("B")], 3, clock=lambda: 20e-3 * next(clock))
    pilots = 2 * (1 + method.PILOT_CALLS)
    assert "".join(turns[pilots:]) == 3 * "ABBA"
    assert {name: len(t.samples) for name, t in timings.items()} == {"A": 3, "B": 3}


def test_a_linear_drift_falls_on_all_alike() -> None:
    now = 0.0

    def work() -> None:
        nonlocal now
        now += 20e-3 + 1e-3 * now  # every call is slower than the one before

    timings = measure([Candidate(name, work) for name in "ABC"], 4, clock=lambda: now)
    medians = [t.median for t in timings.values()]
    assert max(medians) / min(medians) < 1.0001


def test_the_time_of_a_call_is_divided_by_its_products() -> None:
    clock = iter(range(10_000))
    candidates = [Candidate("one", lambda: None), Candidate("many", lambda: None, products=8)]
    timings = measure(candidates, 2, clock=lambda: 20e-3 * next(clock))
    assert timings["one"].median == pytest.approx(20e-3)
    assert timings["many"].median == pytest.approx(20e-3 / 8)


@pytest.mark.parametrize(("warm_up", "untimed"), [(0.0, 1), (1e-3, 4), (5e-3, 17)])
def test_a_short_call_is_repeated_after_some_that_are_not_timed(
    warm_up: float, untimed: int
) -> None:
    calls = 0
    now = 0.0

    def work() -> None:
        nonlocal calls, now
        calls += 1
        now += 0.3e-3

    result = measure([Candidate("A", work)], 1, clock=lambda: now, warm_up=warm_up)["A"]
    assert calls == 1 + method.PILOT_CALLS + 2 * (untimed + 4)
    assert result.median == pytest.approx(0.3e-3)


def test_threads_rest_after_every_turn() -> None:
    events: list[str] = []
    measure(
        [Candidate("A", lambda: None, rest=lambda: events.append("rest"))],
        2,
        between=lambda: events.append("between"),
    )
    assert events == ["rest", *(["between", "rest"] * 4)]


@pytest.mark.parametrize("nbytes", [100, 36_864, 1 << 20])
def test_between_two_uses_of_a_cold_copy_lie_over_four_caches(nbytes: int) -> None:
    copies = copies_needed(nbytes, CACHE, cold=True)
    assert (copies - 1) * nbytes > 4 * CACHE
    assert copies_needed(nbytes, CACHE, cold=False) == 1


def test_all_that_read_the_same_copies_share_one_rotation() -> None:
    problem = Problem("q4_0", N, K, 1, True, CACHE)
    with ExitStack() as resources:
        native, packed = run._fused(problem, "int16", 1)
        assert packed.name == "qkernels packed int16"  # which has copies of its own
        ways = [native]
        for peer in all_peers():
            if peer.name in ("decode + NumPy", "gguf + NumPy"):
                ways += peer.candidates(problem, 1, resources)
        first = problem.rotation.copies[0]
        assert problem.rotation.next() is first
        for way in ways:
            way.call()
    roof.candidates(problem.memory, 1)[0].call()  # all of them
    # Every one of them took the next copy, none what another had just read.
    copies = problem.rotation.copies
    assert problem.rotation.next() is copies[(1 + len(ways)) % len(copies)]


def test_copies_are_copies() -> None:
    raws = [copy.raw for copy in Problem("q4_0", N, K, 1, True, CACHE).rotation.copies]
    assert len({raw.ctypes.data for raw in raws}) == len(raws) == 4 * CACHE // raws[0].nbytes + 2


@pytest.mark.parametrize("huge", [False, True])
def test_copies_start_at_cache_lines_and_are_zero(huge: bool) -> None:
    places = memory.allocate(3, 1000, huge)
    assert places.shape == (3, 1000)
    assert not places.any()
    assert all(place.ctypes.data % 64 == 0 for place in places)
    assert {place.flags.c_contiguous for place in places} == {True}
    places[...] = 1


def test_spread_is_the_interquartile_range_over_the_median() -> None:
    assert timing(1, 2, 3, 4, 5).spread == pytest.approx(2 / 3)


def test_a_verdict_needs_small_spreads_and_ranges_apart() -> None:
    fast, slow = timing(1.0, 1.01, 1.02), timing(2.0, 2.01, 2.02)
    assert doubts("a", fast, "b", slow) == []
    assert doubts("a", fast, "b", fast) == ["the interquartile ranges of a and b overlap"]
    wild = timing(4.0, 8.0, 12.0)
    assert doubts("a", fast, "b", wild) == ["b spreads by 50.0% of its median, over 25%"]


def test_steal_is_counted(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 700 0 0 0 100 50 0\ncpu0 1\n")
    meter = machine.StealMeter(stat)
    assert meter.share() == 0
    stat.write_text("cpu  150 0 120 715 0 0 0 115 50 0\ncpu0 1\n")
    assert meter.share() == pytest.approx(0.15)
    assert machine.StealMeter(tmp_path / "absent").share() is None


def test_the_largest_cache_counts(tmp_path: Path) -> None:
    for index, size in enumerate(("32K", "1024K", "2M", "what")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert machine.last_level_cache(tmp_path) == 2 << 20
    assert machine.last_level_cache(tmp_path / "none") == machine.DEFAULT_CACHE


def test_random_weights_repeat_rows_and_stay_finite() -> None:
    problem = Problem("iq1_m", 300, 512, 1, True, CACHE)
    dense = qk.dequantize(problem.raw, "iq1_m")
    assert dense.shape == (300, 512)
    assert np.isfinite(dense).all()
    assert (dense[:44] == dense[256:]).all()


@pytest.mark.parametrize(("nbytes", "cold"), [(1000, True), (4096, True), (4096, False)])
def test_the_roof_reads_every_copy_once(nbytes: int, cold: bool) -> None:
    copies = memory.allocate(5 if cold else 1, nbytes, huge=False)
    copies[...] = np.arange(copies.size).reshape(copies.shape) % 251
    for way in roof.candidates(copies, 2):
        assert way.products == len(copies)
        padded = np.zeros((len(copies), -(-nbytes // 64) * 64), np.uint8)
        padded[:, :nbytes] = copies
        assert way.call() == int(padded.view(np.uint64).sum(dtype=np.uint64))
