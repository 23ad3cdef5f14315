"""How everything here is timed, and why.

**What** is timed is the whole call as a user makes it from Python: checks, the quantisation of x
and the allocation of the result are part of it.

**Weights** are cold by default: they rotate over more than four times the last-level cache
(`Rotation`), since a model's weights do not fit there either, and a product that finds its matrix
in the cache tells nothing about one that does not. Candidates that read the same copies share one
rotation, so none finds what another has just read. Warm keeps one copy. All weights lie in pages
of one size, small ones unless huge ones are asked for (`memory`).

**Turns.** Clock speeds, neighbours and temperatures drift, so candidates are never timed one after
the other to the end: each round is A B C C B A, in which a linear drift falls on all alike, and a
round's sample is the mean of a candidate's two turns. A turn is one call that is not timed, which
brings code and x into the cache as a model's previous layer would, and then as many timed calls as
fill a millisecond, far above what reading the clock costs. Calls of over 10 ms do without the first
one. Before a turn on several threads, threads of the turn before may still spin; `settle` waits
until the process is idle. Untimed calls then fill 5 ms, until threads are as a loop of such calls
has them: awake, and each on a processor of its own, which a system that woke one on the processor
of its caller takes as long to see.

**Numbers.** The median of at least 15 rounds, and the spread: the interquartile range over the
median. Means and minima are at the mercy of single rounds. Where the interquartile ranges of two
candidates meet, or a spread is over 25%, no verdict is given, but that in words (`doubts`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")

MAX_SPREAD = 0.25
# Cold weights rotate over more bytes than this many last-level caches.
CACHES = 4
TURN_SECONDS = 1e-3
MAX_CALLS = 64
LONG_CALL = 10e-3
WARM_UP_SECONDS = 5e-3
PILOT_CALLS = 3
# A process that used less than so much of so many seconds is idle.
IDLE_SECONDS, SETTLE_SECONDS = 0.5e-3, 12e-3
SETTLE_LIMIT = 1.0


def _nothing() -> None:
    pass


def _as_array(result: Any) -> Array:
    return np.asarray(result)


@dataclass(frozen=True)
class Candidate:
    """One way to compute the product.

    Attributes:
        name: as tables show it.
        call: computes the product once, with the next copy of the weights.
        rest: sends threads that `call` keeps spinning to sleep.
        array: what `call` returned as an array of shape (n,) or (m, n).
        products: how many times `call` computes it, each with another copy; its time is divided.
        read_bytes: of weights a product, where they are known not to be those of the file's layout.
    """

    name: str
    call: Callable[[], Any]
    rest: Callable[[], None] = _nothing
    array: Callable[[Any], Array] = _as_array
    products: int = 1
    read_bytes: int | None = None


class Rotation(Generic[T]):
    """Copies that take turns."""

    def __init__(self, copies: Sequence[T]) -> None:
        self.copies = copies
        self._next = 0

    def next(self) -> T:
        """The copy that was used least recently."""
        copy = self.copies[self._next]
        self._next = (self._next + 1) % len(self.copies)
        return copy


def copies_needed(nbytes: int, cache_bytes: int, cold: bool) -> int:
    """How many copies of `nbytes` make up over four caches; one where the weights stay warm.

    Between two uses of a copy all the others are read, which alone are over four caches.
    """
    return CACHES * cache_bytes // nbytes + 2 if cold else 1


@dataclass(frozen=True)
class Timing:
    """Seconds a product, one sample a round, and what they come to."""

    samples: list[float]
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Timing:
        """The quartiles of samples."""
        low, median, high = (float(q) for q in np.percentile(samples, [25, 50, 75]))
        return cls(list(samples), low, median, high)

    @property
    def spread(self) -> float:
        """The interquartile range over the median."""
        return (self.high - self.low) / self.median


def settle() -> None:
    """Wait until this process's threads are idle, at most a second.

    The system adds what a thread uses to its process's time when its clock ticks, every 1 to 10 ms:
    over less than that a thread that spins may seem idle.
    """
    end = time.perf_counter() + SETTLE_LIMIT
    while time.perf_counter() < end:
        used = time.process_time()
        time.sleep(SETTLE_SECONDS)
        if time.process_time() - used < IDLE_SECONDS:
            return


def measure(
    candidates: Sequence[Candidate],
    rounds: int,
    between: Callable[[], None] = _nothing,
    clock: Callable[[], float] = time.perf_counter,
    warm_up: float = 0.0,
) -> dict[str, Timing]:
    """Time candidates in alternating turns, A B C C B A in each round.

    Args:
        candidates: with different names.
        rounds: how many samples each one gets.
        between: called before every turn, such as `settle`.
        clock: seconds.
        warm_up: how many seconds the untimed calls of a turn are to fill; they are one at least.
    """
    plans = {c.name: _plan_turn(c, clock, warm_up) for c in candidates}
    samples: dict[str, list[float]] = {c.name: [] for c in candidates}
    for _ in range(rounds):
        totals = dict.fromkeys(samples, 0.0)
        for candidate in (*candidates, *reversed(candidates)):
            between()
            totals[candidate.name] += _turn(candidate, plans[candidate.name], clock)
        for name, total in totals.items():
            samples[name].append(total / 2)
    return {name: Timing.of(values) for name, values in samples.items()}


def measure_threads(
    candidates: Sequence[Candidate], rounds: int, threads: int
) -> dict[str, Timing]:
    """Time candidates that use so many threads: turns of several begin idle, and warm up."""
    if threads == 1:
        return measure(candidates, rounds)
    return measure(candidates, rounds, settle, warm_up=WARM_UP_SECONDS)


@dataclass(frozen=True)
class _TurnPlan:
    calls: int
    warm_up: int  # untimed calls before


def _plan_turn(candidate: Candidate, clock: Callable[[], float], warm_up: float) -> _TurnPlan:
    candidate.call()  # the first of all pays for pages, threads and tables
    seconds = math.inf
    for _ in range(PILOT_CALLS):
        begin = clock()
        candidate.call()
        seconds = min(seconds, clock() - begin)
    candidate.rest()
    calls = _calls_in(TURN_SECONDS, seconds)
    return _TurnPlan(calls, _calls_in(warm_up, seconds) if seconds < LONG_CALL else 0)


def _calls_in(duration: float, seconds: float) -> int:
    calls = math.ceil(duration / seconds) if seconds > 0 else MAX_CALLS
    return max(1, min(calls, MAX_CALLS))


def _turn(candidate: Candidate, plan: _TurnPlan, clock: Callable[[], float]) -> float:
    """Seconds a product."""
    call = candidate.call
    for _ in range(plan.warm_up):
        call()
    begin = clock()
    for _ in range(plan.calls):
        call()
    seconds = (clock() - begin) / (plan.calls * candidate.products)
    candidate.rest()
    return seconds


def doubts(name: str, timing: Timing, other: str, other_timing: Timing) -> list[str]:
    """Why a verdict between two candidates would not be safe; empty where it is."""
    found = [
        f"{who} spreads by {t.spread:.1%} of its median, over {MAX_SPREAD:.0%}"
        for who, t in ((name, timing), (other, other_timing))
        if t.spread > MAX_SPREAD
    ]
    if timing.low <= other_timing.high and other_timing.low <= timing.high:
        found.append(f"the interquartile ranges of {name} and {other} overlap")
    return found
