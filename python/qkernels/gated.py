"""Weights without the columns that gates drop: `qkernels.weights.gated`, by its public name."""

from qkernels.weights.gated import GatedTensor

__all__ = ["GatedTensor"]
