"""Gate training written directly: two products with the whole matrix a step, no Gram matrix."""

from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]


def direct_gates(
    w: NDArray, x: NDArray, block_k: int, steps: int, lr: float, l1: float
) -> tuple[NDArray, list[float]]:
    """Gates and the loss after each step, in the precision of w (n, k) and x (samples, k)."""
    samples, k = x.shape
    begins = np.arange(0, k, block_k)
    gates = np.ones(len(begins), w.dtype)
    target = x @ w.T

    def residual() -> NDArray:
        columns = np.repeat(gates, block_k)[:k]
        return np.asarray((x * columns) @ w.T - target)

    losses: list[float] = []
    wrong = residual()
    for _ in range(steps):
        slope = np.add.reduceat(((wrong @ w) * x).sum(axis=0), begins) / samples
        gates = np.clip(gates - lr * (slope + l1), 0, 1).astype(w.dtype)
        wrong = residual()
        losses.append(float((wrong**2).sum() / (2 * samples) + l1 * gates.sum()))
    return gates, losses


def inputs_of_norm_1(w: NDArray, x: NDArray) -> NDArray:
    """Inputs scaled so that the mean of ||w x||^2 over samples is 1."""
    return np.asarray(x / np.sqrt(np.mean(np.sum((x @ w.T) ** 2, axis=1))))


def masked_error(w: NDArray, x: NDArray, columns: NDArray) -> float:
    """norm(y without the other columns - y) / norm(y)."""
    y = x @ w.T
    return float(np.linalg.norm((x * columns) @ w.T - y) / np.linalg.norm(y))
