"""Quantising whole files: `qkernels.tools.quantize`, by its public name."""

from qkernels.tools.quantize import quantize_file

__all__ = ["quantize_file"]
