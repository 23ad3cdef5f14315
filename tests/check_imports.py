"""Imports of the package point one way: each part knows the parts below it, and none is a circle.

    python tests/check_imports.py [--graph]

A part is a folder of python/qkernels; RULES says what it may import, at the top of a module, inside
functions and for type checking. Modules are read with `ast`, never imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parent.parent / "python" / "qkernels"

CORE = ("_core", "torch")  # the extension, and the module that knows torch
FACE = "qkernels"  # the package's own names: what a user imports
LOW = (*CORE, "_base", "weights", "ops", "files", FACE)
RULES: dict[str, tuple[str, ...]] = {
    "torch": ("_core",),
    "_base": CORE,
    "_measure": (*CORE, "_base"),
    "weights": (*CORE, "_base"),
    "ops": (*CORE, "_base", "weights"),
    "cuda": (*CORE, "_base", "weights"),
    "files": (*CORE, "_base", "weights"),
    FACE: (*CORE, "_base", "weights", "ops", "files"),
    "llama": (*LOW, "_measure"),
    "gates": (*LOW, "llama"),
    "stream": (*LOW, "_measure"),
    "tools": LOW,
    "bench": (*LOW, "_measure", "llama", "gates"),
    "demo": (*LOW, "_measure", "llama"),
    "cli": (*LOW, "_measure", "llama", "gates", "stream", "tools", "bench", "demo"),
}
# Modules of the root that only give a public name to what lies in a part.
RENAMED = frozenset(
    (*("extract", "gated", "gguf_file", "imatrix", "inspect_file", "models", "packed"),
     *("quantize_file", "quantize_types", "raw_ints", "save", "tensor", "verify_file"))
)  # fmt: skip
# Parts that types alone are taken from: they cost nothing at run time.
TYPES_OF = {"weights": ("cuda",), "ops": ("cuda",)}
# Two classes that make each other: one of the imports waits until it is needed.
CIRCLES = {
    ("weights.packed", "weights.qtensor"),
    ("weights.qtensor", "weights.gated"),
}


class Import(NamedTuple):
    """One import: where it stands, what it names, and when it happens."""

    module: str
    line: int
    target: str
    when: str
    """"start", "later" (inside a function) or "types"."""


def modules(package: Path) -> dict[str, Path]:
    """The package's modules by their names within it; the package itself is ""."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(module: str, path: Path, known: set[str]) -> Iterator[Import]:
    """The imports of a module of the package, in its order."""
    yield from _visit(ast.parse(path.read_text(encoding="utf-8")), module, known, "start")


def _visit(node: ast.AST, module: str, known: set[str], when: str) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] == FACE:
                target = alias.name.removeprefix(FACE).lstrip(".")
                yield Import(module, node.lineno, target, when)
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            yield Import(module, node.lineno, "." * node.level, "relative")
        elif (node.module or "").partition(".")[0] == FACE:
            base = str(node.module).removeprefix(FACE).lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield Import(module, node.lineno, full if full in known else base, when)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for statement in node.body:
            yield from _visit(statement, module, known, "types")
        for statement in node.orelse:
            yield from _visit(statement, module, known, when)
    else:
        is_later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from _visit(child, module, known, "later" if is_later else when)


def part_of(module: str) -> str:
    """The part that a module belongs to."""
    head = module.partition(".")[0]
    return head if head in RULES or head in CORE else FACE


def faults(package: Path = PACKAGE) -> list[str]:
    """What is wrong with the package's imports, a line each."""
    paths = modules(package)
    known = {*paths, "_core"}
    found = []
    graph: dict[str, set[str]] = {module: set() for module in paths}
    for module, path in paths.items():
        for one in imports_of(module, path, known):
            place = f"{path.relative_to(package.parent)}:{one.line}"
            if one.when == "relative":
                found.append(f"{place}: a relative import; name the module from qkernels on")
                continue
            if one.target not in known:
                found.append(f"{place}: there is no qkernels.{one.target}")
                continue
            if one.when != "types" and (module, one.target) not in CIRCLES:
                graph[module].add(one.target)
            if not _is_allowed(module, one):
                found.append(
                    f"{place}: {module or FACE} imports {one.target or FACE}, and"
                    f" {part_of(module)} may import {', '.join(RULES[part_of(module)])} only"
                )
    return found + [f"a circle of imports: {' -> '.join(circle)}" for circle in circles(graph)]


def _is_allowed(module: str, one: Import) -> bool:
    own, other = part_of(module), part_of(one.target)
    if own == other or other in RULES[own]:
        return True
    if one.when == "types" and other in TYPES_OF.get(own, ()):
        return True
    is_name = module in RENAMED and one.when == "start"
    return is_name or (module == "__main__" and other == "cli")


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The circles of a graph, one for each that a walk from every module meets."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for target in sorted(graph.get(module, ())):
                if target != module:
                    walk(target, [*path, module])
            done.add(module)

    for module in sorted(graph):
        walk(module, [])
    return found


def main(arguments: list[str]) -> int:
    """Print what is wrong, or with --graph which part imports which; 1 where anything is."""
    found = faults()
    print(*found, sep="\n", end="\n" if found else "")
    if "--graph" in arguments:
        paths = modules(PACKAGE)
        for part in RULES:
            used = {
                part_of(one.target)
                for module, path in paths.items()
                if part_of(module) == part
                for one in imports_of(module, path, {*paths, "_core"})
                if one.when != "types"
            }
            print(f"{part}: {', '.join(sorted(used - {part}))}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
