"""What is measured: random weights of a format, x, and the product that is right.

Weights are random blocks, kept where they decode to sensible sizes, so any format of the build can
be measured without knowledge of what is in its blocks. Speed does not depend on the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

import qkernels as qk
from qkernels import _core
from qkernels._measure.memory import allocate
from qkernels._measure.method import Array, Rotation, copies_needed

SEED = 0
# Rows that differ; larger matrices repeat them.
DISTINCT_ROWS = 256
# Blocks to draw from, and the range of their largest weights.
POOL = 1024
SMALLEST, LARGEST = 0.25, 4.0
# Rows that are widened to float64 at a time, to bound memory.
ROWS = 4096


class Shape(NamedTuple):
    """A matrix of a model: its name, and n rows of depth k."""

    name: str
    n: int
    k: int


# A 1B Llama's, and those of SmolLM2-135M.
TRANSFORMER_SHAPES = (
    Shape("qkv_proj", 6144, 2048),
    Shape("attention_out", 2048, 2048),
    Shape("ffn_gate_up", 11264, 2048),
    Shape("ffn_down", 2048, 5632),
    Shape("lm_head", 32000, 2048),
    Shape("SmolLM2 attn_q", 576, 576),
    Shape("SmolLM2 attn_k", 192, 576),
    Shape("SmolLM2 ffn_up", 1536, 576),
    Shape("SmolLM2 ffn_down", 576, 1536),
    Shape("SmolLM2 token_embd", 49152, 576),
)


class Copy(NamedTuple):
    """One copy of the weights: the tensor, and its bytes (n, row_bytes)."""

    tensor: qk.QTensor
    raw: Array


@lru_cache(maxsize=2)
def _pool(fmt: str) -> Array:
    """uint8 (POOL, bytes of a block) of sensible blocks."""
    nbytes = _core.format_info(fmt).block_bytes
    rng = np.random.default_rng(SEED)
    kept: list[Array] = []
    while sum(map(len, kept)) < POOL:
        raw = rng.integers(0, 256, (1 << 14, nbytes), dtype=np.uint8)
        with np.errstate(all="ignore"):
            largest = np.abs(qk.dequantize(raw, fmt)).max(axis=-1)
            kept.append(raw[(largest >= SMALLEST) & (largest <= LARGEST)])  # False for NaN
    return np.concatenate(kept)[:POOL]


def random_weights(fmt: str, n: int, k: int) -> Array:
    """uint8 (n, row_bytes) of random weights; rows repeat from DISTINCT_ROWS on."""
    info = _core.format_info(fmt)
    block, nbytes = info.block, info.block_bytes
    blocks = -(-k // block)
    rows = min(n, DISTINCT_ROWS)
    drawn = np.random.default_rng(SEED).integers(0, POOL, rows * blocks)
    distinct = _pool(fmt)[drawn].reshape(rows, blocks * nbytes)
    return distinct[np.arange(n) % rows]


def gaussian(m: int, k: int) -> Array:
    """x of shape (k,) for m = 1, else (m, k), float32."""
    shape = (k,) if m == 1 else (m, k)
    return np.random.default_rng(SEED + 1).standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True)
class Problem:
    """y = W x for W of shape (n, k) in a format, and m vectors x.

    Raises:
        ValueError: the format is unknown.
    """

    fmt: str
    n: int
    k: int
    m: int
    cold: bool
    cache_bytes: int
    huge_pages: bool = False

    @cached_property
    def raw(self) -> Array:
        """The weights' bytes, uint8 (n, row_bytes)."""
        return random_weights(self.fmt, self.n, self.k)

    @cached_property
    def x(self) -> Array:
        """float32 (k,) for m = 1, else (m, k)."""
        return gaussian(self.m, self.k)

    @cached_property
    def exact(self) -> Array:
        """The float64 product with the decoded weights, (n,) or (m, n)."""
        wide = self.x.astype(np.float64)
        tensor = self.rotation.copies[0].tensor
        parts = [
            wide @ qk.dequantize(tensor, rows=slice(row, row + ROWS)).astype(np.float64).T
            for row in range(0, self.n, ROWS)
        ]
        return np.concatenate(parts, axis=-1)

    @cached_property
    def memory(self) -> Array:
        """The bytes of all copies of the quantised weights, uint8 (copies, nbytes)."""
        return self.places(self.raw.nbytes)

    @cached_property
    def rotation(self) -> Rotation[Copy]:
        """The quantised weights, shared by everything that reads them as they are."""
        copies = [place.reshape(self.raw.shape) for place in self.memory]
        for copy in copies:
            copy[...] = self.raw
        shape = (self.n, self.k)
        return Rotation([Copy(qk.QTensor(raw, self.fmt, shape), raw) for raw in copies])

    @cached_property
    def packed(self) -> Rotation[qk.PackedTensor]:
        """The weights in this ISA's panels."""
        tensor = self.rotation.copies[0].tensor
        first = tensor.pack(huge_pages=self.huge_pages)
        rest = range(1, self.copies(first.nbytes))
        return Rotation([first, *(tensor.pack(huge_pages=self.huge_pages) for _ in rest)])

    def copies(self, nbytes: int) -> int:
        """How many copies of weights of `nbytes` the method asks for."""
        return copies_needed(nbytes, self.cache_bytes, self.cold)

    def places(self, nbytes: int) -> Array:
        """Memory for so many copies, uint8 (copies, nbytes).

        Raises:
            MemoryError: the system refuses so much.
        """
        return allocate(self.copies(nbytes), nbytes, self.huge_pages)

    def error(self, y: Array) -> float:
        """norm(y - exact) / norm(exact)."""
        difference = np.asarray(y, np.float64).reshape(self.exact.shape) - self.exact
        return float(np.linalg.norm(difference) / np.linalg.norm(self.exact))
