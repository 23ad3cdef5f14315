"""The plainest encoders of q4_k and q6_k, for tests that need such weights and no skill."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def pad_rows(weights: Floats) -> Floats:
    """Rows completed with zeros to a whole number of superblocks."""
    return np.pad(weights, ((0, 0), (0, -weights.shape[1] % 256)))


def _inverse(scale: Any) -> Any:
    return np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)


def encode_q4_k(weights: Floats) -> Bytes:
    """(n, k) to (n, k / 256 * 144), k a multiple of 256: 8 groups with a scale and a min each."""
    n, k = weights.shape
    groups = weights.reshape(n, k // 256, 8, 32)
    low = np.minimum(groups.min(axis=-1), 0)
    step = (groups.max(axis=-1) - low) / 15
    d = (step.max(axis=-1, keepdims=True) / 63).astype(np.float16)
    dmin = (-low.min(axis=-1, keepdims=True) / 63).astype(np.float16)
    scales = np.clip(np.rint(step * _inverse(d.astype(np.float32))), 0, 63).astype(np.uint8)
    mins = np.clip(np.rint(-low * _inverse(dmin.astype(np.float32))), 0, 63).astype(np.uint8)
    scale = (d.astype(np.float32) * scales)[..., None]
    bottom = (dmin.astype(np.float32) * mins)[..., None]
    quants = np.clip(np.rint((groups + bottom) * _inverse(scale)), 0, 15).astype(np.uint8)
    packed = np.empty((n, k // 256, 12), np.uint8)
    packed[..., 0:4] = scales[..., :4] | (scales[..., 4:] >> 4) << 6
    packed[..., 4:8] = mins[..., :4] | (mins[..., 4:] >> 4) << 6
    packed[..., 8:12] = (scales[..., 4:] & 15) | (mins[..., 4:] & 15) << 4
    nibbles = quants[..., 0::2, :] | quants[..., 1::2, :] << 4
    parts = [d.view(np.uint8), dmin.view(np.uint8), packed, nibbles.reshape(n, k // 256, 128)]
    return np.concatenate(parts, axis=-1).reshape(n, -1)


def encode_q6_k(weights: Floats) -> Bytes:
    """(n, k) to (n, k / 256 * 210), k a multiple of 256: 16 groups with a signed scale each."""
    n, k = weights.shape
    groups = weights.reshape(n, k // 256, 16, 16)
    step = np.abs(groups).max(axis=-1) / 31
    d = (step.max(axis=-1, keepdims=True) / 127).astype(np.float16)
    scales = np.clip(np.rint(step * _inverse(d.astype(np.float32))), 0, 127).astype(np.int8)
    scale = (d.astype(np.float32) * scales)[..., None]
    quants = (np.clip(np.rint(groups * _inverse(scale)), -32, 31) + 32).astype(np.uint8)
    halves = quants.reshape(n, k // 256, 2, 4, 32)  # of each half, four runs of 32
    low = np.concatenate(
        [
            (halves[..., 0, :] & 15) | (halves[..., 2, :] & 15) << 4,
            (halves[..., 1, :] & 15) | (halves[..., 3, :] & 15) << 4,
        ],
        axis=-1,
    )
    high = sum((halves[..., run, :] >> 4) << (2 * run) for run in range(4))
    blocks = (n, k // 256, -1)
    parts = [low.reshape(blocks), np.asarray(high, np.uint8).reshape(blocks)]
    parts += [scales.view(np.uint8), d.view(np.uint8)]
    return np.concatenate(parts, axis=-1).reshape(n, -1)
