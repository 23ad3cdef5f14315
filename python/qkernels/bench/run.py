"""A run of the bench: for each problem all candidates, their errors, and their times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter

import qkernels as qk
from qkernels._measure import MIN_ROUNDS, roof
from qkernels._measure.machine import StealMeter, last_level_cache, load
from qkernels._measure.method import Array, Candidate, measure_threads
from qkernels.bench.peers import Peer, all_peers, candidates_of
from qkernels.bench.problem import Problem
from qkernels.bench.report import Case, Report, make_row


@dataclass(frozen=True)
class Task:
    """One problem to measure; `label` is what tells it from the others of a run."""

    label: str
    fmt: str
    n: int
    k: int
    m: int = 1


@dataclass(frozen=True)
class Plan:
    """How to measure: see `method`."""

    acts: Sequence[str] = ("int16",)
    threads: Sequence[int] = (1,)
    rounds: int = MIN_ROUNDS
    cold: bool = True
    huge_pages: bool = False
    cache_bytes: int = field(default_factory=lambda: last_level_cache())


def run(
    tasks: Iterable[Task],
    plan: Plan,
    *,
    command: str = "",
    peers: Sequence[Peer] | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure every task on every number of threads.

    Args:
        tasks: what to measure.
        plan: how.
        command: what was typed, for the report.
        peers: those to compare with; all by default.
        announce: told each case before it is measured.

    Raises:
        ValueError: an unknown format or act, or no such number of threads.
        MemoryError: the copies of the weights do not fit.
    """
    report = Report(command, qk.info(), plan.cache_bytes, plan.cold, plan.huge_pages, plan.rounds)
    start, steal = perf_counter(), StealMeter()
    for task in tasks:
        problem = Problem(
            task.fmt, task.n, task.k, task.m, plan.cold, plan.cache_bytes, plan.huge_pages
        )
        for threads in plan.threads:
            announce(f"{task.label}, {threads} thread{'' if threads == 1 else 's'}")
            chosen = all_peers() if peers is None else peers
            report.cases.append(measure_case(task.label, problem, threads, plan, chosen))
    report.seconds = perf_counter() - start
    report.steal, report.load = steal.share(), load()
    return report


def measure_case(
    label: str, problem: Problem, threads: int, plan: Plan, peers: Sequence[Peer]
) -> Case:
    """Measure one problem on one number of threads.

    Raises:
        ValueError, MemoryError: as `run`.
    """
    absent: dict[str, str] = {}
    with ExitStack() as resources:
        ours = [c for act in dict.fromkeys(plan.acts) for c in _fused(problem, act, threads)]
        theirs: list[Candidate] = []
        for peer in peers:
            theirs += candidates_of(peer, problem, threads, resources, absent)
        readers = roof.candidates(problem.memory, threads)
        errors = {c.name: problem.error(c.array(c.call())) for c in (*ours, *theirs)}
        timings = measure_threads([*ours, *theirs, *readers], plan.rounds, threads)
    best = roof.roof_of(timings)
    names = [c.name for c in theirs]
    weight_bytes = problem.raw.nbytes
    rows = [
        make_row(c.name, is_peer, timings, names, best, weight_bytes, errors[c.name], c.read_bytes)
        for group, is_peer in ((ours, False), (theirs, True))
        for c in sorted(group, key=lambda c: timings[c.name].median)
    ]
    return Case(
        label=label,
        fmt=problem.fmt,
        n=problem.n,
        k=problem.k,
        m=problem.m,
        threads=threads,
        weight_bytes=weight_bytes,
        copies=len(problem.rotation.copies),
        roof=best,
        rows=rows,
        absent=absent,
    )


def _fused(problem: Problem, act: str, threads: int) -> list[Candidate]:
    rotation, packed, x = problem.rotation, problem.packed, problem.x
    product = qk.gemv if problem.m == 1 else qk.gemm

    def native() -> Array:
        return product(rotation.next().tensor, x, act=act, threads=threads)

    def panels() -> Array:
        return product(packed.next(), x, act=act, threads=threads)

    return [
        Candidate(f"qkernels {act}", native),
        Candidate(f"qkernels packed {act}", panels, read_bytes=packed.copies[0].nbytes),
    ]
