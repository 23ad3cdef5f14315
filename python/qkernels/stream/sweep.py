"""Every kernel at every prefetch distance, warm and cold, in alternating turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import qkernels as qk
from qkernels import _core
from qkernels._measure import MIN_ROUNDS, roof
from qkernels._measure.machine import StealMeter, last_level_cache, load
from qkernels._measure.method import Candidate, Timing, measure
from qkernels.stream.measure import Problem, count_mismatches, places_for
from qkernels.stream.product import KERNELS, PackedInt8, gemv_i8, pack_for

DISTANCES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
TEMPERATURES = ("cold", "warm")
# A call of about so many bytes is long beside what it costs to make.
CALL_BYTES = 1 << 22


class Point(NamedTuple):
    """A kernel and a prefetch distance in blocks of 16 bytes."""

    kernel: str
    prefetch: int

    def __str__(self) -> str:
        """As tables and verdicts name it."""
        distance = f"prefetch {self.prefetch}" if self.prefetch else "no prefetching"
        return f"{self.kernel}, {distance}"


@dataclass(frozen=True)
class Grid:
    """One temperature's timings.

    Attributes:
        timings: seconds a product.
        read_bytes: of weights a product, by kernel.
        roof: 10^9 bytes a second of the fastest way to read the same memory, on one thread.
    """

    timings: dict[Point, Timing]
    read_bytes: dict[str, int]
    roof: float

    def gigabytes(self, point: Point) -> float:
        """10^9 bytes of weights a second."""
        return self.read_bytes[point.kernel] / self.timings[point].median / 1e9

    @property
    def best(self) -> Point:
        """The one whose product takes least."""
        return min(self.timings, key=lambda point: self.timings[point].median)

    def as_good(self) -> list[Point]:
        """Those whose interquartile range meets that of the best."""
        limit = self.timings[self.best].high
        return [p for p, t in self.timings.items() if t.low <= limit and p != self.best]

    def verdict(self) -> str:
        """Which is the best, in words, and how sure that is."""
        best = self.best
        text = f"{best}: {self.gigabytes(best):.1f} GB/s, {self._share(best)} of reading alone"
        if best.prefetch:
            plain = self.timings[Point(best.kernel, 0)].median
            text += f", {plain / self.timings[best].median:.2f}x {best.kernel} without prefetching"
        if rivals := self.as_good():
            rivals.sort(key=lambda point: self.timings[point].median)
            shown = "; ".join(map(str, rivals[:2]))
            more = f" and {len(rivals) - 2} more" if len(rivals) > 2 else ""
            text += f". Within its spread: {shown}{more}"
        return text

    def _share(self, point: Point) -> str:
        return f"{self.gigabytes(point) / self.roof:.0%}"


@dataclass
class Sweep:
    """What a sweep found: grids by temperature, and what the run was."""

    n: int
    k: int
    rounds: int
    huge_pages: bool
    cache_bytes: int
    mismatches: int
    machine: dict[str, Any]
    grids: dict[str, Grid] = field(default_factory=dict)
    steal: float | None = None
    load: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: every point with its quartiles, and the best of each temperature."""
        points = [
            {
                "temperature": temperature,
                "kernel": point.kernel,
                "prefetch": point.prefetch,
                "seconds": timing.median,
                "low": timing.low,
                "high": timing.high,
                "gb_per_second": grid.gigabytes(point),
            }
            for temperature, grid in self.grids.items()
            for point, timing in grid.timings.items()
        ]
        best = {temperature: grid.best._asdict() for temperature, grid in self.grids.items()}
        roofs = {temperature: grid.roof for temperature, grid in self.grids.items()}
        whole = {k: v for k, v in vars(self).items() if k != "grids"}
        return whole | {"best": best, "read_gb_per_second": roofs, "points": points}


def sweep(
    problem: Problem,
    *,
    kernels: Sequence[str] = KERNELS,
    distances: Sequence[int] = DISTANCES,
    rounds: int = MIN_ROUNDS,
    huge_pages: bool = False,
    cache_bytes: int | None = None,
    expect: Callable[[int], object] = lambda turns: None,
    advance: Callable[[int], object] = lambda done: None,
) -> Sweep:
    """Check every kernel at every distance, and time them.

    Args:
        problem: the weights and x. Kernels are timed over random bytes in place of the weights,
            all of them over the same ones, since no kernel's speed depends on values.
        kernels: of `stream.KERNELS`.
        distances: in blocks of 16 bytes; with 0, which the others are compared with.
        rounds: samples of each.
        huge_pages: pages of 2 MiB in place of 4 KiB.
        cache_bytes: of the last-level cache; what the system reports by default.
        expect: told how many turns there will be.
        advance: told of turns as they are done.

    Raises:
        ValueError: an unknown kernel, a distance out of range, or 0 not among them.
        MemoryError: the copies of cold weights do not fit.
    """
    if 0 not in distances:
        raise ValueError(f"distances={tuple(distances)} lack 0, which others are compared with")
    cache = last_level_cache() if cache_bytes is None else cache_bytes
    points = [Point(kernel, prefetch) for kernel in kernels for prefetch in distances]
    packed = {kernel: pack_for(problem.w, kernel) for kernel in kernels}
    mismatches = sum(
        count_mismatches(gemv_i8(packed[p.kernel], problem.x, *p), problem) for p in points
    )
    n, k = problem.w.shape
    found = Sweep(n, k, rounds, huge_pages, cache, mismatches, qk.info())
    readers = len(_core.read_variants())
    expect(len(TEMPERATURES) * 2 * rounds * (len(points) + readers))

    def one_turn() -> None:
        advance(1)

    steal = StealMeter()
    for temperature in TEMPERATURES:
        memory = _Memory(packed, temperature == "cold", cache, huge_pages)
        candidates = [memory.candidate(problem.x, point) for point in points]
        timings = measure([*candidates, *memory.readers()], rounds, one_turn)
        best = roof.roof_of(timings)
        found.grids[temperature] = Grid(
            timings={point: timings[str(point)] for point in points},
            read_bytes={kernel: weights.nbytes for kernel, weights in packed.items()},
            roof=memory.nbytes / best.timing.median / 1e9,
        )
    found.steal, found.load = steal.share(), load()
    return found


class _Memory:
    """Random bytes that every kernel reads as weights of its own layout, copy after copy.

    One rotation for all, so that none finds in the cache what another has just read.
    """

    def __init__(
        self, packed: dict[str, PackedInt8], cold: bool, cache_bytes: int, huge_pages: bool
    ) -> None:
        self._packed = packed
        self.nbytes = min(weights.nbytes for weights in packed.values())
        largest = max(weights.nbytes for weights in packed.values())
        self._places = places_for(largest, cold, cache_bytes, huge_pages)
        self._places[...] = np.frombuffer(
            np.random.default_rng(0).bytes(self._places.shape[1]), np.uint8
        )
        self._first = 0

    def candidate(self, x: np.ndarray[Any, Any], point: Point) -> Candidate:
        """The products of a kernel with the next copies."""
        shape = self._packed[point.kernel].data.shape
        nbytes = self._packed[point.kernel].nbytes
        copies = self._places[:, :nbytes].view(np.int8).reshape(-1, *shape)
        count = max(1, CALL_BYTES // nbytes)

        def call() -> None:
            _core.stream_gemv(copies, x, *point, self._take(count), count)

        return Candidate(str(point), call, products=count)

    def readers(self) -> list[Candidate]:
        """The ways to read the next copy and do nothing with it."""
        return [self._reader(variant) for variant in _core.read_variants()]

    def _reader(self, variant: str) -> Candidate:
        def call() -> None:
            place = self._places[self._take(1)]
            _core.read_pass(place[: self.nbytes], variant, 1)

        return Candidate(roof.PREFIX + variant, call)

    def _take(self, count: int) -> int:
        first = self._first
        self._first = (first + count) % len(self._places)
        return first
