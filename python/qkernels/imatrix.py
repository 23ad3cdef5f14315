"""Importance matrices: `qkernels.files.imatrix`, by its public name."""

from qkernels.files.imatrix import Imatrix, load_imatrix

__all__ = ["Imatrix", "load_imatrix"]
