"""Measure the tables of docs/performance.md again: every number there is one of a command there.

    python scripts/performance_tables.py              # all of them: some 20 minutes
    python scripts/performance_tables.py --only gemm  # those whose command has "gemm" in it
    python scripts/performance_tables.py --empty      # without measuring: the commands alone

A table lies between `<!-- table: COMMAND -->` and `<!-- end of table -->`, and is replaced when its
command has ended. Commands run from the root of the repository: `qkernels bench` with its results
as JSON, of which the page shows a part, and scripts whose output it shows as it is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from qkernels._measure.method import Timing, doubts

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/performance.md"
TABLE = re.compile(r"(<!-- table: ([^\n]*) -->\n)(?:.*?)(<!-- end of table -->\n)", re.DOTALL)
GGML = "ggml"
DECODED = "decode + NumPy"
ACTS = ("int16", "float32", "int8")
WIDTH = 100

Json = dict[str, Any]


def split(command: str) -> tuple[dict[str, str], list[str]]:
    """The variables that a command sets for itself, and its arguments, run by this Python."""
    words = shlex.split(command)
    variables = {}
    while words and re.match(r"\w+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    starts = {"qkernels": ["-m", "qkernels"], "python": []}
    if not words or words[0] not in starts:
        raise ValueError(f"{command!r} is no command of qkernels or python")
    return variables, [sys.executable, *starts[words[0]], *words[1:]]


def measure(command: str) -> str:
    """Run a command, and its table."""
    variables, arguments = split(command)
    is_bench = arguments[1:3] == ["-m", "qkernels"]
    output = subprocess.run(
        [*arguments, *(["--json"] if is_bench else [])],
        check=True,
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return told(command, output if not is_bench else json.loads(output))


def told(command: str, found: str | Json | None) -> str:
    """What stands between the markers: the command, and below it what it found."""
    lines = [f"`{command}`", ""]
    if isinstance(found, str):
        lines += ["```", *found.rstrip().splitlines(), "```", ""]
    elif found is not None:
        render = _calls if "tiny" in found else _models if "model" in found else _cases
        lines += [*render(found), ""]
    return "\n".join([*lines, ""])


def _cases(report: Json) -> Iterator[str]:
    """A row for each case and act, the lines that sum them up, and what the run was."""
    cases = report["cases"]
    batches = any(case["m"] > 1 for case in cases)
    acts = [act for act in ACTS if _ours(cases[0], act)]
    several = len({case["threads"] for case in cases}) > 1
    measures = ("spread", "ggml", "ratio", "decoded", "ratio")
    if not batches:
        measures = ("GB/s", "of roof", *measures[:3])
    yield from _head("us a product", ["native", "packed", *measures])
    for case in cases:
        label = case["label"] + (f", {case['threads']} threads" if several else "")
        for act in acts:
            cells = _batch_cells(case, act) if batches else _vector_cells(case, act)
            yield _row(label + (f", {act}" if len(acts) > 1 else ""), cells)
    yield ""
    temperature = "cold weights" if report["cold"] else "weights in cache"
    pages = "huge" if report["huge_pages"] else "small"
    yield f"{_machine(report)}; {temperature} in {pages} pages, {report['rounds']} rounds."
    sentences = [line for lines in report["summaries"].values() for line in lines]
    yield from _points([*sentences, *filter(None, [report["disturbance"]])])


def _vector_cells(case: Json, act: str) -> Iterator[str]:
    yield from _times(case, act)
    best = _fastest(_ours(case, act))
    yield f"{best['gigabytes']:.1f}"
    yield f"{best['of_roof']:.0%}"
    yield f"{best['timing']['spread']:.0%}"
    yield from _against(case, best, GGML)


def _batch_cells(case: Json, act: str) -> Iterator[str]:
    yield from _times(case, act)
    best = _fastest(_ours(case, act))
    yield f"{best['timing']['spread']:.0%}"
    yield from _against(case, best, GGML)
    yield from _against(case, best, DECODED)


def _times(case: Json, act: str) -> Iterator[str]:
    """The medians of the native and of the packed product."""
    rows = {row["name"]: row for row in case["rows"]}
    for name in (f"qkernels {act}", f"qkernels packed {act}"):
        yield _us(rows[name]) if name in rows else "-"


def _against(case: Json, best: Json, rival: str) -> Iterator[str]:
    """The fastest of a rival's ways, and its time over the best of ours; ? where that is unsafe."""
    rows = [r for r in case["rows"] if r["name"] == rival or r["name"].startswith(f"{rival} ")]
    if not rows:
        yield from "--"
        return
    other = _fastest(rows)
    yield _us(other)
    yield _ratio(best, other)


def _ratio(best: Json, other: Json) -> str:
    """Another's time over the best of ours; ? where that is unsafe."""
    mine, its = (_timing(row) for row in (best, other))
    unsafe = doubts(best["name"], mine, other["name"], its)
    return f"{its.median / mine.median:.2f}" + ("?" if unsafe else "")


def _ours(case: Json, act: str) -> list[Json]:
    """The rows of qkernels of one act."""
    return [row for row in case["rows"] if not row["is_peer"] and row["name"].endswith(act)]


def _timing(row: Json) -> Timing:
    told = row["timing"]
    return Timing(told["samples"], told["low"], told["median"], told["high"])


def _fastest(rows: Sequence[Json]) -> Json:
    return min(rows, key=lambda row: float(row["timing"]["median"]))


def _us(row: Json) -> str:
    return f"{row['timing']['median'] * 1e6:.1f}"


def _calls(found: Json) -> Iterator[str]:
    """A row for each kind of call, and what they come to."""
    quantiles = list(found["large"][0]["seconds"])
    yield from _head("us a call", ["calls", *quantiles])
    for group in ("tiny", "shared", "large"):
        for kind in found[group]:
            times = (f"{kind['seconds'][name] * 1e6:.2f}" for name in quantiles)
            yield _row(kind["name"], [str(kind["calls"]), *times])
    yield ""
    yield f"{_machine(found)}; {found['busy']} busy processes beside the last two."
    yield from _points(found["findings"])


def _models(found: Json) -> Iterator[str]:
    """A row for each measurement and number of threads, with the best of ours."""
    yield from _head("a model", ["threads", "qkernels", "spread", "llama.cpp", "ratio", "of roof"])
    for case in found["cases"]:
        peers = [row for row in case["rows"] if not row["name"].startswith("qkernels")]
        best = _fastest([row for row in case["rows"] if row not in peers])
        cells = [str(case["threads"]), _speed(best), f"{best['timing']['spread']:.0%}"]
        for peer in peers or [None]:
            cells += [_speed(peer), _ratio(best, peer)] if peer else ["-", "-"]
        of_roof = best["of_roof"]
        yield _row(case["label"], [*cells, "-" if of_roof is None else f"{of_roof:.0%}"])
    yield ""
    yield f"{_machine(found)}; {found['rounds']} rounds."
    yield from _points(
        [
            f"{case['label']}, threads {case['threads']}: {verdict}"
            for case in found["cases"]
            for verdict in case["verdicts"]
        ]
    )


def _speed(row: Json) -> str:
    """Tokens a second, or where there is one, milliseconds."""
    if row["tokens"] == 1:
        return f"{row['timing']['median'] * 1e3:.0f} ms"
    return f"{row['tokens_per_second']:.0f} tok/s"


def _points(sentences: Sequence[str]) -> Iterator[str]:
    """A list, after a line that is empty."""
    lines = (textwrap.wrap(f"- {line}.", WIDTH, subsequent_indent="  ") for line in sentences)
    yield from ("", *itertools.chain(*lines)) if sentences else ()


def _head(name: str, columns: Sequence[str]) -> Iterator[str]:
    yield _row(name, columns)
    yield "|---|" + "---:|" * len(columns)


def _row(name: str, cells: Iterator[str] | Sequence[str]) -> str:
    return "| " + " | ".join([name, *cells]) + " |"


def _machine(found: Json) -> str:
    machine = found["machine"]
    steal = "not counted" if found["steal"] is None else f"{found['steal']:.1%}"
    load = "" if found["load"] is None else f", load {found['load']:.1f}"
    return f"{machine['cpu']}, {machine['isa']}, {machine['compiler']}; steal {steal}{load}"


def replace(page: str, table: Callable[[str], str | None]) -> str:
    """The page with the tables that `table` gives for commands; those stay for which it has none.

    Args:
        page: Markdown.
        table: what stands between the markers of a command.
    """

    def between(match: re.Match[str]) -> str:
        fresh = table(match[2])
        return match[0] if fresh is None else match[1] + fresh + match[3]

    return TABLE.sub(between, page)


def main() -> None:
    """Measure, and write the page after each command, so that nothing is lost when one fails."""
    parser = argparse.ArgumentParser(description="Measure the tables of docs/performance.md.")
    parser.add_argument("page", type=Path, nargs="?", default=PAGE)
    parser.add_argument("--only", default="", help="commands that contain this")
    parser.add_argument("--empty", action="store_true", help="leave the commands alone")
    options = parser.parse_args()
    page: Path = options.page
    commands = [match[2] for match in TABLE.finditer(page.read_text(encoding="utf-8"))]
    for command in commands:
        if options.only in command:
            print(command, file=sys.stderr)
            fresh = told(command, None) if options.empty else measure(command)
            text = page.read_text(encoding="utf-8")
            text = replace(text, {command: fresh}.get)
            page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
