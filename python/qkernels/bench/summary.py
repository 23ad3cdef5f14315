"""What many cases come to: geometric means and the worst case, one line a fused product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qkernels._measure.method import MAX_SPREAD, doubts

if TYPE_CHECKING:
    from qkernels.bench.report import Case, Row

GGML = "ggml"  # all of its layouts; the fastest one counts
DECODED = "decode + NumPy"  # what a batch has to beat


def summaries(cases: Sequence[Case]) -> list[str]:
    """A line for each way of qkernels that occurs in at least two of some cases.

    Args:
        cases: all on one number of threads.
    """
    batches = any(case.m > 1 for case in cases)
    lines = []
    for name in sorted({row.name for case in cases for row in case.rows if not row.is_peer}):
        found = [(case, _row(case, name)) for case in cases]
        own = [(case, row) for case, row in found if row is not None]
        if len(own) > 1:
            told = [f"{name} vs {GGML}: {_against(GGML, own)}"]
            if batches:
                told.append(f"vs {DECODED}: {_against(DECODED, own)}")
            if not all(case.m > 1 for case, _ in own):
                told.append(f"of roof: {_of_roof([(c, r) for c, r in own if c.m == 1])}")
            lines.append("; ".join(told))
    return lines


def _against(rival: str, own: Sequence[tuple[Case, Row]]) -> str:
    """How a way compares with a rival, in the cases that the rival computes."""
    ratios, labels, unsafe = [], [], 0
    for case, row in own:
        rivals = [r for r in case.rows if r.is_peer and _is_of(rival, r.name)]
        if not rivals:
            continue
        best = min(rivals, key=lambda r: r.timing.median)
        ratios.append(best.timing.median / row.timing.median)
        labels.append(case.label)
        unsafe += bool(doubts(row.name, row.timing, best.name, best.timing))
    if not ratios:
        return "no case"
    told = _mean_and_worst(ratios, labels, ".2f", "x")
    return told + (f", no verdict in {unsafe} of {len(ratios)}" if unsafe else "")


def _is_of(rival: str, name: str) -> bool:
    return name == rival or name.startswith(f"{rival} ")


def _of_roof(own: Sequence[tuple[Case, Row]]) -> str:
    """Which part of the roof a way reaches with single vectors: batches are not bound by it."""
    shares = [100 * row.of_roof for _, row in own]
    told = _mean_and_worst(shares, [case.label for case, _ in own], ".0f", "%")
    unsafe = sum(max(case.roof.timing.spread, row.timing.spread) > MAX_SPREAD for case, row in own)
    return told + (f", unsafe in {unsafe} of {len(own)}" if unsafe else "")


def _mean_and_worst(values: Sequence[float], labels: Sequence[str], form: str, unit: str) -> str:
    if len(values) == 1:
        return f"{values[0]:{form}}{unit} ({labels[0]})"
    mean = float(np.exp(np.mean(np.log(values))))
    worst = int(np.argmin(values))
    return f"geomean {mean:{form}}{unit}, worst {values[worst]:{form}}{unit} ({labels[worst]})"


def _row(case: Case, name: str) -> Row | None:
    return next((row for row in case.rows if row.name == name), None)
