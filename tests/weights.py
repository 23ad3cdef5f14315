"""Weights for tests: random blocks of any format, with no knowledge of what is in a block.

A block of random bytes is kept when its decoded weights are of a sensible size, so scales, mins
and quants of every pattern occur and no format needs code of its own here.
"""

import os
from functools import lru_cache
from typing import Any

import gguf
import numpy as np

import qkernels as qk
from format_facts import FACTS
from qkernels import _core

NDArray = np.ndarray[Any, Any]

# Sanitizers make kernels ten times slower. Under them the heaviest tests take fewer shapes and
# blocks: enough to run all the code, whose results are checked in full without them.
SANITIZED = "QKERNELS_SANITIZED" in os.environ

# What the installed gguf package knows, and so reads and writes in files.
IN_GGUF = [fmt for fmt in FACTS if fmt.upper() in gguf.GGMLQuantizationType.__members__]


def gguf_type(fmt: str) -> gguf.GGMLQuantizationType:
    return gguf.GGMLQuantizationType[fmt.upper()]


def block_of(fmt: str) -> tuple[int, int]:
    """(weights, bytes) of a block."""
    return FACTS[fmt].block, FACTS[fmt].nbytes


def reference(raw: NDArray, fmt: str) -> NDArray:
    """float32 weights of uint8 (..., bytes): the gguf package's, or by the definition's own code.

    NaN payloads raise no warnings.
    """
    decode = FACTS[fmt].decode
    with np.errstate(all="ignore"):
        if decode is None:
            return np.asarray(gguf.quants.dequantize(raw, gguf_type(fmt)), np.float32)
        blocks = np.ascontiguousarray(raw).reshape(-1, block_of(fmt)[1])
        return decode(blocks).reshape(*raw.shape[:-1], -1)


def random_bytes(fmt: str, count: int, seed: int) -> NDArray:
    """(count, bytes) blocks whose every byte is random."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, block_of(fmt)[1]), dtype=np.uint8)


@lru_cache(maxsize=64)
def _pool(fmt: str, low: float, high: float) -> NDArray:
    """Some thousand blocks whose largest weight lies in [low, high]."""
    kept: list[NDArray] = []
    found, seed = 0, 0
    while found < 4096:
        raw = random_bytes(fmt, 1 << 15, 1000 + seed)
        seed += 1
        with np.errstate(all="ignore"):
            largest = np.abs(reference(raw, fmt)).max(axis=-1)
            good = raw[(largest >= low) & (largest <= high)]  # False for NaN
        kept.append(good)
        found += len(good)
        assert seed < 200, f"no sensible {fmt} blocks among random bytes"
    return np.concatenate(kept)


def random_weights(
    fmt: str, n: int, k: int, seed: int = 0, low: float = 0.25, high: float = 4.0
) -> NDArray:
    """uint8 (n, row_bytes): random blocks whose largest weight lies in [low, high]."""
    block, nbytes = block_of(fmt)
    blocks = -(-k // block)
    pool = _pool(fmt, low, high)
    rng = np.random.default_rng(seed)
    return pool[rng.integers(0, len(pool), n * blocks)].reshape(n, blocks * nbytes)


def tensor(fmt: str, n: int, k: int, seed: int = 0) -> qk.QTensor:
    return qk.QTensor(random_weights(fmt, n, k, seed), fmt, (n, k))


def dense(weights: qk.QTensor) -> NDArray:
    """The gguf package's weights of a QTensor in float64, cut to its k."""
    return reference(np.asarray(weights.data), weights.fmt)[..., : weights.shape[-1]].astype(
        np.float64
    )


def is_float(fmt: str) -> bool:
    return _core.format_info(fmt).is_float


def bound(act: str, fmt: str) -> float:
    """The largest relative error allowed, norm(y - ref) / norm(ref)."""
    if is_float(fmt):
        act = "float32"
    return {"int16": 1e-4, "float32": 2e-6, "int8": 2e-2}[act]


def relative_error(y: NDArray, ref: NDArray) -> float:
    return float(np.linalg.norm(y.astype(np.float64) - ref) / np.linalg.norm(ref))
