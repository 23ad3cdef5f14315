"""What claims are parametrised over: formats, ISAs, kinds of activations, and pairs of those.

What holds of a product holds whatever its format, ISA, activations and shape. tests/cpp walks
through all combinations of those, natively and under sanitizers. What Python adds is the way to a
kernel and references of others' making, and there each two values of any two axes meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, product

import pytest

import qkernels as qk
from qkernels import _core
from weights import SANITIZED

FORMATS = qk.formats()
# Blocks of each kind, for what does not depend on the format: of floats, 32 weights, 256, a grid.
SOME_FORMATS = ["bf16", "q4_0", "q4_k", "iq2_xs"]
ACTS = ["int16", "float32", "int8"]

# What runs in place of an ISA on machines that lack it; where both run, tests/cpp has both.
STAND_INS = {"avxvnni_evex": "avxvnni", "amx_emulated": "amx_bf16"}
ISAS = [i for i in _core.isas(for_tests=True) if STAND_INS.get(i) not in qk.isas()]
if SANITIZED:  # tests/cpp walks through all of them; what Python adds is the same for each
    ISAS = sorted({ISAS[0], ISAS[-1]}, key=ISAS.index)

Cell = tuple[int, object]  # of an axis, by its number, a value


def _pairs(cells: Iterable[Cell]) -> set[tuple[Cell, Cell]]:
    return set(combinations(sorted(cells, key=lambda cell: cell[0]), 2))


def pairwise_rows(axes: Sequence[Sequence[object]]) -> list[tuple[object, ...]]:
    """Rows of one value of each axis, in which each two values of two axes meet.

    As many as the two longest axes have pairs, or a few more.
    """
    order = sorted(range(len(axes)), key=lambda axis: -len(axes[axis]))
    left = {
        ((a, x), (b, y))
        for a, b in combinations(range(len(axes)), 2)
        for x, y in product(axes[a], axes[b])
    }
    rows: list[tuple[object, ...]] = []

    def add(*cells: Cell) -> None:
        """A row with those, and on the other axes what makes the most new pairs."""
        row = dict(cells)
        for axis in order:
            if axis not in row:
                start = len(rows) % len(axes[axis])  # of equals, each in its turn
                values = [*axes[axis][start:], *axes[axis][:start]]
                row[axis] = max(values, key=lambda v: len(_pairs([*row.items(), (axis, v)]) & left))
        left.difference_update(_pairs(row.items()))
        rows.append(tuple(row[axis] for axis in range(len(axes))))

    for x, y in product(axes[order[0]], axes[order[1]]):
        add((order[0], x), (order[1], y))
    while left:
        add(*min(left, key=repr))
    return rows


def pairwise(**axes: Sequence[object]) -> pytest.MarkDecorator:
    """Parametrises a test over pairs; its argument `isa` becomes the ISA in use."""
    rows = pairwise_rows(list(axes.values()))
    return pytest.mark.parametrize(
        list(axes), rows, indirect=[name for name in axes if name == "isa"]
    )
