"""Read the machine code of the CUDA kernels, and count what they spend on a weight.

    python scripts/cuda_disassembly.py _cuda.so [--arch sm_90]

For each kernel of a product with one column, a line: registers, instructions of the inner loop for
each weight, and the loads in it. The inner loop is the smallest that has DP4A instructions; each of
these multiplies four weights, or with the two planes of int16 half as many. Needs cuobjdump, from
PATH or from NVIDIA's packages for Python.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LAYOUTS = ("native", "packed")
ACTS = ("int16", "float32", "int8")
TOOLKIT = "/usr/local/cuda/bin"  # where NVIDIA's own installers put it

_FUNCTION = re.compile(r"^\s*Function : (\S+)$")
_INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")
_BRANCH = re.compile(r"^BRA(?:\.\S+)?\s+(?:[!U]*P\w+,\s*)?`?\(?(0x[0-9a-f]+)")
_GUARD = re.compile(r"^@!?U?P\w+\s+")
_USAGE = re.compile(r"Function (\S+):\s*\n\s*REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_GEMV = re.compile(r"4gemvINS0_6SlicesINS_\d+(\w+?)ELNS0_6LayoutE(\d)E.*?_3ActE(\d)ELi(\d)EEEv")


@dataclass(frozen=True)
class Gemv:
    """Which product a kernel is, by its mangled name."""

    format: str
    layout: str
    act: str
    columns: int

    @classmethod
    def of(cls, name: str) -> Gemv | None:
        """The product of this name, or None for another kernel."""
        match = _GEMV.search(name)
        if match is None:
            return None
        fmt, layout, act, columns = match.groups()
        return cls(fmt.lower(), LAYOUTS[int(layout)], ACTS[int(act)], int(columns))


@dataclass
class Usage:
    """What a kernel takes of a multiprocessor."""

    registers: int
    stack: int
    shared: int
    local: int


@dataclass
class Code:
    """A kernel's instructions: their addresses, and their text without a guard."""

    addresses: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def inner_loop(self) -> list[str]:
        """The smallest loop with DP4A instructions, or nothing."""
        at = {address: index for index, address in enumerate(self.addresses)}
        best: list[str] = []
        for index, text in enumerate(self.texts):
            branch = _BRANCH.match(text)
            if branch is None:
                continue
            start = at.get(int(branch.group(1), 16), index + 1)
            if start > index:
                continue
            body = self.texts[start : index + 1]
            if count(body, "IDP.4A") and (not best or len(body) < len(best)):
                best = body
        return best


def count(texts: Sequence[str], opcode: str) -> int:
    """How many instructions have an opcode that begins so."""
    return sum(text.startswith(opcode) for text in texts)


def instructions_per_weight(loop: Sequence[str], act: str) -> float:
    """Of a loop, by the weights that its DP4A instructions multiply."""
    weights = count(loop, "IDP.4A") * (2 if act == "int16" else 4)
    return len(loop) / weights


def loads(texts: Sequence[str]) -> Counter[str]:
    """The opcodes of the loads from global memory."""
    return Counter(text.split()[0] for text in texts if text.startswith("LDG"))


def find_tool(name: str) -> str | None:
    """One of NVIDIA's tools: in the PATH, where the toolkit is installed, or of a package."""
    if tool := shutil.which(name) or shutil.which(name, path=TOOLKIT):
        return tool
    packages = Path(sysconfig.get_paths()["purelib"])
    found = sorted(packages.glob(f"nvidia/*/bin/{name}"))
    return str(found[-1]) if found else None


def _run(*arguments: str) -> Iterator[str]:
    tool = find_tool("cuobjdump")
    if tool is None:
        raise FileNotFoundError("there is no cuobjdump")
    # It calls nvdisasm, which need not lie in the PATH either.
    folders = [os.environ.get("PATH", os.defpath)]
    folders += [str(Path(path).parent) for path in (find_tool("nvdisasm"),) if path]
    environment = {**os.environ, "PATH": os.pathsep.join(folders)}
    with subprocess.Popen(
        [tool, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        yield from process.stdout
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, tool)


def architectures(library: Path) -> set[str]:
    """Those that there is machine code for, such as sm_90."""
    return set(re.findall(r"sm_\d+", "".join(_run("--list-elf", str(library)))))


def usages(library: Path, arch: str) -> dict[str, Usage]:
    """What each kernel takes, by its mangled name."""
    text = "".join(_run("-res-usage", "-arch", arch, str(library)))
    found = (match.groups() for match in _USAGE.finditer(text))
    return {name: Usage(*map(int, numbers)) for name, *numbers in found}


def codes(library: Path, arch: str) -> dict[str, Code]:
    """The instructions of each kernel, by its mangled name."""
    found: dict[str, Code] = {}
    code = Code()
    for line in _run("-sass", "-arch", arch, str(library)):
        if function := _FUNCTION.match(line):
            code = found.setdefault(function.group(1), Code())
        elif instruction := _INSTRUCTION.match(line):
            code.addresses.append(int(instruction.group(1), 16))
            code.texts.append(_GUARD.sub("", instruction.group(2)))
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--arch", default="sm_90")
    args = parser.parse_args()
    taken = usages(args.library, args.arch)
    lines = []
    for name, code in codes(args.library, args.arch).items():
        kernel = Gemv.of(name)
        loop = code.inner_loop()
        if kernel is None or kernel.columns != 1 or not loop:
            continue
        each = instructions_per_weight(loop, kernel.act)
        of_loads = ", ".join(f"{n} {load}" for load, n in sorted(loads(loop).items()))
        title = f"{kernel.format:8} {kernel.layout} {kernel.act:6}"
        lines.append(f"{title} {taken[name].registers:4} registers {each:6.2f}   {of_loads}")
    print("\n".join(sorted(lines)))


if __name__ == "__main__":
    main()
