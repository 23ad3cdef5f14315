"""What a kernel object may define and use: its tables, memcpy and memset, and nothing else.

A kernel object holds code for one instruction set. A weak symbol in it, such as an inline function
or a std::vector's growth, is one that the linker may choose for the whole program, and then
baseline callers run wide instructions. So there must be none; and what an object needs from
elsewhere is listed here.

    python tests/check_isa_symbols.py BUILD_DIR | OBJECT...
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

# qk::<isa>::kernel_table
_TABLE = re.compile(r"^_ZN2qk\d+\w+\d+kernel_tableE$")
# What a kernel table is made of, which an ISA may take from another.
_PARTS = "format|float|small|k|grid|code|activation|dense|stream|quantize"
_PART = re.compile(rf"^_ZN2qk\d+\w+\d+({_PARTS})_kernelsE$")
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


def can_compile() -> bool:
    """Whether there is what `kernel_commands` and `compile_object` need."""
    return compiler() is not None and shutil.which("cmake") is not None


class Command(NamedTuple):
    """How the build compiles a source for an ISA."""

    isa: str
    source: Path
    arguments: list[str]


@functools.cache
def kernel_commands() -> dict[tuple[str, str], Command]:
    """What a configured build compiles once an ISA, by ISA and source below src/."""
    with tempfile.TemporaryDirectory() as build:
        options = [f"-DQK_{part}=OFF" for part in ("PYTHON", "CUDA", "UNITY")]
        options.append("-DCMAKE_CXX_COMPILER_LAUNCHER=")
        if shutil.which("ninja"):
            options.append("-GNinja")
        configure = ["cmake", "-S", str(ROOT), "-B", build, *options]
        subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
        entries = json.loads((Path(build) / "compile_commands.json").read_text())
    commands = {}
    for entry in entries:
        if isa := re.search(r"/qk_kernels_(\w+)\.dir/", entry["command"]):
            source = Path(entry["file"])
            name = source.relative_to(ROOT / "src").as_posix()
            commands[isa[1], name] = Command(isa[1], source, shlex.split(entry["command"]))
    return commands


def compile_object(
    command: Command, out: Path, optimisation: str = "-O0", source: Path | None = None
) -> Path:
    """Compiles one kernel source, or `source` instead of it, into `out`.

    As the build does, but not optimised: a function that others could link is then not hidden by
    having been inlined everywhere.
    """
    source = source or command.source
    target = out / f"{command.isa}_{source.stem}.o"
    arguments = [a for a in command.arguments if not re.fullmatch(r"-O\d", a)]
    arguments[arguments.index("-o") + 1] = str(target)
    arguments[arguments.index("-c") + 1] = str(source)
    subprocess.run([*arguments, optimisation], check=True)
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
