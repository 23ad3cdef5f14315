"""What a kernel object may define and use: its tables, memcpy and memset, and nothing else.

A kernel object holds code for one instruction set. A weak symbol in it, such as an inline function
or a std::vector's growth, is one that the linker may choose for the whole program, and then
baseline callers run wide instructions. So there must be none; and what an object needs from
elsewhere is listed here.

    python tests/check_isa_symbols.py BUILD_DIR | OBJECT...
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

_TABLE = re.compile(r"^_ZN2qk\d+kernels_\w+E$")
# What a kernel table is made of, which an ISA may take from another.
_PART = re.compile(r"^_ZN2qk\d+(format|dense|stream|quantize)_kernels_\w+E$")
_ALLOWED = {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
_SANITIZER = re.compile(r"^(__asan|__odr_asan|__ubsan|__tsan|__sanitizer)_?")


def violations(kernel_object: Path) -> list[str]:
    """What is wrong with one object, one line each."""
    listing = subprocess.run(
        ["nm", "-P", str(kernel_object)], check=True, capture_output=True, text=True
    ).stdout
    problems = []
    tables = 0
    for line in listing.splitlines():
        name, kind = line.split()[:2]
        if _SANITIZER.match(name):
            continue
        if kind in "wWvVu":
            problems.append(f"{kernel_object}: {name} is weak ({kind}): others could link it")
        elif kind == "U":
            if name not in _ALLOWED and _PART.match(name) is None:
                problems.append(f"{kernel_object}: uses {name}, which is not on the list")
        elif kind.isupper():
            is_data = kind in "DR"
            is_table = is_data and (_TABLE.match(name) or _PART.match(name)) is not None
            tables += is_table
            if not is_table:
                problems.append(f"{kernel_object}: {name} ({kind}) is visible to other objects")
    if tables == 0:
        problems.append(f"{kernel_object}: defines no kernel table")
    return problems


def objects_of(build: Path) -> list[Path]:
    """The kernel objects below a CMake build directory."""
    return sorted(p for d in build.rglob("qk_kernels_*.dir") for p in d.rglob("*.o"))


def compiler() -> str | None:
    """The C++ compiler: what CXX names, or one from the PATH."""
    if cxx := os.environ.get("CXX"):
        return cxx
    return next((c for c in ("g++", "clang++", "c++") if shutil.which(c)), None)


class Isa(NamedTuple):
    """How an ISA is compiled: its flags, and whose kernels for formats it has."""

    flags: list[str]
    base: str


def known_isas(root: Path = ROOT) -> dict[str, Isa]:
    """The ISAs of this machine's architecture, as cmake/isa.cmake says.

    Reads what that file is made of, so that no CMake is needed: set, qk_isa, and if on the
    architecture.
    """
    text = re.sub(r"#.*", "", (root / "cmake" / "isa.cmake").read_text())
    text = re.sub(r"macro\(.*?endmacro\(\)", "", text, flags=re.DOTALL)
    variables: dict[str, str] = {}
    isas: dict[str, Isa] = {}
    branches: list[bool | None] = []  # a level of if: its branch taken now, to come, or past (None)
    for command, raw in re.findall(r"(\w+)\s*\(([^()]*)\)", text):
        arguments = re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], ""), raw)
        name, *values = arguments.split() or [""]
        if command == "if":
            branches.append(_is_this_machine(arguments))
        elif command in {"elseif", "else"}:
            wanted = command == "else" or _is_this_machine(arguments)
            branches[-1] = wanted if branches[-1] is False else None
        elif command == "endif":
            branches.pop()
        elif all(branches) and command == "set":
            variables[name] = " ".join(values)
        elif all(branches) and command == "qk_isa":
            base = name
            if values[:1] == ["BASE"]:
                base = values[1]
                values = [*isas[base].flags, *values[2:]]
            isas[name] = Isa(values, base)
    return isas


def _is_this_machine(condition: str) -> bool:
    match = re.fullmatch(r'CMAKE_SYSTEM_PROCESSOR MATCHES "([^"]+)"', condition.strip())
    assert match is not None, f"cmake/isa.cmake asks for more than the architecture: {condition}"
    return re.search(match[1], platform.machine()) is not None


def kernel_sources(*, has_base: bool, root: Path = ROOT) -> list[str]:
    """The sources that src/CMakeLists.txt compiles once an ISA."""
    text = (root / "src" / "CMakeLists.txt").read_text()
    name = "tile_sources" if has_base else "kernel_sources"
    match = re.search(rf"set\({name}\s([^)]*)\)", text)
    assert match is not None, f"src/CMakeLists.txt has no {name}"
    return match.group(1).split()


def compile_object(
    root: Path, source: str, name: str, isa: Isa, out: Path, optimisation: str = "-O0"
) -> Path:
    """Compiles one kernel source of the tree `root` for one ISA.

    As the build does, but not optimised: a function that others could link is then not hidden by
    having been inlined everywhere.
    """
    cxx = compiler()
    assert cxx is not None, "no C++ compiler: set CXX"
    target = out / f"{name}_{Path(source).stem}.o"
    command = [
        *(
            cxx,
            "-std=c++20",
            optimisation,
            "-fPIC",
            "-fvisibility=hidden",
            "-fvisibility-inlines-hidden",
        ),
        *("-fno-exceptions", "-fno-rtti", "-ffp-contract=off", *isa.flags),
        *(f"-I{root / 'src'}", f"-DQK_ISA={name}", f'-DQK_ISA_HEADER="isa/{name}.h"'),
        *(f"-DQK_KERNEL_TABLE=kernels_{name}", f"-DQK_FORMAT_KERNELS=format_kernels_{isa.base}"),
        f"-DQK_DENSE_TABLE=dense_kernels_{isa.base}",
        f"-DQK_STREAM_TABLE=stream_kernels_{isa.base}",
        f"-DQK_QUANTIZE_TABLE=quantize_kernels_{isa.base}",
        *("-c", str(root / "src" / source), "-o", str(target)),
    ]
    subprocess.run(command, check=True)
    return target


def main() -> int:
    """Checks the objects named; the exit status is 1 for a fault, 2 when there are none."""
    paths = [Path(argument) for argument in sys.argv[1:]]
    objects = [p for path in paths for p in (objects_of(path) if path.is_dir() else [path])]
    if not objects:
        print(__doc__, file=sys.stderr)
        print("no kernel objects found", file=sys.stderr)
        return 2
    problems = [problem for kernel_object in objects for problem in violations(kernel_object)]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(objects)} kernel objects, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
