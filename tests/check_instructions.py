"""Holds the inner loops of the CPU's kernels to ceilings: instructions for each 256 weights.

    python tests/check_instructions.py BUILD_DIR            fails where a loop needs more
    python tests/check_instructions.py BUILD_DIR --write    makes ceilings of what there is

Reads what `scripts/count_instructions.py` finds in the objects of a build that is optimised as an
installation is, for each of its ISAs for x86, whether or not this CPU runs it. A ceiling lies a
seventh above the count: compilers differ by less. A format without one is a fault, too.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import count_instructions as count

CEILINGS = Path(__file__).resolve().parent / "data/instructions.json"
MARGIN = 1.15

# Of an ISA, kind of activations and format: native and packed, or None where there is no loop.
Counts = dict[str, dict[str, dict[str, list[int | None]]]]


def objects(build: Path) -> dict[str, list[Path]]:
    """The objects with products of each ISA, of one of the optimised builds below a directory."""
    found: dict[str, list[Path]] = {}
    for commands in sorted(build.rglob("compile_commands.json")):
        for entry in json.loads(commands.read_text(encoding="utf-8")):
            place = re.search(r"-o (\S+/qk_kernels_(\w+)\.dir/kernels/\S+)", entry["command"])
            flags = entry["command"].split()
            if place and "-O3" in flags and not any(f.startswith("-fsanitize") for f in flags):
                path = Path(entry["directory"]) / place[1]
                if path.exists() and place[2] in count.ROWS:
                    others = found.setdefault(place[2], [])
                    if not any(other.name == path.name for other in others):
                        others.append(path)
    return found


def counted(paths: list[Path]) -> dict[str, dict[str, list[int | None]]]:
    """The counts of one ISA."""
    text = "".join(subprocess.check_output((*count.OBJDUMP, path), text=True) for path in paths)
    return {act: counts_of(text, act) for act in count.ACTS}


def counts_of(text: str, act: str) -> dict[str, list[int | None]]:
    """The counts in what objdump printed."""
    _, *rows = count.table(text, act, count.block_sizes())
    return {fmt: [None if c == "-" else int(c.rstrip("+")) for c in cells] for fmt, *cells in rows}


def faults(isa: str, found: Counts, ceilings: Counts) -> Iterator[str]:
    """What an ISA's counts and its ceilings disagree about, a line each."""
    for act, formats in found[isa].items():
        for fmt, counts in formats.items():
            known = ceilings.get(isa, {}).get(act, {}).get(fmt)
            if known is None:
                yield f"{isa} {act} {fmt}: no ceiling; --write makes one of {counts}"
                continue
            for layout, loop, ceiling in zip(count.LAYOUTS, counts, known, strict=True):
                if (loop is None) != (ceiling is None):
                    yield f"{isa} {act} {fmt} {layout}: a loop of {loop}, and {ceiling} at most"
                elif loop is not None and ceiling is not None and loop > ceiling:
                    yield f"{isa} {act} {fmt} {layout}: {loop} instructions, {ceiling} at most"


def ceilings_of(found: Counts) -> Counts:
    """What may not be passed from then on."""
    return {
        isa: {
            act: {
                fmt: [None if c is None else int(c * MARGIN) for c in counts]
                for fmt, counts in formats.items()
            }
            for act, formats in acts.items()
        }
        for isa, acts in found.items()
    }


def known_ceilings() -> Counts:
    """Those that were written last."""
    ceilings: Counts = json.loads(CEILINGS.read_text(encoding="utf-8"))
    return ceilings


def as_json(ceilings: Counts) -> str:
    """A line a format."""
    text = json.dumps(ceilings, indent=1, sort_keys=True)
    return re.sub(r"\[\s+(\w+),\s+(\w+)\s+\]", r"[\1, \2]", text) + "\n"


def main() -> int:
    """Compares, or writes; the exit status is 1 for a fault, 2 where there is nothing to count."""
    parser = argparse.ArgumentParser(description="Hold kernels to ceilings of instructions.")
    parser.add_argument("build", type=Path)
    parser.add_argument("--write", action="store_true", help="make ceilings of what there is")
    options = parser.parse_args()
    found = {isa: counted(paths) for isa, paths in objects(options.build).items()}
    if not found:
        print(f"no optimised kernels for x86 below {options.build}", file=sys.stderr)
        return 2
    ceilings = known_ceilings()
    if options.write:
        CEILINGS.write_text(as_json(ceilings | ceilings_of(found)))
        print(f"{CEILINGS}: {', '.join(found)}")
        return 0
    problems = [fault for isa in found for fault in faults(isa, found, ceilings)]
    print(*problems, sep="\n", end="\n" if problems else "")
    loops = sum(
        count is not None
        for acts in found.values()
        for formats in acts.values()
        for counts in formats.values()
        for count in counts
    )
    print(f"{loops} loops of {', '.join(found)}: {len(problems)} faults")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
