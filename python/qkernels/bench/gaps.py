"""What a second thread gains when calls do not follow one another at once.

Between two products a program does something else: Python, NumPy, operators of torch. Threads that
have gone to sleep meanwhile take as long to wake as a product takes, so the time of calls with a
gap before each is what such a program sees, on one thread and on two, beside torch and ggml.

A turn starts with idle threads; then come calls that are not timed, each after its gap, by which
threads may learn what the gaps are, and then as many timed ones. In the gap the calling thread does
not rest, as a program that is at work does not.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import qkernels as qk
from qkernels._measure.method import Candidate, Timing, settle
from qkernels.bench.peers import Peer, candidates_of
from qkernels.bench.peers.dense import TorchDense
from qkernels.bench.peers.ggml import Ggml
from qkernels.bench.problem import Problem

GAPS = (0, 20, 50, 100, 200, 1000)  # microseconds
CASE = ("q4_0", 2048, 2048)
ROUNDS, LEARNING_CALLS, TIMED_CALLS = 7, 10, 20
NUMPY, TORCH = "qkernels, NumPy", "qkernels, torch"
# How much faster two threads are asked to be than one: with NumPy after some gap, with torch after
# every gap but none.
NUMPY_GAP, NUMPY_GAIN, TORCH_GAIN = 200, 1.4, 1.5


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Way:
    """A product on a number of threads; `prepare` is called before each of its turns."""

    name: str
    threads: int
    candidate: Candidate
    prepare: Callable[[], None] = _nothing


@dataclass(frozen=True)
class Gaps:
    """Timings by name, number of threads and gap, and why peers are absent."""

    timings: dict[tuple[str, int, int], Timing]
    absent: dict[str, str]

    def names(self) -> list[str]:
        """The ways, in the order in which they were measured."""
        return list(dict.fromkeys(name for name, _, _ in self.timings))

    def gain(self, name: str, gap: int) -> float:
        """The time on one thread over that on two."""
        one, two = (self.timings[name, threads, gap].median for threads in (1, 2))
        return one / two

    def findings(self) -> list[str]:
        """A sentence for each kind of arrays, with what it is held to."""
        told = [
            f"two threads are {self.gain(NUMPY, NUMPY_GAP):.2f}x as fast as one with NumPy's arrays"
            f" {NUMPY_GAP} us after the call before (asked: {NUMPY_GAIN:g} at least)"
        ]
        if TORCH in self.names():
            gain, gap = min((self.gain(TORCH, gap), gap) for gap in GAPS[1:])
            told.append(
                f"with tensors {gain:.2f}x at the least, {gap} us after the call before"
                f" (asked: {TORCH_GAIN:g} at least after {GAPS[1]} us and more)"
            )
        return told

    def to_list(self) -> list[dict[str, Any]]:
        """One entry a way, number of threads and gap."""
        return [
            {"name": name, "threads": threads, "gap_us": gap, "seconds": timing.median,
             "spread": timing.spread}
            for (name, threads, gap), timing in self.timings.items()
        ]  # fmt: skip


def measure_gaps(cache_bytes: int, rounds: int = ROUNDS) -> Gaps:
    """Measure all ways with all gaps on one thread and on two.

    Raises:
        MemoryError: the copies of the weights do not fit.
    """
    problem = Problem(*CASE, 1, cold=True, cache_bytes=cache_bytes)
    absent: dict[str, str] = {}
    with ExitStack() as resources:
        ways = [way for threads in (1, 2) for way in _ways(problem, threads, resources, absent)]
        samples: dict[tuple[str, int, int], list[float]] = {}
        for _ in range(rounds):
            for gap in GAPS:
                _add_round(ways, gap, samples)
    return Gaps({key: Timing.of(found) for key, found in samples.items()}, absent)


def _add_round(ways: list[Way], gap: int, samples: dict[tuple[str, int, int], list[float]]) -> None:
    """A B C C B A; a way's sample is the mean of its two turns."""
    totals: dict[tuple[str, int, int], float] = {}
    for way in (*ways, *reversed(ways)):
        settle()
        key = (way.name, way.threads, gap)
        totals[key] = totals.get(key, 0.0) + _turn(way, gap)
    for key, total in totals.items():
        samples.setdefault(key, []).append(total / 2)


def _turn(way: Way, gap: int) -> float:
    """The median seconds of a call."""
    way.prepare()
    call, seconds = way.candidate.call, []
    for number in range(LEARNING_CALLS + TIMED_CALLS):
        end = time.perf_counter_ns() + gap * 1000
        while time.perf_counter_ns() < end:
            pass
        begin = time.perf_counter_ns()
        call()
        if number >= LEARNING_CALLS:
            seconds.append((time.perf_counter_ns() - begin) / 1e9)
    way.candidate.rest()
    return float(np.median(seconds))


def _ways(
    problem: Problem, threads: int, resources: ExitStack, absent: dict[str, str]
) -> list[Way]:
    packed, x = problem.packed, problem.x
    ways = [
        Way(NUMPY, threads, Candidate(NUMPY, lambda: qk.gemv(packed.next(), x, threads=threads)))
    ]
    prepare: Callable[[], None] = _nothing
    if importlib.util.find_spec("torch") is not None:
        import torch

        resources.callback(torch.set_num_threads, torch.get_num_threads())
        prepare, tensor = partial(torch.set_num_threads, threads), torch.from_numpy(x)
        call = Candidate(TORCH, lambda: qk.gemv(packed.next(), tensor))
        ways.append(Way(TORCH, threads, call, prepare))
    peers: tuple[Peer, ...] = (TorchDense("bfloat16"), Ggml())
    for peer in peers:
        found = candidates_of(peer, problem, threads, resources, absent)
        ways += [Way(c.name, threads, c, prepare) for c in found]
    return ways
