"""Print what pyproject.toml asks for, a requirement a line: the package's own, and its extras'.

    python scripts/requirements.py [--oldest] [EXTRA ...]

Extras that name others of the package (`qkernels[cli]`) are followed, so the package itself is
never asked for. With --oldest, `numpy>=1.26` becomes `numpy==1.26`: the oldest that is allowed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomllib

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
OURSELVES = re.compile(r"qkernels\[([\w, -]+)\]")
AT_LEAST = re.compile(r">=([\w.]+)(,[^;]*)?")


def requirements(project: dict[str, Any], extras: list[str]) -> Iterator[str]:
    """Those of the package, and of the extras and of the extras that these name."""
    yield from project["dependencies"]
    left, seen = list(extras), set[str]()
    while left:
        extra = left.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for line in project["optional-dependencies"][extra]:
            if ourselves := OURSELVES.match(line):
                left += [name.strip() for name in ourselves[1].split(",")]
            else:
                yield line


def oldest(line: str) -> str:
    """The same requirement, of the oldest release that it allows."""
    return AT_LEAST.sub(r"==\1", line)


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description="Print what pyproject.toml asks for.")
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    parser.add_argument("--oldest", action="store_true", help="pin the oldest releases allowed")
    options = parser.parse_args()
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    lines = dict.fromkeys(requirements(project, options.extras))
    print(*(oldest(line) if options.oldest else line for line in lines), sep="\n")


if __name__ == "__main__":
    main()
