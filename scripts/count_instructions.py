"""Count the instructions that kernels spend on 256 weights.

    python scripts/count_instructions.py build/.../qk_kernels_avx2.dir/kernels/table.cpp.o ...

For each format a line: the instructions of the inner loop of a matrix-vector product, a row at a
time and in panels, per 256 weights. The loop is found in the control-flow graph (natural loops, by
dominators): of those with multiplications and no such loop inside, the one with the most. How many
weights it multiplies follows from the instructions that do. Where that is less than a whole unit
(256 weights of a row) or block (of all rows of a panel), the count lacks what is done once for
them, and has a + behind it. Float weights, and kernels without such instructions, have a -.
Branches that are not always taken count in full. For x86; needs objdump.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FORMATS = Path(__file__).parent.parent / "docs" / "site" / "formats.json"
OBJDUMP = ("objdump", "-dC", "--no-show-raw-insn")
UNIT = 256
ACTS = {"int16": 0, "int8": 2}
LAYOUTS = {"native": "RowProduct", "packed": "PanelProduct"}
# Bytes of weights that one instruction multiplies, for each byte of its registers. Only the first
# that a loop has counts: vpmaddwd also adds up what vpmaddubsw has multiplied.
PRODUCTS = {"vpdpbusd": 1.0, "vpmaddubsw": 1.0, "vpmaddwd": 0.5}
TWICE = {("vpdpbusd", "int16")}  # for a plane of the activations each
REGISTER_BYTES = {"x": 16, "y": 32, "z": 64}
DESTINATION = re.compile(r"%([xyz])mm\d+$")
ROWS = {"avx512vnni": 16, "avx2": 8, "avxvnni": 8, "avxvnni_evex": 8}  # of a panel

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
INSTRUCTION = re.compile(r"^ *([0-9a-f]+):\t(?:\{\w+\} )?(\S+) *(.*)$")
JUMP = re.compile(r"j\w+")
TARGET = re.compile(r"^([0-9a-f]+)(?: <.*>)?$")
ENDS = {"jmp", "ret", "ud2"}
PADDING = re.compile(r"nop\w*|data16|cs|xchg")
PRODUCT = re.compile(
    r"(?:product_vector<[^<]*::)?(RowProduct|PanelProduct)<qk::(\w+), qk::(\w+)::.*::Isa,"
    r" \(qk::Act\)(\d)>(?:::run<1>| >\()"
)


@dataclass(frozen=True)
class Instruction:
    """One line of a disassembly; `target` is where a jump goes, as an index into the function."""

    name: str
    operands: str
    target: int | None


def functions(lines: Iterable[str]) -> Iterator[tuple[str, list[Instruction]]]:
    """(name, instructions) of each function of what `objdump -dC --no-show-raw-insn` prints."""
    name, body = "", list[tuple[int, str, str]]()  # addresses, names and operands
    for line in (*lines, "0 <>:"):
        if header := FUNCTION.match(line):
            if body:
                yield name, _linked(body)
            name, body = header[1], []
        elif found := INSTRUCTION.match(line):
            body.append((int(found[1], 16), found[2], found[3]))


def _linked(body: Sequence[tuple[int, str, str]]) -> list[Instruction]:
    places = {address: place for place, (address, _, _) in enumerate(body)}

    def target(name: str, operands: str) -> int | None:
        address = TARGET.match(operands) if JUMP.fullmatch(name) else None
        return places.get(int(address[1], 16)) if address else None

    return [Instruction(name, operands, target(name, operands)) for _, name, operands in body]


def blocks(body: Sequence[Instruction]) -> tuple[dict[int, range], dict[int, list[int]]]:
    """The basic blocks by their first instruction, and the blocks that follow each of them."""
    leaders = {0} | {i.target for i in body if i.target is not None}
    leaders |= {p + 1 for p, i in enumerate(body) if JUMP.fullmatch(i.name) or i.name in ENDS}
    starts = sorted(leader for leader in leaders if leader < len(body))
    ranges = {a: range(a, b) for a, b in zip(starts, [*starts[1:], len(body)], strict=True)}
    following: dict[int, list[int]] = {}
    for start, places in ranges.items():
        last = body[places[-1]]
        following[start] = [] if last.target is None else [last.target]
        if last.name not in ENDS and places.stop < len(body):
            following[start].append(places.stop)
    return ranges, following


def dominators(following: Mapping[int, Sequence[int]]) -> dict[int, set[int]]:
    """For each block that the first one leads to, those on every way to it."""
    before, left = {0: set[int]()}, [0]
    while left:
        block = left.pop()
        for after in following[block]:
            left += [] if after in before else [after]
            before.setdefault(after, set()).add(block)
    found = {block: {0} if block == 0 else set(before) for block in before}
    changed = True
    while changed:
        changed = False
        for block in sorted(before.keys() - {0}):
            on_all = set.intersection(*(found[b] for b in before[block])) | {block}
            changed |= on_all != found[block]
            found[block] = on_all
    return found


def loops(body: Sequence[Instruction]) -> list[set[int]]:
    """The natural loops of a function, each as the places of its instructions."""
    ranges, following = blocks(body)
    dominated_by = dominators(following)
    before: dict[int, list[int]] = {block: [] for block in following}
    for block in dominated_by:
        for after in following[block]:
            before[after].append(block)
    members: dict[int, set[int]] = {}  # by header, as loops with one header are one loop
    for block in dominated_by:
        for header in following[block]:
            if header in dominated_by[block]:
                inside = members.setdefault(header, {header})
                left = [block]
                while left:
                    if (reached := left.pop()) not in inside:
                        inside.add(reached)
                        left += before[reached]
    return [{p for block in inside for p in ranges[block]} for inside in members.values()]


def weights_of(loop: Iterable[Instruction], act: str) -> float:
    """How many weights a loop multiplies by one column of activations; 0 where none is seen."""
    some = list(loop)
    for name, share in PRODUCTS.items():
        if found := [i for i in some if i.name == name]:
            return share * sum(map(_register_bytes, found)) / (1 + ((name, act) in TWICE))
    return 0


def _register_bytes(instruction: Instruction) -> int:
    register = DESTINATION.search(instruction.operands)
    return REGISTER_BYTES[register[1]] if register else 0


def inner_loop(body: Sequence[Instruction], act: str) -> tuple[int, float]:
    """(instructions, weights) of an iteration of the loop that multiplies; zeros without one."""
    sizes = {frozenset(loop): weights_of((body[p] for p in loop), act) for loop in loops(body)}
    some = [loop for loop, weights in sizes.items() if weights > 0]
    innermost = [loop for loop in some if not any(other < loop for other in some)]
    best = max(innermost, key=lambda loop: sizes[loop], default=frozenset())
    return sum(PADDING.fullmatch(body[p].name) is None for p in best), sizes.get(best, 0)


def cell(bodies: Iterable[Sequence[Instruction]], act: str, whole: int) -> str:
    """The count of a product, found in one of some functions; `whole` weights are a block."""
    found = [inner_loop(body, act) for body in bodies]
    instructions, weights = max(found, key=lambda f: f[1], default=(0, 0))  # the first of equals
    if weights == 0:
        return "-"
    return f"{instructions * UNIT / weights:.0f}" + ("" if weights >= whole else "+")


def table(text: str, act: str, block_sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """The cells for what objdump printed, for formats by their blocks' numbers of weights."""
    found: dict[tuple[str, str], list[list[Instruction]]] = {}
    isas = set()
    for name, body in functions(text.splitlines()):
        if (product := PRODUCT.search(name)) and int(product[4]) == ACTS[act]:
            bodies = found.setdefault((product[1], product[2]), [])
            bodies.insert(0 if "product_vector<" in name else len(bodies), body)
            isas.add(product[3])
    isa, *others = isas or {""}
    if others or not isa:
        raise ValueError(f"an object of one ISA's kernels is asked for, not of {sorted(isas)}")
    yield [act, *(f"{isa} {layout}" for layout in LAYOUTS)]
    for fmt, block in block_sizes.items():
        whole = {"native": UNIT, "packed": block * ROWS.get(isa, 1)}
        cells = (cell(found.get((n, fmt.upper()), []), act, whole[i]) for i, n in LAYOUTS.items())
        yield [fmt, *cells]


def block_sizes() -> dict[str, int]:
    """The weights of a block of each format."""
    return {fmt: facts["block"] for fmt, facts in json.loads(FORMATS.read_text()).items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Count instructions per 256 weights.")
    parser.add_argument("objects", type=Path, nargs="+", help="each an ISA's table.cpp.o")
    parser.add_argument("--act", choices=ACTS, default="int16")
    options = parser.parse_args()
    sizes = block_sizes()
    texts = [subprocess.check_output((*OBJDUMP, path), text=True) for path in options.objects]
    for rows in zip(*(table(text, options.act, sizes) for text in texts), strict=True):
        print(f"{rows[0][0]:8}" + "".join(f"{cell:>20}" for row in rows for cell in row[1:]))


if __name__ == "__main__":
    main()
