"""Streaming micro-kernels: exact int8 products, for experiments with layouts and prefetching.

    y = stream.gemv_i8(stream.pack4i(w), x, "dotprod4i", prefetch=32)   # int32 (n,)

Every kernel computes the same sums, on the caller's thread; they differ in how the weights lie and
in how far ahead of their reading they prefetch. `measure` times them, `qkernels stream` is the
command, and docs/stream.md draws the layouts.
"""

from qkernels.stream.product import (
    KERNELS,
    PackedInt8,
    gemv_i8,
    pack4,
    pack4i,
    pack16i,
    unpack4,
    unpack4i,
    unpack16i,
)

__all__ = [
    "KERNELS",
    "PackedInt8",
    "gemv_i8",
    "pack4",
    "pack4i",
    "pack16i",
    "unpack4",
    "unpack4i",
    "unpack16i",
]
