"""Weights, masks, gates and vectors for products of the columns that gates keep."""

from __future__ import annotations

from typing import Any

import numpy as np

import qkernels as qk
from qkernels.bench.problem import random_weights
from qkernels.gates import GateResult, History

NDArray = np.ndarray[Any, Any]


def tensor(fmt: str, n: int, k: int) -> qk.QTensor:
    """Random weights of sensible sizes."""
    return qk.QTensor(random_weights(fmt, n, k), fmt, (n, k))


def some(count: int, seed: int = 0) -> NDArray:
    """A mask that keeps about half, and not all."""
    keep = np.random.default_rng(seed).random(count) < 0.5
    keep[0] = False
    keep[count // 2] = True
    return keep


def vector(k: int, seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).standard_normal(k).astype(np.float32)


def trained(gates: NDArray, n: int, k: int, block_k: int, row_group: int | None) -> GateResult:
    """Gates that nobody trained."""
    return GateResult(
        gates=gates.astype(np.float64), shape=(n, k), block_k=block_k, row_group=row_group,
        threshold=0.5, l1=0.0, lr=1.0, rule="projected", normalized=True, mse=0.0,
        relative_error=0.0, history=History.of([]),
    )  # fmt: skip


def by_rows(kept: bool) -> tuple[qk.QTensor, GateResult]:
    """Weights with groups of one row, of which all but the first keep one block or nothing."""
    gates = np.zeros((8, 2))
    gates[0] = 1
    gates[:, 1] = kept
    return tensor("q4_0", 8, 64), trained(gates, 8, 64, 32, 1)
