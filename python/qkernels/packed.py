"""Weights in panels: `qkernels.weights.packed`, by its public name."""

from qkernels.weights.packed import PackedTensor

__all__ = ["PackedTensor"]
