"""Count the instructions that the streaming kernels spend on 16 bytes of weights.

    python scripts/count_stream_instructions.py build/.../stream/stream_table.cpp.o ...

For each kernel and object a line: all the instructions of the inner loop, over the bytes that it
multiplies, times 16; without prefetching, and with it. For x86; needs objdump.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from count_instructions import OBJDUMP, PADDING, Instruction, functions, loops, weights_of

KERNELS = ("scalar", "dotprod", "dotprod4", "dotprod4i", "dotprod16i")  # as src/stream orders them
STREAM = re.compile(r"::stream<qk::(\w+)::.*::Isa, \(qk::StreamKernel\)(\d)>")


class Loop(NamedTuple):
    """The inner loop of a kernel."""

    names: list[str]
    """Of its instructions."""
    operands: list[str]
    nbytes: float
    """Of weights that an iteration multiplies."""

    @property
    def prefetches(self) -> bool:
        """Whether it holds a prefetch."""
        return any(name.startswith("prefetch") for name in self.names)

    @property
    def per_block(self) -> float:
        """Instructions for 16 bytes."""
        return 16 * len(self.names) / self.nbytes


def inner_loops(body: Sequence[Instruction]) -> dict[bool, Loop]:
    """By whether they prefetch: the innermost loops that multiply most weights."""
    found: dict[bool, Loop] = {}
    all_loops = [frozenset(loop) for loop in loops(body)]
    for places in all_loops:
        some = [body[p] for p in sorted(places) if PADDING.fullmatch(body[p].name) is None]
        nbytes = weights_of(some, "int8")
        if nbytes == 0 or any(other < places for other in all_loops):
            continue
        loop = Loop([i.name for i in some], [i.operands for i in some], nbytes)
        if loop.prefetches not in found or found[loop.prefetches].nbytes < nbytes:
            found[loop.prefetches] = loop
    return found


def kernels_of(path: Path) -> dict[tuple[str, str], dict[bool, Loop]]:
    """The inner loops of an object by (ISA, kernel)."""
    text = subprocess.check_output((*OBJDUMP, path), text=True)
    return {
        (match[1], KERNELS[int(match[2])]): inner_loops(body)
        for name, body in functions(text.splitlines())
        if (match := STREAM.search(name))
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Count instructions per 16 bytes of weights.")
    parser.add_argument("objects", type=Path, nargs="+", help="each an ISA's stream_table.cpp.o")
    print(f"{'isa':12} {'kernel':12} {'without':>8} {'with prefetching':>17}")
    for path in parser.parse_args().objects:
        for (isa, kernel), found in sorted(kernels_of(path).items()):
            counts = (f"{found[p].per_block:.2f}" if p in found else "-" for p in (False, True))
            print("{:12} {:12} {:>8} {:>17}".format(isa, kernel, *counts))


if __name__ == "__main__":
    main()
