"""What a format is, written down a second time: a row each, which the tests hold the code to.

The numbers are of the definitions (ggml's and the `gguf` package's), not of this code: a format is
added to the tests by its row here. What a row does not say is what most formats have.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    NDArray: TypeAlias = np.ndarray[Any, Any]

HALF, FLOAT = 65504.0, 2.0**128 - 2.0**104  # the largest of each


def _half(value: float) -> bytes:
    return struct.pack("<e", value)


ONE, FOUR, EIGHT, ZERO = map(_half, (1, 4, 8, 0))
FLOAT_ONE = struct.pack("<f", 1)
# 12 bytes of eight scales and eight mins of 6 bits each: 1 and 0.
ONES_AND_ZEROS = bytes([*[1] * 4, *[0] * 4, *[1] * 4])
# Codes of 6 bits that mean code - 32: 33, as low nibbles and pairs of high bits.
LOW_OF_33, HIGH_OF_33 = b"\x11", b"\xaa"


def both(*magnitudes: int) -> set[int]:
    return {sign * m for m in magnitudes for sign in (1, -1)}


INT8 = set(range(-128, 128))
NIBBLES = set(range(-8, 8))
FIVE_BITS = set(range(-16, 16))
IQ1, IQ2 = both(1, 7, 9), both(8, 25, 43)
IQ3_XXS = both(4, 12, 20, 28, 36, 44, 52, 62)
IQ4 = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
FLOATS_OF_4_BITS = both(0, 1, 2, 3, 4, 6, 8, 12)  # twice 0, 0.5, 1, 1.5, 2, 3, 4, 6


@dataclass(frozen=True)
class Facts:
    """A format; all but the first three are of quantised ones."""

    gguf_id: int | None
    block: int
    """Weights of a block."""
    nbytes: int
    """Bytes of a block."""

    unit_scales: tuple[tuple[int, bytes], ...] = ((0, ONE),)
    """Bytes that make its scales one and its mins zero, and where they are put in a block."""
    scale_bits: tuple[int, int, int] | None = None
    """Scales that share bytes with other things: first byte, stride, and the bits to keep."""
    integers: Iterable[int] = ()
    """All that its integers may be."""
    centre: int = 0
    """Of a format with mins: what is taken off a quant to make it an integer."""
    has_min: bool = False
    panel_bytes: int | None = None
    """A block's bytes in panels, where they are not the file's."""
    decode: Callable[[NDArray], NDArray] | None = None
    """float32 (count, block) of uint8 (count, nbytes), where the gguf package has no such code."""

    made: Literal["gguf", "ggml", "search", "own"] | None = None
    """How it is quantised to: bit for bit as the gguf package does, or ggml, or by a search or a
    rule of this project's; None where it is only read."""
    ends: tuple[float, float] = (-HALF, HALF)
    """The least and the largest weight that a block of zeros and one weight can hold."""
    most_sum: float | None = None
    """The largest sum of magnitudes that a block can hold, where there is such a bound."""
    steps: int = 64
    """Steps from zero to the largest weight, of which the last one may be missed."""
    moved: float | None = None
    """The largest difference from a weight in units of the block's largest: half a step between
    quants, or where the largest is clipped that of the clipped one."""

    cuda_ceiling: float | None = None
    """Instructions of the inner loop of a packed product for each weight under int8; None where
    the format has nothing of its own for CUDA."""
    more_for_int16: float = 0.5
    """Those that int16 may take above that."""
    native_ceiling: bool = False
    """Whether the ceiling is that of blocks as they lie in a file, too."""
    many_registers: bool = False
    """Whether its slices have 64 weights or more, and may take more registers."""
    load_share: float | None = 0.7
    """Of the sectors that each native request of a warp touches, the part that it asks for; None
    where blocks that are not packed are read by the byte."""

    @property
    def is_float(self) -> bool:
        return self.block == 1


# NumPy's arrays need no import of NumPy, which is not there where seeds of fuzzing are made.


def _half_at(blocks: NDArray, start: int) -> NDArray:
    """float32 (count, 1)."""
    return blocks[:, start : start + 2].copy().view("<f2").astype("f4")


def _q8_1(blocks: NDArray) -> NDArray:
    scaled: NDArray = _half_at(blocks, 0) * blocks[:, 4:].view("i1").astype("f4")
    return scaled


def _q8_k(blocks: NDArray) -> NDArray:
    d = blocks[:, :4].copy().view("<f4")
    scaled: NDArray = d * blocks[:, 4:260].view("i1").astype("f4")
    return scaled


def _q8_ks(blocks: NDArray) -> NDArray:
    scales = (blocks[:, 256:272, None] >> [0, 4] & 15).reshape(-1, 32).astype("f4")
    quants = blocks[:, :256].view("i1").astype("f4")
    scaled = (_half_at(blocks, 288) * scales).repeat(8, axis=1) * quants
    shifted: NDArray = scaled + _half_at(blocks, 290)
    return shifted


def _q1_0(blocks: NDArray) -> NDArray:
    bits = (blocks[:, 2:, None] >> list(range(8)) & 1).reshape(-1, 128)
    weights: NDArray = _half_at(blocks, 0) * (2 * bits - 1).astype("f4")
    return weights


def _q2_0(blocks: NDArray) -> NDArray:
    codes = (blocks[:, 2:, None] >> [0, 2, 4, 6] & 3).reshape(-1, 64)
    weights: NDArray = _half_at(blocks, 0) * (codes - 1).astype("f4")
    return weights


# fmt: off
FACTS: dict[str, Facts] = {
    "f32": Facts(0, 1, 4, made="gguf", ends=(-FLOAT, FLOAT), load_share=0.50),
    "f16": Facts(1, 1, 2, made="gguf"),
    "bf16": Facts(30, 1, 2, made="gguf", ends=(-3.3895314e38, 3.3895314e38)),
    "q4_0": Facts(
        2, 32, 18, integers=NIBBLES,
        made="gguf", ends=(-8 * HALF, 8 * HALF), moved=1 / 8,
        cuda_ceiling=2.5, more_for_int16=1.0, native_ceiling=True, load_share=0.11,
    ),
    "q4_1": Facts(
        3, 32, 20, unit_scales=((0, ONE + ZERO),), integers=NIBBLES, centre=8, has_min=True,
        made="gguf", ends=(-HALF, 15 * HALF), moved=1 / 15, cuda_ceiling=1.5, load_share=0.19,
    ),
    "q5_0": Facts(
        6, 32, 22, integers=FIVE_BITS,
        made="gguf", ends=(-16 * HALF, 16 * HALF), moved=1 / 16, cuda_ceiling=3.0, load_share=0.09,
    ),
    "q5_1": Facts(
        7, 32, 24, unit_scales=((0, ONE + ZERO),), integers=FIVE_BITS, centre=16, has_min=True,
        made="gguf", ends=(-HALF, 31 * HALF), moved=1 / 31, cuda_ceiling=2.5, load_share=0.33,
    ),
    "q8_0": Facts(
        8, 32, 34, integers=INT8,
        made="gguf", ends=(-127 * HALF, 127 * HALF), moved=0.5 / 127,
        cuda_ceiling=2.5, more_for_int16=1.0, native_ceiling=True, load_share=0.11,
    ),
    "q8_1": Facts(  # its sum of weights is a half too
        9, 32, 36, integers=INT8, decode=_q8_1,
        made="ggml", most_sum=HALF, moved=0.5 / 127, cuda_ceiling=2.0, load_share=0.19,
    ),
    "q2_k": Facts(
        10, 256, 84, unit_scales=((0, b"\1" * 16), (80, ONE + ZERO)),
        integers=range(-2, 2), centre=2, has_min=True,
        made="search", ends=(-15 * HALF, 15 * 3 * HALF), steps=3,
        cuda_ceiling=2.6, more_for_int16=1.5, native_ceiling=True, many_registers=True,
        load_share=0.19,
    ),
    "q3_k": Facts(
        11, 256, 110, unit_scales=((96, LOW_OF_33 * 8 + HIGH_OF_33 * 4), (108, ONE)),
        integers=range(-4, 4), panel_bytes=114,
        made="search", ends=(-32 * 4 * HALF, 32 * 4 * HALF), steps=4,
        cuda_ceiling=3.3, more_for_int16=1.5, native_ceiling=True, many_registers=True,
        load_share=0.08,
    ),
    "q4_k": Facts(
        12, 256, 144, unit_scales=((0, ONE + ZERO), (4, ONES_AND_ZEROS)),
        integers=NIBBLES, centre=8, has_min=True,
        made="search", ends=(-63 * HALF, 63 * 15 * HALF),
        cuda_ceiling=2.5, more_for_int16=1.0, native_ceiling=True,
    ),
    "q5_k": Facts(
        13, 256, 176, unit_scales=((0, ONE + ZERO), (4, ONES_AND_ZEROS)),
        integers=FIVE_BITS, centre=16, has_min=True,
        made="search", ends=(-63 * HALF, 63 * 31 * HALF),
        cuda_ceiling=3.5, more_for_int16=1.0, native_ceiling=True,
    ),
    "q6_k": Facts(
        14, 256, 210, unit_scales=((192, b"\1" * 16), (208, ONE)), integers=range(-32, 32),
        made="search", ends=(-128 * 32 * HALF, 128 * 32 * HALF), steps=32,
        cuda_ceiling=4.0, more_for_int16=1.0, native_ceiling=True, load_share=0.11,
    ),
    "q8_k": Facts(
        15, 256, 292, unit_scales=((0, FLOAT_ONE),), integers=INT8, panel_bytes=260, decode=_q8_k,
        made="ggml", ends=(-FLOAT, FLOAT), moved=0.5 / 127, cuda_ceiling=2.0, load_share=0.23,
    ),
    "q8_ks": Facts(
        None, 256, 292, unit_scales=((256, LOW_OF_33 * 16), (288, ONE + ZERO)), integers=INT8,
        has_min=True, panel_bytes=276, decode=_q8_ks,
        made="own", ends=(-127 * 15 * HALF, 127 * 15 * HALF), moved=1 / 127,
        cuda_ceiling=2.5, load_share=0.23,
    ),
    "iq1_s": Facts(  # the grid is offset by an eighth
        19, 256, 50, unit_scales=((0, EIGHT),), scale_bits=(35, 2, 0x8F), integers=IQ1,
        panel_bytes=138, cuda_ceiling=4.25, load_share=None,
    ),
    "iq1_m": Facts(
        29, 256, 56,
        unit_scales=((48, bytes([0, 0, 0, 0, 0, EIGHT[1] << 4 & 0xFF, 0, EIGHT[1] & 0xF0])),),
        integers=IQ1, panel_bytes=146, cuda_ceiling=4.25, load_share=None,
    ),
    "iq2_xxs": Facts(  # (0.5 + 0) * 0.25
        16, 256, 66, unit_scales=((0, EIGHT),), scale_bits=(9, 8, 0x0F), integers=IQ2,
        panel_bytes=138, cuda_ceiling=4.25, load_share=None,
    ),
    "iq2_xs": Facts(
        17, 256, 74, unit_scales=((0, EIGHT), (66, bytes(8))), integers=IQ2,
        panel_bytes=146, cuda_ceiling=4.25, load_share=None,
    ),
    "iq2_s": Facts(
        22, 256, 82, unit_scales=((0, EIGHT), (74, bytes(8))), integers=IQ2,
        panel_bytes=146, cuda_ceiling=4.25, load_share=None,
    ),
    "iq3_xxs": Facts(  # (0.5 + 0) * 0.5
        18, 256, 98, unit_scales=((0, FOUR),), scale_bits=(69, 4, 0x0F), integers=IQ3_XXS,
        panel_bytes=138, cuda_ceiling=4.25, load_share=None,
    ),
    "iq3_s": Facts(
        21, 256, 110, unit_scales=((0, ONE), (106, bytes(4))), integers=both(*range(1, 16, 2)),
        panel_bytes=138, cuda_ceiling=4.0, load_share=None,
    ),
    "iq4_nl": Facts(
        20, 32, 18, integers=IQ4,
        made="search", ends=(-127 * HALF, 127 * HALF), cuda_ceiling=4.0, load_share=0.11,
    ),
    "iq4_xs": Facts(
        23, 256, 136, unit_scales=((0, ONE), (2, HIGH_OF_33 * 2), (4, LOW_OF_33 * 4)),
        integers=IQ4,
        made="search", ends=(-32 * 127 * HALF, 32 * 127 * HALF), cuda_ceiling=4.0, load_share=0.30,
    ),
    "q1_0": Facts(  # the mean magnitude, and a sign each
        41, 128, 18, integers=(-1, 1), decode=_q1_0,
        made="ggml", ends=(-128 * HALF, 128 * HALF), most_sum=128 * HALF, steps=1, moved=1,
        cuda_ceiling=2.0, many_registers=True, load_share=0.19,
    ),
    "q2_0": Facts(
        42, 64, 18, integers=range(-1, 3), decode=_q2_0, made="ggml", moved=1 / 2,
        cuda_ceiling=1.5, many_registers=True, load_share=None,
    ),
    "tq1_0": Facts(
        34, 256, 54, unit_scales=((52, ONE),), integers=range(-1, 2), panel_bytes=66,
        made="gguf", moved=1 / 2, cuda_ceiling=2.0, load_share=None, many_registers=True,
    ),
    "tq2_0": Facts(
        35, 256, 66, unit_scales=((64, ONE),), integers=range(-1, 3),
        made="gguf", moved=1 / 2, cuda_ceiling=2.0, many_registers=True, load_share=0.08,
    ),
    "mxfp4": Facts(  # 2^(e - 128) of the table that holds the floats twice
        39, 32, 17, unit_scales=((0, bytes([128])),), integers=FLOATS_OF_4_BITS,
        made="gguf", ends=(-FLOAT, FLOAT), steps=3, moved=1 / 4,
        cuda_ceiling=4.0, load_share=0.058,
    ),
    "nvfp4": Facts(  # an e4m3 of 2, for the same table
        40, 64, 36, unit_scales=((0, b"\x40" * 4),), integers=FLOATS_OF_4_BITS,
        cuda_ceiling=4.5, load_share=0.20,
    ),
}
# fmt: on


def made(*ways: str) -> list[str]:
    """The formats that are quantised to in one of these ways."""
    return [fmt for fmt, facts in FACTS.items() if facts.made in ways]


def with_unit_scales(blocks: NDArray, fmt: str) -> NDArray:
    """The blocks, uint8 (count, bytes), with the same quants, scales of one and mins of zero."""
    facts = FACTS[fmt]
    blocks = blocks.copy()
    for offset, values in facts.unit_scales:
        blocks[:, offset : offset + len(values)] = list(values)
    if facts.scale_bits is not None:
        first, stride, mask = facts.scale_bits
        blocks[:, first::stride] &= mask
    return blocks
