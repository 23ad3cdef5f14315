"""Weights for peers that have formats of their own: the same matrix, quantised anew.

Such a peer cannot read a block of GGUF, so it gets as many bits a weight, in groups of 32 with a
float32 scale and no minimum. Its time is that of its own format. Its error is against the weights
of the block like everybody's, so it is mostly that of quantising them a second time.
"""

from __future__ import annotations

import re

import numpy as np

import qkernels as qk
from qkernels._measure.method import Array
from qkernels.bench.peers.base import UnsuitedError
from qkernels.bench.problem import Problem

GROUP = 32


def bits_of(fmt: str) -> int:
    """The bits of a quant, which is the number in the format's name."""
    found = re.search(r"\d+", fmt)
    assert found is not None, fmt
    return int(found.group())


def check(problem: Problem, bits: tuple[int, ...]) -> int:
    """The bits of a problem's quants, where they are among those that a peer has.

    Raises:
        UnsuitedError: they are not, or rows are no whole number of groups.
    """
    own = bits_of(problem.fmt)
    if own not in bits:
        # Without the format, so that one line says it of all formats of a table.
        raise UnsuitedError(f"its weights have {' or '.join(map(str, bits))} bits")
    if problem.k % GROUP != 0:
        raise UnsuitedError(f"k={problem.k} is no whole number of groups of {GROUP}")
    return own


def requantise(problem: Problem, bits: int) -> tuple[Array, Array]:
    """A problem's weights in groups of 32.

    Returns:
        quants, uint8 (n, k / 32, 32), and scales, float32 (n, k / 32): a weight is
        scale * (quant - 2^(bits - 1)).
    """
    dense = qk.dequantize(problem.rotation.copies[0].tensor)
    groups = np.asarray(dense, np.float32).reshape(problem.n, problem.k // GROUP, GROUP)
    zero = 1 << (bits - 1)
    # There is one more quant below zero than above it; the largest weight gets that one.
    where = np.abs(groups).argmax(axis=-1)[..., None]
    scales = np.take_along_axis(groups, where, axis=-1) / -zero
    steps = np.divide(groups, scales, out=np.zeros_like(groups), where=scales != 0)
    quants = np.clip(np.rint(steps) + zero, 0, 2 * zero - 1).astype(np.uint8)
    return quants, scales[..., 0]
