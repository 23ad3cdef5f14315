"""What the checks and times under torch share: the package's calls, and random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import qkernels
from qkernels import _core

ACTS = ("int8", "int16", "float32")
FLOATS = frozenset({"f32", "f16", "bf16"})

Tensor = torch.Tensor


def random_weights(fmt: str, n: int, k: int, seed: int = 0) -> qkernels.QTensor:
    """(n, k) weights of a few hundred random blocks, whose largest weights are from 0.5 to 4."""
    info = _core.format_info(fmt)
    block, nbytes = info.block, info.block_bytes
    rng = np.random.default_rng(seed)
    kept: list[np.ndarray[Any, Any]] = []
    while sum(map(len, kept)) < 500:
        raw = rng.integers(0, 256, (1 << 15, nbytes), dtype=np.uint8)
        with np.errstate(all="ignore"):
            values = qkernels.dequantize(qkernels.QTensor(raw, fmt, (len(raw), block)))
            largest = np.abs(values).max(axis=1)
        kept.append(raw[(largest > 0.5) & (largest < 4.0)])
    pool = np.concatenate(kept)
    blocks = -(-k // block)
    rows = pool[rng.integers(0, len(pool), n * blocks)].reshape(n, blocks * nbytes)
    return qkernels.QTensor(rows, fmt, (n, k))


def on_device(weights: Any) -> Any:
    """The weights on torch's current device, packed for it."""
    return weights.to("cuda", pack=True)


def gemv(weights: Any, x: Tensor, act: str, out: Tensor | None = None) -> Tensor:
    """The product on torch's current stream, as users call it."""
    from qkernels import cuda  # type: ignore[attr-defined, unused-ignore]

    result: Tensor = cuda.gemv(weights, x, act=act, out=out)
    return result


def dequantize(weights: Any, out: Tensor) -> Tensor:
    """The weights as floats, on torch's current stream."""
    from qkernels import cuda  # type: ignore[attr-defined, unused-ignore]

    result: Tensor = cuda.dequantize(weights, out=out)
    return result
