"""What a run of the bench found, as one object that is also its `--json` output."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from qkernels._measure.method import MAX_SPREAD, Timing, doubts
from qkernels._measure.roof import Roof
from qkernels.bench.summary import summaries

# Stolen processor time above which a run says that it was disturbed.
MAX_STEAL = 0.02
# And the share of the processors that other programs wanted.
MAX_OTHERS = 0.5


@dataclass(frozen=True)
class Row:
    """One candidate.

    Attributes:
        gigabytes: of the quantised weights a second, as they are in a file, whatever it reads.
        read_bytes: of weights that a product reads, as far as that is known.
        of_roof: the time that reading so many bytes takes at the roof's speed over its own.
        ratio: the best peer's median over its own; None without peers.
    """

    name: str
    is_peer: bool
    timing: Timing
    gigabytes: float
    read_bytes: int
    of_roof: float
    error: float
    ratio: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with every sample."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**plain, "timing": timing_to_dict(self.timing)}


@dataclass(frozen=True)
class Case:
    """One problem on a number of threads; `absent` says of each missing peer why."""

    label: str
    fmt: str
    n: int
    k: int
    m: int
    threads: int
    weight_bytes: int
    copies: int
    roof: Roof
    rows: list[Row]
    absent: dict[str, str]

    @property
    def best_peer(self) -> Row | None:
        """The fastest peer."""
        return min((r for r in self.rows if r.is_peer), key=_median, default=None)

    @property
    def roof_gigabytes(self) -> float:
        """The roof in GB/s."""
        return self.weight_bytes / self.roof.timing.median / 1e9

    def verdicts(self) -> list[str]:
        """A sentence for each row of qkernels: how it compares with the best peer, or why not;
        and one where the roof is unsafe, or none.
        """
        peer = self.best_peer
        ours = [row for row in self.rows if not row.is_peer]
        found = [] if peer is None else [_verdict(row, peer) for row in ours]
        roof = self.roof
        if roof.timing.spread > MAX_SPREAD:
            found.append(
                f"no safe roof: {roof.variant} spreads by {roof.timing.spread:.1%} of its median,"
                f" over {MAX_SPREAD:.0%}"
            )
        else:
            found += [
                f"the roof is too low: {row.name} reaches {row.of_roof:.0%} of it"
                for row in self.rows
                if row.timing.high * self.weight_bytes < roof.timing.low * row.read_bytes
            ]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with every sample."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        variants = {name: timing_to_dict(t) for name, t in self.roof.variants.items()}
        return {
            **plain,
            "roof": {
                "variant": self.roof.variant,
                "gigabytes": self.roof_gigabytes,
                "variants": variants,
            },
            "rows": [row.to_dict() for row in self.rows],
            "verdicts": self.verdicts(),
        }


def _median(row: Row) -> float:
    return row.timing.median


def _verdict(row: Row, peer: Row) -> str:
    found = doubts(row.name, row.timing, peer.name, peer.timing)
    if found:
        return f"no verdict on {row.name}: {', and '.join(found)}"
    ratio = peer.timing.median / row.timing.median
    if ratio >= 1:
        return f"{row.name} is {ratio:.2f}x as fast as {peer.name}, the best peer"
    return f"{row.name} takes {1 / ratio:.2f}x the time of {peer.name}, the best peer"


def timing_to_dict(timing: Timing) -> dict[str, Any]:
    """Seconds: the quartiles, the spread and every sample."""
    return {
        "median": timing.median,
        "low": timing.low,
        "high": timing.high,
        "spread": timing.spread,
        "samples": timing.samples,
    }


@dataclass
class Report:
    """All cases of a run; `steal` is None where the system does not count it."""

    command: str
    machine: dict[str, Any]
    cache_bytes: int
    cold: bool
    huge_pages: bool
    rounds: int
    cases: list[Case] = field(default_factory=list)
    seconds: float = 0.0
    steal: float | None = None
    load: float | None = None

    def disturbance(self) -> str | None:
        """Why no number of this run is safe, in words; None where nothing speaks against them."""
        found = []
        if self.steal is not None and self.steal > MAX_STEAL:
            found.append(f"the host took away {self.steal:.1%} of the processor time")
        processors = self.machine["processors"]
        own = max((case.threads for case in self.cases), default=0)
        if self.load is not None and self.load - own > MAX_OTHERS * processors:
            found.append(
                f"programs wanted {self.load:.1f} of {processors} processors, this one {own}"
            )
        return f"{' and '.join(found)}: no number here is safe" if found else None

    def summaries(self) -> dict[int, list[str]]:
        """What the cases come to, by number of threads."""
        counts = sorted({case.threads for case in self.cases})
        return {n: summaries([case for case in self.cases if case.threads == n]) for n in counts}

    def to_json(self) -> str:
        """The report as indented JSON."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        whole = {
            **plain,
            "disturbance": self.disturbance(),
            "cases": [case.to_dict() for case in self.cases],
            "summaries": self.summaries(),
        }
        return json.dumps(whole, indent=2, default=str)


def make_row(
    name: str,
    is_peer: bool,
    timings: dict[str, Timing],
    peers: list[str],
    roof: Roof,
    weight_bytes: int,
    error: float,
    read_bytes: int | None = None,
) -> Row:
    """The row of a candidate.

    Args:
        name: of the candidate.
        is_peer: whether it is one.
        timings: of all candidates.
        peers: the names of those that are peers.
        roof: of the case.
        weight_bytes: of the quantised weights as they are in a file, which the roof reads.
        error: relative, against float64.
        read_bytes: of weights that the candidate reads, where they are others.
    """
    timing = timings[name]
    read = weight_bytes if read_bytes is None else read_bytes
    best = min((timings[peer].median for peer in peers), default=None)
    return Row(
        name=name,
        is_peer=is_peer,
        timing=timing,
        gigabytes=weight_bytes / timing.median / 1e9,
        read_bytes=read,
        of_roof=roof.timing.median * read / weight_bytes / timing.median,
        error=error,
        ratio=None if best is None else best / timing.median,
    )
