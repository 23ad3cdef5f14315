"""`qkernels demo`: what the package does for one real model, measured live."""

from qkernels.demo.run import run

__all__ = ["run"]
