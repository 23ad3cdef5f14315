"""Blocks whose scales are one and whose mins are zero: what they decode to is their integers.

Written from the layouts that the gguf package's NumPy code reads: where the scales of a block lie,
and which bytes make ones of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]


def _half(value: float) -> list[int]:
    """The two bytes of a binary16."""
    return list(np.array([value], "<f2").tobytes())


ONE, FOUR, EIGHT, ZERO = map(_half, (1, 4, 8, 0))
# 12 bytes of eight scales and eight mins of 6 bits each: 1 and 0.
ONES_AND_ZEROS = [*[1] * 4, *[0] * 4, *[1] * 4]
# Codes of 6 bits that mean code - 32: 33, as low nibbles and pairs of high bits.
LOW_OF_33, HIGH_OF_33 = 0x11, 0xAA

# Of each format: offset in a block, and the bytes that are put there.
_FIELDS: dict[str, list[tuple[int, list[int]]]] = {
    **{fmt: [(0, ONE)] for fmt in ("q4_0", "q5_0", "q8_0", "q8_1", "iq4_nl")},
    **{fmt: [(0, ONE + ZERO)] for fmt in ("q4_1", "q5_1")},
    "q8_k": [(0, list(np.array([1], "<f4").tobytes()))],
    "q8_ks": [(256, [0x11] * 16), (288, ONE + ZERO)],
    "q2_k": [(0, [0x01] * 16), (80, ONE + ZERO)],
    "q3_k": [(96, [LOW_OF_33] * 8 + [HIGH_OF_33] * 4), (108, ONE)],
    **{fmt: [(0, ONE + ZERO), (4, ONES_AND_ZEROS)] for fmt in ("q4_k", "q5_k")},
    "q6_k": [(192, [1] * 16), (208, ONE)],
    "iq1_s": [(0, EIGHT)],  # the grid is offset by an eighth
    "iq1_m": [(48, [0, 0, 0, 0, 0, EIGHT[1] << 4 & 0xFF, 0, EIGHT[1] & 0xF0])],
    "iq2_xxs": [(0, EIGHT)],  # (0.5 + 0) * 0.25
    "iq2_xs": [(0, EIGHT), (66, [0] * 8)],
    "iq2_s": [(0, EIGHT), (74, [0] * 8)],
    "iq3_xxs": [(0, FOUR)],  # (0.5 + 0) * 0.5
    "iq3_s": [(0, ONE), (106, [0] * 4)],
    "iq4_xs": [(0, ONE), (2, [HIGH_OF_33] * 2), (4, [LOW_OF_33] * 4)],
    "tq1_0": [(52, ONE)],
    "tq2_0": [(64, ONE)],
    "mxfp4": [(0, [128])],  # 2^(e - 128) of the table that holds the floats twice
    "nvfp4": [(0, [0x40] * 4)],  # an e4m3 of 2, for the same table
}

# Scales that share bytes with other things: first byte, stride, and the bits to keep.
_MASKS: dict[str, tuple[int, int, int]] = {
    "iq1_s": (35, 2, 0x8F),
    "iq2_xxs": (9, 8, 0x0F),
    "iq3_xxs": (69, 4, 0x0F),
}


def with_unit_scales(blocks: NDArray, fmt: str) -> NDArray:
    """The blocks, uint8 (count, bytes), with other scales and the same quants."""
    blocks = blocks.copy()
    for offset, values in _FIELDS[fmt]:
        blocks[:, offset : offset + len(values)] = values
    if fmt in _MASKS:
        first, stride, mask = _MASKS[fmt]
        blocks[:, first::stride] &= mask
    return blocks
