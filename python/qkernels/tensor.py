"""Quantised weights: `qkernels.weights.qtensor`, by its public name."""

from qkernels.weights.qtensor import QTensor

__all__ = ["QTensor"]
