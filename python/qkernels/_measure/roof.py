"""The roof: how fast this machine reads the same bytes when it does nothing with them.

A product that reads its weights once cannot take less time, so its share of the roof says how much
is left to gain. The roof is the fastest of several ways to walk over a matrix, since which one the
prefetchers like best differs between machines, measured on the same copies in the same rounds and
dispatched by the same pool. That makes it fair where threads cost time: a matrix that is too small
for two threads lowers the roof as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qkernels import _core
from qkernels._measure.method import Candidate, Timing
from qkernels.bench.problem import Problem

PREFIX = "read "


@dataclass(frozen=True)
class Roof:
    """The fastest way to read, and the timings of all of them by variant."""

    variant: str
    timing: Timing
    variants: dict[str, Timing]


def candidates(problem: Problem, threads: int) -> list[Candidate]:
    """One candidate a way to read the weights of a problem."""
    return [_reader(problem, variant, threads) for variant in _core.read_variants()]


def _reader(problem: Problem, variant: str, threads: int) -> Candidate:
    rotation = problem.rotation
    return Candidate(
        PREFIX + variant, lambda: _core.read_pass(rotation.next().raw, variant, threads)
    )


def roof_of(timings: Mapping[str, Timing]) -> Roof:
    """The best of the readers among timings."""
    variants = {
        name.removeprefix(PREFIX): timing
        for name, timing in timings.items()
        if name.startswith(PREFIX)
    }
    best = min(variants, key=lambda variant: variants[variant].median)
    return Roof(best, variants[best], variants)
