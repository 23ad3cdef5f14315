"""The site's drawings of formats are those of the code."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import make_format_files as files
import qkernels as qk
from bit_maps import bit_map

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    path = ROOT / "docs" / "site" / "format_pages.py"
    spec = importlib.util.spec_from_file_location("format_pages", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    # Where dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module  # type: ignore[no-any-return]


def test_the_facts_written_down_are_those_of_the_code(fmt: str) -> None:
    drawn = json.loads(files.JSON.read_text())[fmt]
    assert drawn == files.facts(fmt), "run python scripts/make_format_files.py"


def test_facts_are_written_down_of_all_formats() -> None:
    assert list(json.loads(files.JSON.read_text())) == qk.formats()


TABLES = [(files.PAGE, files.page), (files.SHARES, files.load_shares)]


@pytest.mark.parametrize(("path", "made"), TABLES, ids=["page", "shares"])
def test_the_tables_written_down_are_those_of_the_code(path: Path, made: Callable[[], str]) -> None:
    assert path.read_text() == made(), "run python scripts/make_format_files.py"


def test_a_header_begins_with_its_name(fmt: str, pages: ModuleType) -> None:
    header = pages.read_header(fmt, json.loads(files.JSON.read_text())[fmt])
    assert header.title.startswith(fmt.upper())


def test_the_page_has_a_section_and_two_drawings_for_each_format(pages: ModuleType) -> None:
    page = pages.formats_markdown()
    assert page.count("<svg") == 2 * len(qk.formats())
    for fmt in qk.formats():
        assert f"\n## {fmt}\n" in page


@pytest.mark.parametrize(
    ("fmt", "letter", "count"),
    [
        ("q8_0", "q", 8),  # the first weight's byte
        ("q4_0", "q", 4),
        ("q5_k", "q", 5),
        ("q6_k", "q", 6),
        ("q8_0", "s", 16),
        ("q4_k", "m", 16 + 8 * 6),  # dmin and the eight mins
        ("q8_1", ".", 16),  # the sum
        ("q8_k", ".", 16 * 16),
        ("q8_ks", ".", 16 * 8),
        ("bf16", "e", 8),
    ],
)
def test_bits_are_counted_as_the_layouts_say(fmt: str, letter: str, count: int) -> None:
    assert bit_map(fmt).count(letter) == count
