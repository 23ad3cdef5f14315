"""The direction of the includes of src/: who may see whom, and that nobody goes round in a circle.

python tests/check_includes.py            fails, and says where, when a rule is broken
python tests/check_includes.py --graph    prints which directory includes which, how often
python tests/check_includes.py --dot      the same for Graphviz
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parent.parent / "src"

# What the files of a directory may include besides their own directory: a directory, or one file
# of it. Of the kernels the rest sees the headers that hold declarations, no code.
_KERNEL_DATA = (
    "kernels/table.h",
    "kernels/dense.h",
    "kernels/tile_kernels.h",
    "kernels/activation_unit.h",
)
RULES: dict[str, tuple[str, ...]] = {
    "core": (),
    "formats": ("core",),
    "isa": ("core", "formats/format.h"),
    "kernels": ("core", "formats", "isa"),
    "stream": ("core", "isa"),
    "quantize": ("core", "formats", "isa"),
    "dispatch": ("core", "kernels/table.h"),
    "ops": (
        *("core", "formats", "stream/stream_table.h", "quantize/quantize_table.h"),
        *_KERNEL_DATA,
    ),
    "gguf": ("core", "formats"),
    "cuda": ("core", "formats"),
    "llama": ("core", "ops", *_KERNEL_DATA),
    "bind": ("core", "formats", "dispatch", "gguf", "ops", "llama", *_KERNEL_DATA),
}
GENERATED = {"dispatch/isa_list.inc"}  # written by CMake
AN_ISA = "isa/"  # what a kernel's include of the macro QK_ISA_HEADER leads to

_INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>|(\w+))')


class Include(NamedTuple):
    """One #include of a project file, both paths relative to the source directory."""

    file: str
    line: int
    target: str


def read_includes(source: Path) -> tuple[list[Include], list[str]]:
    """The includes of project files below `source`, and what is wrong with how they are written."""
    includes: list[Include] = []
    problems: list[str] = []
    for path in sorted(p for p in source.rglob("*") if p.suffix in {".h", ".cpp", ".cu", ".inc"}):
        file = path.relative_to(source).as_posix()
        for number, text in enumerate(path.read_text().splitlines(), 1):
            match = _INCLUDE.match(text)
            if match is None:
                continue
            quoted, angled, macro = match.groups()
            where = f"{file}:{number}"
            if macro is not None:
                if file.startswith(("kernels/", "stream/", "quantize/")):
                    includes.append(Include(file, number, AN_ISA))
                else:
                    problems.append(f"{where}: includes the macro {macro}; only kernels may")
            elif quoted is not None:
                includes.append(Include(file, number, quoted))
                if quoted not in GENERATED and not (source / quoted).is_file():
                    problems.append(f'{where}: "{quoted}" is no file of src/')
            elif (source / angled).is_file():
                includes.append(Include(file, number, angled))
                problems.append(f"{where}: <{angled}> is a project file; it goes in quotes")
    return includes, problems


def _allows(directory: str, target: str) -> bool:
    allowed = (directory, *RULES[directory])
    return any(target == rule or target.startswith(f"{rule}/") for rule in allowed)


def _cycle(includes: list[Include]) -> list[str]:
    """The files of one circle of includes, the first of them again at its end; or nothing."""
    targets: dict[str, list[str]] = {}
    for include in includes:
        targets.setdefault(include.file, []).append(include.target)
    done: set[str] = set()

    def visit(file: str, path: list[str]) -> list[str]:
        if file in path:
            return [*path[path.index(file) :], file]
        if file in done:
            return []
        for target in targets.get(file, []):
            if found := visit(target, [*path, file]):
                return found
        done.add(file)
        return []

    for file in targets:
        if found := visit(file, []):
            return found
    return []


def violations(source: Path = SOURCE) -> list[str]:
    """Every broken rule below `source`, one line each."""
    includes, problems = read_includes(source)
    for file, line, target in includes:
        directory = file.split("/")[0]
        if directory not in RULES:
            problems.append(f"{file}:{line}: the directory {directory} has no rule")
        elif not _allows(directory, target):
            problems.append(f"{file}:{line}: {directory} must not include {target}")
    if cycle := _cycle(includes):
        problems.append("a circle of includes: " + " -> ".join(cycle))
    return problems


def unused(source: Path = SOURCE) -> list[str]:
    """The permissions that nothing below `source` makes use of; of the kernels' data, one is."""
    includes, _ = read_includes(source)
    used = {(include.file.split("/")[0], include.target) for include in includes}
    return [
        f"{directory} -> {rule}"
        for directory, rules in RULES.items()
        for rule in rules
        if rule not in _KERNEL_DATA
        and not any(d == directory and f"{t}/".startswith(f"{rule}/") for d, t in used)
    ]


def graph(source: Path = SOURCE) -> Counter[tuple[str, str]]:
    """How many includes lead from one directory to another."""
    includes, _ = read_includes(source)
    edges = Counter((i.file.split("/")[0], i.target.split("/")[0]) for i in includes)
    return Counter({edge: n for edge, n in edges.items() if edge[0] != edge[1]})


def _print_graph(edges: Counter[tuple[str, str]]) -> None:
    for directory in RULES:
        uses = [f"{b} ({n})" for (a, b), n in sorted(edges.items()) if a == directory]
        if uses or any(directory in edge for edge in edges):
            print(f"{directory:9} -> {', '.join(uses) or 'nothing'}")


def _print_dot(edges: Counter[tuple[str, str]]) -> None:
    print("digraph includes {")
    for (a, b), n in sorted(edges.items()):
        print(f'  "{a}" -> "{b}" [label={n}];')
    print("}")


def main() -> int:
    """Checks, and prints what was asked for; the exit status is 1 when a rule is broken."""
    parser = argparse.ArgumentParser(description="Check the direction of the includes of src/.")
    parser.add_argument("--graph", action="store_true", help="print the graph of directories")
    parser.add_argument("--dot", action="store_true", help="print it for Graphviz")
    parser.add_argument("source", nargs="?", type=Path, default=SOURCE)
    args = parser.parse_args()
    if args.graph:
        _print_graph(graph(args.source))
    if args.dot:
        _print_dot(graph(args.source))
    problems = violations(args.source)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
