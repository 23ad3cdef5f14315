"""A hook of mkdocs: the formats' page, drawn from the headers in src/formats and formats.json.

`<!-- formats -->` on a page becomes a section for each format: what its header says of the block,
and the block's bytes and bits as drawings. A format without a layout fails the build.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HEADERS = ROOT / "src" / "formats"
FACTS = ROOT / "docs" / "site" / "formats.json"
MARK = "<!-- formats -->"

WIDTH = 960  # of a drawing, in its own units
FIELD_HEIGHT = 44
BIT = 7  # height of a bit's row
BYTES_A_LINE = 64

LEGEND = {
    "q": "integers, of the first weight too",
    "i": "integers of other weights",
    "s": "scales",
    "m": "mins",
    ".": "not used by decoding",
}
FLOAT_LEGEND = {"s": "sign", "e": "exponent", "f": "fraction"}


@dataclass(frozen=True)
class Field:
    """Bytes [first, last] of a block that have a name."""

    name: str
    first: int
    last: int


@dataclass
class Header:
    """What a format's header says."""

    name: str
    nbytes: int
    group: int | None
    title: str
    layout: str
    fields: list[Field] = field(default_factory=list)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the formats where the mark is."""
    return markdown.replace(MARK, formats_markdown()) if MARK in markdown else markdown


def formats_markdown() -> str:
    """A section for each format."""
    facts: dict[str, dict[str, Any]] = json.loads(FACTS.read_text())
    sections = (section(read_header(name, facts[name]), facts[name]["bits"]) for name in facts)
    return "\n" + "\n".join(sections)


def read_header(name: str, facts: dict[str, Any]) -> Header:
    """A format's header, beside the facts that are written down of it.

    Raises:
        ValueError: it does not say what a header says.
    """
    text = (HEADERS / f"{name}.h").read_text()
    comment = [line.removeprefix("//") for line in text.split("#pragma once")[0].splitlines()]
    blank = comment.index("") if "" in comment else len(comment)
    title = " ".join(line.strip() for line in comment[:blank])
    layout = "\n".join(line.removeprefix("   ").rstrip() for line in comment[blank + 1 :])
    header = Header(name, facts["block_bytes"], facts["group"], title, layout)
    header.fields = fields_of(layout) or [Field("value", 0, header.nbytes - 1)]
    covered = [at for f in header.fields for at in range(f.first, f.last + 1)]
    if covered != list(range(header.nbytes)):
        raise ValueError(f"the fields in {name}.h do not cover its {header.nbytes} bytes in order")
    return header


def fields_of(layout: str) -> list[Field]:
    """The fields that a layout's lines begin with: "byte 0..1 d binary16", "2..33 qs ..."."""
    fields = []
    for line in layout.splitlines():
        match = re.match(r"(?:byte)?\s+(\d+)(?:\.\.(\d+))?(?:\s{1,8}(\w+)\s|\s{9,})", line)
        if match is not None:
            first, last, name = match.groups()
            fields.append(Field(name or "unused", int(first), int(last or first)))
    return fields


def section(header: Header, bits: str) -> str:
    """One format: what it is, its layout in words, and its drawings."""
    lines = [f"## {header.name}", "", header.title, ""]
    if header.layout:
        lines += ["```text", header.layout, "```", ""]
    if header.group is not None:
        lines += [f"A scale is for {header.group} weights.", ""]
    lines += [field_drawing(header), "", bit_drawing(header, bits), ""]
    return "\n".join(lines)


def field_drawing(header: Header) -> str:
    """The block's fields in a row, as wide as their bytes, but never too narrow for a name."""
    least = 58.0
    free = WIDTH - least * len(header.fields)
    parts, x = [], 0.0
    for f in header.fields:
        count = f.last - f.first + 1
        width = least + free * count / header.nbytes
        span = str(f.first) if count == 1 else f"{f.first}..{f.last}"
        middle = x + width / 2
        parts.append(
            f'<rect class="qk-field" x="{x:.1f}" y="1" width="{width:.1f}" height="26"/>'
            f'<text x="{middle:.1f}" y="18">{escape(f.name)}</text>'
            f'<text class="qk-span" x="{middle:.1f}" y="40">{span}</text>'
        )
        x += width
    return _svg(FIELD_HEIGHT, f"fields of {header.name}", parts)


def bit_drawing(header: Header, bits: str) -> str:
    """Every bit of the block: a column a byte, its highest bit on top, 64 bytes a line."""
    if len(bits) != 8 * header.nbytes:
        raise ValueError(f"the bit map of {header.name} has {len(bits)} bits: make it again")
    column = WIDTH / min(BYTES_A_LINE, max(header.nbytes, 16))
    line_height = 8 * BIT + 14
    parts = []
    for start in range(0, header.nbytes, BYTES_A_LINE):
        stop = min(start + BYTES_A_LINE, header.nbytes)
        y = start // BYTES_A_LINE * line_height
        parts.append(f'<text class="qk-byte" x="0" y="{y + 9}">byte {start}</text>')
        for bit in range(8):
            row = "".join(bits[8 * byte + bit] for byte in range(start, stop))
            for run in re.finditer(r"(.)\1*", row):
                kind = "float" if header.name in ("f32", "f16", "bf16") else "bit"
                letter = "none" if run[1] == "." else run[1]
                parts.append(
                    f'<rect class="qk-{kind}-{letter}" x="{column * run.start():.1f}"'
                    f' y="{y + 12 + BIT * bit}" width="{column * len(run[0]) - 0.6:.1f}"'
                    f' height="{BIT - 0.6:.1f}"/>'
                )
    lines = -(-header.nbytes // BYTES_A_LINE)
    legend = FLOAT_LEGEND if "f" in bits else {k: v for k, v in LEGEND.items() if k in bits}
    kind = "float" if "f" in bits else "bit"
    said = " ".join(
        f'<span class="qk-key qk-{kind}-{"none" if k == "." else k}"></span>{escape(v)}'
        for k, v in legend.items()
    )
    drawing = _svg(lines * line_height, f"bits of {header.name}", parts)
    return f'{drawing}\n<p class="qk-legend">{said}</p>'


def _svg(height: int, label: str, parts: list[str]) -> str:
    return (
        f'<svg class="qk-block" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
