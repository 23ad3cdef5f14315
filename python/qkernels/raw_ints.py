"""Weights as integers: `qkernels.weights.raw_ints`, by its public name."""

from qkernels.weights.raw_ints import RawInts, raw_ints, raw_scales

__all__ = ["RawInts", "raw_ints", "raw_scales"]
