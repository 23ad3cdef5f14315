"""`qkernels bench llama`: a whole model beside llama.cpp, in tokens a second.

Three measurements, all with the same file and the same tokens on both sides:

- **decode**: so many tokens, one after the other, each chosen by the one before, after a short
  prompt. A token reads all the weights, so the speed of memory is its roof.
- **prefill**: a long prompt at once.
- **start**: from a path to the first token of a prompt of six tokens, in a fresh process for each
  sample, with imports before the clock. The file is in the system's memory.

Decode and prefill take turns in one process as all candidates of the bench do (`method`): A B B A,
idle threads in between. Fresh processes alternate in the same way.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import qkernels as qk
from qkernels._measure.machine import StealMeter, load
from qkernels._measure.method import Candidate, Timing, doubts, measure_threads
from qkernels.bench import llama_peers
from qkernels.bench.llama_peers import BATCH, LlamaCpp, Ours, Runtime
from qkernels.bench.report import timing_to_dict
from qkernels.llama.stats import read_bandwidth

SHORT_PROMPT = (504, 3575, 282, 4649, 314, 260)
START_PROMPT = "The capital of France is the"
# Seconds after which a process that does not come to its first token is given up.
START_LIMIT = 600


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        threads: the numbers of threads.
        rounds: samples of each candidate; each is the mean of two turns.
        tokens: decoded in a turn.
        prompt: tokens of the long prompt.
        acts: how qkernels holds activations; each is a candidate.
        starts: rounds of fresh processes.
    """

    threads: Sequence[int] = (1, 2)
    rounds: int = 7
    tokens: int = 64
    prompt: int = BATCH
    acts: Sequence[str] = ("int16",)
    starts: int = 3


@dataclass(frozen=True)
class Row:
    """One runtime; `read_bytes` are what an average token reads, where that is known."""

    name: str
    timing: Timing
    tokens: int
    read_bytes: int | None = None

    @property
    def tokens_per_second(self) -> float:
        """By the median."""
        return self.tokens / self.timing.median


@dataclass(frozen=True)
class Case:
    """One measurement on a number of threads; `bandwidth` is of reading memory, in bytes/s."""

    label: str
    threads: int
    rows: list[Row]
    bandwidth: float | None = None

    def of_roof(self, row: Row) -> float | None:
        """The share of the memory's speed at which a row reads weights, keys and values."""
        if row.read_bytes is None or self.bandwidth is None:
            return None
        return row.read_bytes * row.tokens_per_second / self.bandwidth

    def verdicts(self) -> list[str]:
        """A sentence for each way of qkernels: how it compares with llama.cpp, or why not."""
        peers = [row for row in self.rows if row.name == LlamaCpp.name]
        return [_verdict(row, peers[0]) for row in self.rows if peers and row is not peers[0]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with every sample."""
        rows = [
            {
                "name": row.name,
                "tokens": row.tokens,
                "tokens_per_second": row.tokens_per_second,
                "read_bytes": row.read_bytes,
                "of_roof": self.of_roof(row),
                "timing": timing_to_dict(row.timing),
            }
            for row in self.rows
        ]
        head = {"label": self.label, "threads": self.threads, "bandwidth": self.bandwidth}
        return {**head, "rows": rows, "verdicts": self.verdicts()}


@dataclass
class Report:
    """All cases of a run; `absent` says why llama.cpp is not in them."""

    command: str
    machine: dict[str, Any]
    model: dict[str, Any]
    rounds: int
    absent: str | None
    cases: list[Case] = field(default_factory=list)
    seconds: float = 0.0
    steal: float | None = None
    load: float | None = None

    def to_json(self) -> str:
        """The report as indented JSON."""
        whole = {**vars(self), "cases": [case.to_dict() for case in self.cases]}
        return json.dumps(whole, indent=2, default=str)


def run(
    path: Path,
    plan: Plan,
    *,
    command: str = "",
    announce: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure a model.

    Args:
        path: a GGUF file.
        plan: how.
        command: what was typed, for the report.
        announce: told each case before it is measured.

    Raises:
        ValueError, OSError, MemoryError: as `Model`.
        RuntimeError: llama.cpp does not take the file, or a fresh process fails.
    """
    absent = None if llama_peers.has_llama_cpp() else "llama-cpp-python is not installed"
    report = Report(command, qk.info(), llama_peers.describe(path), plan.rounds, absent)
    begin, steal = perf_counter(), StealMeter()
    for threads in plan.threads:
        announce(f"decode and prefill, threads: {threads}")
        report.cases += measure_tokens(path, plan, threads, with_peer=absent is None)
    for threads in plan.threads if plan.starts else ():
        announce(f"start, threads: {threads}")
        report.cases.append(measure_start(path, plan, threads, with_peer=absent is None))
    report.seconds = perf_counter() - begin
    report.steal, report.load = steal.share(), load()
    return report


def measure_tokens(path: Path, plan: Plan, threads: int, *, with_peer: bool) -> list[Case]:
    """Decode and prefill on a number of threads."""
    context = max(len(SHORT_PROMPT) + plan.tokens, plan.prompt)
    with ExitStack() as stack:
        ours = [Ours(path, threads, context, act) for act in dict.fromkeys(plan.acts)]
        runtimes: list[Runtime] = [*ours]
        if with_peer:
            runtimes.append(LlamaCpp(path, threads, context))
        for runtime in runtimes:
            stack.callback(runtime.close)
        vocabulary = len(ours[0].model.tokenizer)
        short = [token % vocabulary for token in SHORT_PROMPT]
        long = [(7 * i + i * i) % vocabulary for i in range(plan.prompt)]
        for runtime in runtimes:
            runtime.read(short)
        decoding = [_decoding(runtime, len(short), plan.tokens) for runtime in runtimes]
        reading = [_reading(runtime, long) for runtime in runtimes]
        decoded = measure_threads(decoding, plan.rounds, threads)
        read = measure_threads(reading, plan.rounds, threads)
        middle = len(short) + plan.tokens // 2
        nbytes = {runtime.name: runtime.bytes_of_a_step(middle) for runtime in ours}
    return [
        Case(
            f"decode {plan.tokens}",
            threads,
            [Row(name, t, plan.tokens, nbytes.get(name)) for name, t in decoded.items()],
            read_bandwidth(threads),
        ),
        Case(f"prefill {plan.prompt}", threads, [Row(n, t, plan.prompt) for n, t in read.items()]),
    ]


def measure_start(path: Path, plan: Plan, threads: int, *, with_peer: bool) -> Case:
    """Fresh processes, from the path to the first token."""
    sources = {f"qkernels {plan.acts[0]}": llama_peers.START_OURS}
    if with_peer:
        sources[LlamaCpp.name] = llama_peers.START_LLAMA_CPP
    context = len(SHORT_PROMPT) + plan.tokens
    # The act is given to qkernels alone; llama.cpp's script does not look at it.
    arguments = [str(path), str(threads), str(context), START_PROMPT, plan.acts[0]]
    samples: dict[str, list[float]] = {name: [] for name in sources}
    for source in sources.values():
        _first_token(source, arguments)  # the first of all brings files into memory
    for _ in range(plan.starts):
        for name in (*sources, *reversed(list(sources))):
            samples[name].append(_first_token(sources[name], arguments))
    return Case(
        "start to first token", threads, [Row(n, Timing.of(s), 1) for n, s in samples.items()]
    )


def _decoding(runtime: Runtime, position: int, tokens: int) -> Candidate:
    def call() -> None:
        runtime.rewind(position)
        runtime.step(tokens)

    return Candidate(runtime.name, call)


def _reading(runtime: Runtime, prompt: Sequence[int]) -> Candidate:
    return Candidate(runtime.name, lambda: runtime.read(prompt))


def _first_token(source: str, arguments: Sequence[str]) -> float:
    command = [sys.executable, "-c", source, *arguments]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=START_LIMIT, check=False
    )
    if found.returncode != 0:
        lines = found.stderr.strip().splitlines() or [f"exit code {found.returncode}"]
        raise RuntimeError(f"a process fails to start a model: {lines[-1]}")
    return float(found.stdout.split()[-1])


def _verdict(row: Row, peer: Row) -> str:
    if found := doubts(row.name, row.timing, peer.name, peer.timing):
        return f"no verdict on {row.name}: {', and '.join(found)}"
    ratio = peer.timing.median / row.timing.median
    if ratio >= 1:
        return f"{row.name} is {ratio:.2f}x as fast as {peer.name}"
    return f"{row.name} takes {1 / ratio:.2f}x the time of {peer.name}"
