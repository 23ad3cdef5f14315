"""The roof: how fast this machine reads the same bytes when it does nothing with them.

A product that reads its weights once cannot take less time, so its share of the roof says how much
is left to gain. The roof is the fastest of several ways to walk over a matrix, since which one the
prefetchers like best differs between machines, measured on the same copies in the same rounds and
dispatched by the same pool. That makes it fair where threads cost time: a matrix that is too small
for two threads lowers the roof as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qkernels import _core
from qkernels._measure.method import Array, Candidate, Timing

PREFIX = "read "


@dataclass(frozen=True)
class Roof:
    """The fastest way to read, and the timings of all of them by variant."""

    variant: str
    timing: Timing
    variants: dict[str, Timing]


def candidates(next_copy: Callable[[], Array], threads: int) -> list[Candidate]:
    """One candidate a way to read weights, of which `next_copy` has one copy after the other."""
    return [_reader(next_copy, variant, threads) for variant in _core.read_variants()]


def _reader(next_copy: Callable[[], Array], variant: str, threads: int) -> Candidate:
    return Candidate(PREFIX + variant, lambda: _core.read_pass(next_copy(), variant, threads))


def roof_of(timings: Mapping[str, Timing]) -> Roof:
    """The best of the readers among timings."""
    variants = {
        name.removeprefix(PREFIX): timing
        for name, timing in timings.items()
        if name.startswith(PREFIX)
    }
    best = min(variants, key=lambda variant: variants[variant].median)
    return Roof(best, variants[best], variants)
