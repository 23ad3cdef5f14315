"""The roof: how fast this machine reads the same bytes when it does nothing with them.

A product that reads its weights once cannot take less time, so its share of the roof says how much
is left to gain. The roof is the fastest of several ways to walk over memory, since which one the
prefetchers like best differs between machines, measured on the same copies in the same rounds. Each
thread reads its part of all copies in one go: what it costs to hand a product over to several
threads is no part of the roof, and so counts against the product. Warm weights are one copy, read
in one call, handing over included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.lib.stride_tricks import as_strided

from qkernels import _core
from qkernels._measure.method import Array, Candidate, Timing

PREFIX = "read "


@dataclass(frozen=True)
class Roof:
    """The fastest way to read, and the timings of all of them by variant."""

    variant: str
    timing: Timing
    variants: dict[str, Timing]


def candidates(copies: Array, threads: int) -> list[Candidate]:
    """One candidate a way to read weights: `copies` of them, (count, bytes) at equal strides."""
    count, nbytes = copies.shape
    stride = copies.strides[0] if count > 1 else nbytes
    everything = as_strided(copies, ((count - 1) * stride + nbytes,), (1,), writeable=False)
    return [_reader(everything, count, variant, threads) for variant in _core.read_variants()]


def _reader(everything: Array, copies: int, variant: str, threads: int) -> Candidate:
    return Candidate(
        PREFIX + variant,
        lambda: _core.read_pass(everything, variant, threads),
        products=copies,
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
