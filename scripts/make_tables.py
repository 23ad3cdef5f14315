"""Write src/formats/code_tables.h and src/formats/grid_tables.h from the arrays of `gguf`.

    python scripts/make_tables.py [--check]

The tables are data of the formats; the package that defines them for Python is their source.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import gguf.quants as q
import numpy as np

FORMATS = Path(__file__).resolve().parent.parent / "src" / "formats"


def rows(values: list[str], indent: str = "    ", width: int = 100) -> str:
    """Values in lines of at most `width` columns."""
    lines, line = [], indent
    for value in values:
        if len(line) + len(value) + 1 > width:
            lines.append(line.rstrip())
            line = indent
        line += value + ", "
    return "\n".join([*lines, line.rstrip()])


def code_tables() -> str:
    """The sixteen values of each 4-bit code, biased to be unsigned."""
    parts = [
        "// The values of 4-bit codes, made unsigned by a bias. Written by scripts/make_tables.py.",
        "#pragma once\n",
        "#include <cstdint>\n",
        '#include "core/macros.h"\n',
        "namespace qk {\n",
    ]
    for name, values, bias in (("Iq4", q.IQ4_NL.kvalues, 128), ("E2m1", q.MXFP4.kvalues, 16)):
        texts = [str(v + bias) for v in values]
        parts.append(
            f"constexpr int k{name}Bias = {bias};\n"
            f"QK_TABLE uint8_t k{name}Values[16] = {{\n{rows(texts)}\n}};\n"
        )
    return "\n".join([*parts, "}  // namespace qk\n"])


def grid(cls: Any, offset: int) -> list[str]:
    """A grid's rows as integers, the first value in the lowest byte, `offset` added to each."""
    cls.init_grid()
    table = (np.asarray(cls.grid).reshape(cls.grid_shape) + offset).astype(np.uint8)
    return [f"0x{int.from_bytes(row.tobytes(), 'little'):0{2 * len(row)}x}" for row in table]


def grid_tables() -> str:
    """The grids of the IQ formats; those of iq1 hold -1, 0, 1 as 0, 1, 2."""
    parts = [
        "// The grids of the IQ formats: a row of 8 (or 4) magnitudes an entry, the first in the",
        "// lowest byte; iq1's hold value + 1. Written by scripts/make_tables.py.",
        "#pragma once\n",
        "#include <cstdint>\n",
        '#include "core/macros.h"\n',
        "namespace qk {\n",
    ]
    grids = [
        ("kIq2XxsGrid", q.IQ2_XXS, 0),
        ("kIq2XsGrid", q.IQ2_XS, 0),
        ("kIq2SGrid", q.IQ2_S, 0),
        ("kIq3XxsGrid", q.IQ3_XXS, 0),
        ("kIq3SGrid", q.IQ3_S, 0),
        ("kIq1Grid", q.IQ1_S, 1),
    ]
    for name, cls, offset in grids:
        count, width = cls.grid_shape
        kind = f"uint{8 * width}_t"
        parts.append(f"QK_TABLE {kind} {name}[{count}] = {{\n{rows(grid(cls, offset))}\n}};\n")
    return "\n".join([*parts, "}  // namespace qk\n"])


def main() -> int:
    """Write the tables, or with --check compare them with what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when stale")
    check = parser.parse_args().check
    stale = []
    for name, text in (("code_tables.h", code_tables()), ("grid_tables.h", grid_tables())):
        path = FORMATS / name
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        elif not check:
            path.write_text(text)
    if stale:
        print("stale:", *stale)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
