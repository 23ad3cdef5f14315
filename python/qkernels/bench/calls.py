"""`qkernels bench calls`: what a call costs around its kernel, and what busy neighbours do to it.

Four measurements, each of single calls, since their tails are what is asked for:

- **The cost of a call**: products with a matrix so small that its kernel takes some tens of
  nanoseconds, beside a Python function that does nothing. Reading the clock is in all of them.
- **Handing over**: a product on two threads, back to back, so that the other thread spins for its
  part. Half the rows on one thread take as long without it; the difference is what handing over
  costs. Where two threads gain nothing over one on all rows, the other thread did not come, since
  its processor was busy, and no number is given.
- **Neighbours**: a product from memory on one and on two threads while other processes spin.
- **Gaps**: what a second thread gains when something lies between the calls (`gaps`).

Calls take turns as all candidates of the bench do (`method`): A B C C B A, and the first call of a
turn is not timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import qkernels as qk
from qkernels._measure.machine import StealMeter, load
from qkernels._measure.method import Array, settle
from qkernels.bench.gaps import Gaps, measure_gaps
from qkernels.bench.problem import Problem, gaussian, random_weights

TINY = ("q4_0", 16, 32)
TINY_TURN, TINY_ROUNDS = 100, 100
# Four of the ranges that are worth a thread (src/ops/linear.cpp) for each of two threads.
SHARED = ("q4_0", 128, 2048)
SHARED_TURN, SHARED_ROUNDS = 200, 20
LARGE = ("q4_k", 2048, 2048)
LARGE_TURN = 40
QUANTILES = (50, 90, 99, 99.9)
# What the measurements are held to: seconds, and the ratio of two 99th percentiles.
CALL_LIMIT, HAND_OVER_LIMIT, TAIL_LIMIT = 4e-6, 1e-6, 3.0
# Two threads that take over this share of one thread's time did not share the work.
SHARED_AT_MOST = 0.9
# A process that keeps a processor busy until it is stopped or its parent is gone.
SPIN = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""

Call = Callable[[], Any]


@dataclass(frozen=True)
class Samples:
    """Seconds of each call of one kind."""

    name: str
    seconds: Array

    def quantile(self, percent: float) -> float:
        """So many percent of the calls took at most this."""
        return float(np.percentile(self.seconds, percent))

    def to_dict(self) -> dict[str, Any]:
        """Seconds by percentile, and of how many calls."""
        return {
            "name": self.name,
            "calls": len(self.seconds),
            "seconds": {f"p{percent:g}": self.quantile(percent) for percent in QUANTILES},
        }


@dataclass(frozen=True)
class Calls:
    """What the measurements found; `shared` is empty and `gaps` None on a single processor."""

    command: str
    machine: dict[str, Any]
    busy: int
    tiny: list[Samples]
    shared: list[Samples]
    large: list[Samples]
    gaps: Gaps | None
    steal: float | None
    load: float | None

    @property
    def call_cost(self) -> float:
        """Seconds that a product into `out` takes over an empty call."""
        return self.tiny[1].quantile(50) - self.tiny[0].quantile(50)

    @property
    def hand_over(self) -> float | None:
        """Seconds that a second thread's part costs; None where no second thread came."""
        if not self.shared:
            return None
        half, whole, both = (samples.quantile(50) for samples in self.shared)
        return both - half if both < SHARED_AT_MOST * whole else None

    @property
    def tail_ratio(self) -> float:
        """The 99th percentile on two threads over that on one."""
        one, two = self.large
        return two.quantile(99) / one.quantile(99)

    def findings(self) -> list[str]:
        """A sentence for each measurement, with what it is held to."""
        cost = f"a call with out= takes {self.call_cost * 1e6:.2f} us over an empty one"
        if self.hand_over is None:
            why = "one processor" if not self.shared else "the second thread's processor was busy"
            handed = f"no verdict on handing over: {why}"
        else:
            handed = f"handing half of a product over costs {self.hand_over * 1e6:.2f} us"
            handed += f" (asked: {HAND_OVER_LIMIT * 1e6:g} at most)"
        tail = f"the 99th percentile on two threads is {self.tail_ratio:.2f}x that on one"
        return [
            f"{cost} (asked: {CALL_LIMIT * 1e6:g} at most)",
            handed,
            f"{tail} (asked: {TAIL_LIMIT:g} at most, with two busy processes on two processors)",
            *(self.gaps.findings() if self.gaps is not None else []),
        ]

    def to_json(self) -> str:
        """All of it but the samples of single calls, as indented JSON."""
        groups = {name: getattr(self, name) for name in ("tiny", "shared", "large")}
        plain = {name: [s.to_dict() for s in group] for name, group in groups.items()}
        plain["gaps"] = self.gaps.to_list() if self.gaps is not None else []
        told = {"command": self.command, "machine": self.machine, "busy": self.busy}
        end = {"steal": self.steal, "load": self.load, "findings": self.findings()}
        return json.dumps({**told, **plain, **end}, indent=2)


def take_turns(
    calls: Mapping[str, Call],
    per_turn: int,
    rounds: Iterable[object],
    between: Call = lambda: None,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[Samples]:
    """Time single calls, in turns of `per_turn`, until the rounds are over.

    Args:
        calls: by name.
        per_turn: how many calls of a turn are timed, after one that is not.
        rounds: one item for each A B C C B A.
        between: called before every turn.
        clock: nanoseconds.
    """
    found: dict[str, list[int]] = {name: [] for name in calls}
    for _ in rounds:
        for name in (*calls, *reversed(list(calls))):
            call, samples = calls[name], found[name]
            between()
            call()
            for _ in range(per_turn):
                begin = clock()
                call()
                samples.append(clock() - begin)
    return [Samples(name, np.array(samples) / 1e9) for name, samples in found.items()]


def until(seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Rounds for so many seconds, at least one."""
    end = clock() + seconds
    yield
    while clock() < end:
        yield


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that do nothing but use a processor each."""
    command = (sys.executable, "-c", SPIN, str(os.getpid()))
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.kill)
        yield


def tiny_calls() -> dict[str, Call]:
    """An empty call first, then a product into `out`, and variants of it."""
    fmt, n, k = TINY
    weights = qk.QTensor(random_weights(fmt, n, k), fmt, (n, k)).pack()  # a panel or a few
    x, out = gaussian(1, k), np.empty(n, np.float32)
    quantised = qk.quantize_activations(x)

    def empty() -> None:
        pass

    return {
        "an empty Python function": empty,
        "gemv(w, x, out=out)": lambda: qk.gemv(weights, x, out=out, threads=1),
        "gemv(w, activations, out=out)": lambda: qk.gemv(weights, quantised, out=out, threads=1),
        "gemv(w, x)": lambda: qk.gemv(weights, x, threads=1),
    }


def shared_calls() -> dict[str, Call]:
    """Half of a matrix and all of it on one thread, and all of it on two."""
    fmt, n, k = SHARED
    whole = qk.QTensor(random_weights(fmt, n, k), fmt, (n, k))
    half, x = whole[: n // 2], qk.quantize_activations(gaussian(1, k))
    out = np.empty(n, np.float32)
    half_out = out[: n // 2]
    return {
        f"{fmt} {n // 2}x{k}, 1 thread": lambda: qk.gemv(half, x, out=half_out, threads=1),
        f"{fmt} {n}x{k}, 1 thread": lambda: qk.gemv(whole, x, out=out, threads=1),
        f"{fmt} {n}x{k}, 2 threads": lambda: qk.gemv(whole, x, out=out, threads=2),
    }


def large_calls(cache_bytes: int) -> dict[str, Call]:
    """Packed weights from memory on one thread and on two."""
    fmt, n, k = LARGE
    problem = Problem(fmt, n, k, 1, cold=True, cache_bytes=cache_bytes)
    packed, x = problem.packed, problem.x
    assert packed is not None
    return {
        f"{fmt} {n}x{k}, 1 thread": lambda: qk.gemv(packed.next(), x, threads=1),
        f"{fmt} {n}x{k}, 2 threads": lambda: qk.gemv(packed.next(), x, threads=2),
    }


def measure(cache_bytes: int, *, busy: int, seconds: float, command: str = "") -> Calls:
    """Measure all of them.

    Args:
        cache_bytes: of the last-level cache, which the large weights exceed.
        busy: processes that spin beside the large products.
        seconds: how long those are measured.
        command: what was typed.

    Raises:
        MemoryError: the copies of the weights do not fit.
    """
    steal = StealMeter()
    tiny = take_turns(tiny_calls(), TINY_TURN, range(TINY_ROUNDS))
    several = int(qk.info()["processors"]) > 1
    shared = (
        take_turns(shared_calls(), SHARED_TURN, range(SHARED_ROUNDS), settle) if several else []
    )
    calls = large_calls(cache_bytes)
    others = load()
    with busy_processes(busy):
        large = take_turns(calls, LARGE_TURN, until(seconds))
    gaps = measure_gaps(cache_bytes) if several else None
    return Calls(command, qk.info(), busy, tiny, shared, large, gaps, steal.share(), others)
