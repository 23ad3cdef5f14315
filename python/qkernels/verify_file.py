"""Whether all weights of a file are finite: `qkernels.tools.verify`, by its public name."""

from qkernels.tools.verify import Sums, TensorStats, verify

__all__ = ["Sums", "TensorStats", "verify"]
