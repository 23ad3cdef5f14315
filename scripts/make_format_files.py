"""Write down what formats say of themselves, where that is read without the code.

python scripts/make_format_files.py [--check]

docs/site/formats.json       each format's facts and the map of its bits, for drawings
docs/formats.md              the table of formats, between two marks
tests/cuda/load_shares.h     of tests/format_facts.py, for the tests of CUDA's loads
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import qkernels as qk
from bit_maps import bit_map
from qkernels import _core

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from format_facts import FACTS  # noqa: E402

JSON = ROOT / "docs" / "site" / "formats.json"
PAGE = ROOT / "docs" / "formats.md"
SHARES = ROOT / "tests" / "cuda" / "load_shares.h"
BEGIN, END = "<!-- table: python scripts/make_format_files.py -->\n", "<!-- end of the table -->\n"


def facts(fmt: str) -> dict[str, int | str | None]:
    """What a format says of itself, and the map of its bits."""
    info = _core.format_info(fmt)
    return {
        "gguf_id": info.gguf_id,
        "block": info.block,
        "block_bytes": info.block_bytes,
        "group": info.group,
        "integers": info.integers,
        "bits": bit_map(fmt),
    }


def formats_json() -> str:
    """The text of formats.json."""
    return json.dumps({fmt: facts(fmt) for fmt in qk.formats()}, indent=1) + "\n"


def table() -> str:
    """A row each: "made" is what quantising to it gives, "scale" how many weights share one."""
    lines = [
        "| format | GGUF id | file type | weights | bytes | bits a weight | scale | quantised to"
        " | integer |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for fmt in qk.formats():
        info = _core.format_info(fmt)
        made = "yes" if qk.can_quantize(fmt) else "no"
        cells = [
            info.name,
            "none" if info.gguf_id is None else info.gguf_id,
            "none" if info.file_type is None else info.file_type,
            info.block,
            info.block_bytes,
            f"{8 * info.block_bytes / info.block:g}",
            info.group or "",
            "yes, by importance too" if qk.can_quantize(fmt, imatrix=True) else made,
            info.integers or "none",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The text of formats.md, its table made again."""
    text = PAGE.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:begin]}{table()}{text[end:]}"


def load_shares() -> str:
    """The text of load_shares.h."""
    rows = "".join(
        f'    {{"{fmt}", {-1 if facts.load_share is None else facts.load_share}}},\n'
        for fmt, facts in FACTS.items()
    )
    return f"""\
// Written by scripts/make_format_files.py from tests/format_facts.py: of the sectors that each
// native request of a warp touches, the part that it asks for at least. Negative where blocks that
// are not packed are read by the byte.
#pragma once

namespace qk::test {{

struct LoadShare {{
  const char* format;
  double share;
}};

// clang-format off
inline constexpr LoadShare kLoadShares[] = {{
{rows}}};
// clang-format on

}}  // namespace qk::test
"""


def main() -> int:
    """Write the files, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="fail where a file is stale")
    check = parser.parse_args().check
    stale = 0
    for path, text in ((JSON, formats_json()), (PAGE, page()), (SHARES, load_shares())):
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path} is stale: run python scripts/make_format_files.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
