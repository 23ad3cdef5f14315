"""Small runs of the bench, and cases that nobody measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qkernels._measure import roof
from qkernels._measure.method import Timing
from qkernels.bench import run
from qkernels.bench.peers import Peer
from qkernels.bench.report import Case, Report, make_row
from qkernels.bench.run import Plan, Task

N, K = 64, 256
CACHE = 1 << 16


def plan(**changes: Any) -> Plan:
    defaults: dict[str, Any] = {"rounds": 2, "cache_bytes": CACHE}
    return Plan(**(defaults | changes))


def small_run(fmt: str = "q4_0", peers: Sequence[Peer] | None = None, **changes: Any) -> Report:
    return run.run([Task("a case", fmt, N, K)], plan(**changes), peers=peers, command="typed")


def timing(*samples: float) -> Timing:
    return Timing.of(samples)


def cases_of(rows: dict[str, dict[str, Timing]], read: Timing, m: int = 1) -> list[Case]:
    """Cases by label, each of rows by name: of qkernels where the name says so, else of peers."""
    best = roof.Roof("one_stream", read, {"one_stream": read})
    return [
        Case(
            label=label,
            fmt=label,
            n=N,
            k=K,
            m=m,
            threads=1,
            weight_bytes=1000,
            copies=1,
            roof=best,
            rows=[
                make_row(name, "qkernels" not in name, timings, [], best, 1000, 0.0)
                for name in timings
            ],
            absent={},
        )
        for label, timings in rows.items()
    ]
