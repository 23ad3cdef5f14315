"""What a product gains by the columns that gates drop, beside the product with all of them.

Two comparisons, each in turns of its own (`method`). Blocks as they lie in a file: what zeroing x
costs. Panels: those of the whole matrix against those of the kept columns, each rotating over more
than four caches, so that half a matrix has twice the copies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import qkernels as qk
from qkernels import _core
from qkernels._measure.method import MAX_SPREAD, Candidate, Rotation, Timing, measure_threads
from qkernels.bench.problem import SEED, Problem

if TYPE_CHECKING:
    from qkernels.weights.gated import GatedTensor


@dataclass(frozen=True)
class Shape:
    """A matrix (n, k) in a format, and the columns of a gate; None for `natural_block`."""

    fmt: str
    n: int
    k: int
    block_k: int | None = None


@dataclass(frozen=True)
class Plan:
    """How to measure: on how many threads, with which share of the blocks dropped."""

    threads: tuple[int, ...]
    dropped: float
    rounds: int
    cold: bool
    cache_bytes: int
    huge_pages: bool = False


@dataclass(frozen=True)
class GateCase:
    """What was measured of one matrix on a number of threads; times in seconds a product."""

    fmt: str
    n: int
    k: int
    block_k: int
    kept: int
    blocks: int
    threads: int
    whole: Timing
    zeroed: Timing
    packed: Timing
    gated: Timing

    @property
    def of_blocks(self) -> float:
        """The time of `gated_gemv` with a mask over that of `gemv`, on blocks."""
        return self.zeroed.median / self.whole.median

    @property
    def of_packed(self) -> float:
        """The time of `gated_gemv` without the dropped blocks over that of `gemv`, on panels."""
        return self.gated.median / self.packed.median


def natural_block(fmt: str) -> int:
    """The fewest columns, at least 32, that panels leave out: the format's block."""
    return max(32, _core.format_info(fmt).block)


def random_mask(blocks: int, dropped: float) -> NDArray[np.bool_]:
    """Which blocks are kept: all but the given share of them, which is dropped at random.

    Raises:
        ValueError: the share is not in 0..1.
    """
    if not 0 <= dropped <= 1:
        raise ValueError(f"dropped={dropped} is outside 0..1")
    order = np.random.default_rng(SEED).permutation(blocks)
    return np.asarray(order >= round(dropped * blocks))


def run(
    shapes: Iterable[Shape],
    plan: Plan,
    *,
    announce: Callable[[str], None] = lambda _: None,
) -> list[GateCase]:
    """Measure matrices on each number of threads.

    Raises:
        ValueError: an unknown format, a share outside 0..1, or blocks that panels cannot leave out.
        MemoryError: the copies of the weights do not fit.
    """
    found = []
    for shape in shapes:
        fmt, n, k = shape.fmt, shape.n, shape.k
        block_k = natural_block(fmt) if shape.block_k is None else shape.block_k
        keep = random_mask(-(-k // block_k), plan.dropped)
        problem = Problem(fmt, n, k, 1, plan.cold, plan.cache_bytes, plan.huge_pages)
        for threads in plan.threads:
            announce(f"{fmt} {n}x{k}, {threads} thread{'' if threads == 1 else 's'}")
            found.append(_measure(problem, keep, block_k, threads, plan.rounds))
    return found


def _measure(
    problem: Problem, keep: NDArray[np.bool_], block_k: int, threads: int, rounds: int
) -> GateCase:
    blocks, panels, x = problem.rotation, problem.packed, problem.x
    kept = without(problem, keep, block_k)

    def zeroed() -> object:
        tensor = blocks.next().tensor
        return qk.gated_gemv(tensor, x, gates=keep, block_k=block_k, threads=threads)

    pairs = (
        (
            Candidate("whole", lambda: qk.gemv(blocks.next().tensor, x, threads=threads)),
            Candidate("zeroed", zeroed),
        ),
        (
            Candidate("packed", lambda: qk.gemv(panels.next(), x, threads=threads)),
            Candidate("gated", lambda: qk.gated_gemv(kept.next(), x, threads=threads)),
        ),
    )
    timings = {
        name: timing
        for pair in pairs
        for name, timing in measure_threads(pair, rounds, threads).items()
    }
    return GateCase(
        problem.fmt, problem.n, problem.k, block_k, int(keep.sum()), len(keep), threads, **timings
    )


def without(problem: Problem, keep: NDArray[np.bool_], block_k: int) -> Rotation[GatedTensor]:
    """Copies of the panels without what is dropped."""

    def pack() -> GatedTensor:
        tensor = problem.rotation.copies[0].tensor
        return tensor.pack(gates=keep, block_k=block_k, huge_pages=problem.huge_pages)

    first = pack()
    # Where nothing is kept there is nothing to rotate.
    count = problem.copies(first.nbytes) if first.nbytes else 1
    return Rotation([first, *(pack() for _ in range(1, count))])


def table(cases: Sequence[GateCase]) -> str:
    """The cases, of one shape, as a table in Markdown, which is as readable on a terminal."""
    lines = [
        f"| {cases[0].n}x{cases[0].k} | kept | threads | blocks | gated | ratio"
        " | packed | gated | ratio |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {case.fmt} | {case.kept} of {case.blocks} x {case.block_k} | {case.threads}"
        f" | {_cells(case.whole, case.zeroed)} | {_cells(case.packed, case.gated)} |"
        for case in cases
    ]
    facts = qk.info()
    lines += ["", f"{facts['cpu']}, {facts['isa']}. A question mark: spread over {MAX_SPREAD:.0%}."]
    return "\n".join(lines)


def _cells(dense: Timing, gated: Timing) -> str:
    """Two times, and the second over the first; with a mark where either one is too noisy."""
    doubt = " ?" if max(dense.spread, gated.spread) > MAX_SPREAD else ""
    ratio = gated.median / dense.median
    return f"{dense.median * 1e6:.0f} us | {gated.median * 1e6:.0f} us | {ratio:.2f}{doubt}"


def to_json(cases: Sequence[GateCase], command: str) -> str:
    """All results, with every sample."""
    plain: list[dict[str, Any]] = [
        {**asdict(case), "of_blocks": case.of_blocks, "of_packed": case.of_packed} for case in cases
    ]
    return json.dumps({"command": command, "machine": qk.info(), "cases": plain}, indent=1)
