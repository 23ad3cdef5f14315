"""What every bit of a format's block is for; scripts/make_format_files.py writes it down.

Nothing is known of any format here: each bit of some random blocks is flipped in turn, and what
changes is what the bit is for. A block's map is a letter for each bit, the highest bit of its first
byte first:

    q   integers, of weight 0 among them
    i   integers, of other weights only
    s   scales, or scales and mins
    m   mins alone
    .   nothing that decoding looks at

For float formats the letters are those of the number's fields: s sign, e exponent, f fraction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import qkernels as qk
from qkernels import _core

NDArray = np.ndarray[Any, Any]

TRIALS = 24
FLOATS = {"f32": (8, 23), "f16": (5, 10), "bf16": (8, 7)}  # bits of exponent and fraction


def bit_map(fmt: str) -> str:
    """The letters of a format's block."""
    info = _core.format_info(fmt)
    name, block, nbytes = info.name, info.block, info.block_bytes
    if name in FLOATS:
        exponent, fraction = FLOATS[name]
        number = "s" + "e" * exponent + "f" * fraction  # from its highest bit
        octets = [number[i : i + 8] for i in range(0, len(number), 8)]
        return "".join(reversed(octets))  # little-endian
    rng = np.random.default_rng(0)
    bits = 8 * nbytes
    flips = np.packbits(np.eye(bits, dtype=np.uint8), axis=1)
    seen = np.zeros((4, bits), bool)
    for _ in range(TRIALS):
        base = rng.integers(0, 256, (1, nbytes), dtype=np.uint8)
        ints, scales, mins = _parts(np.concatenate([base, base ^ flips]), fmt, block)
        changed = ints[1:] != ints[:1]
        seen[0] |= changed[:, 0]
        seen[1] |= changed.any(axis=1)
        seen[2] |= (scales[1:] != scales[:1]).any(axis=1)
        seen[3] |= (mins[1:] != mins[:1]).any(axis=1)
    letters = np.full(bits, ".")
    for mask, letter in zip(seen[::-1], "msiq", strict=True):
        letters[mask] = letter
    return "".join(letters)


def _parts(blocks: NDArray, fmt: str, block: int) -> tuple[NDArray, NDArray, NDArray]:
    """(ints, scales, mins) of one block a row, scales and mins as bits."""
    raw = qk.QTensor(blocks, fmt, (len(blocks), block)).raw_ints(with_scales=True)
    scales, mins = (np.asarray(a).view(np.uint32) for a in (raw.scales, raw.mins))
    return np.asarray(raw.ints), scales, mins
