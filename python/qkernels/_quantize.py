"""From floats to blocks: `qkernels.quantize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _core, _threads
from ._arrays import as_array, shape_of
from ._frameworks import is_torch
from .tensor import QTensor

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

    from ._frameworks import Array


def quantize(
    a: Array,
    fmt: str | GGMLQuantizationType,
    *,
    imatrix: Array | None = None,
    pad: bool = False,
    threads: int | None = None,
) -> QTensor:
    """Quantise weights.

    Where `gguf.quants.quantize` knows the format, the bytes are its own, but for blocks that it
    has no defined result for: those whose largest weight is below 2^-124, which become zeros. The
    K-quants and iq4 search for the scales, and mins, with the least squared error; so does every
    format but f32, f16, bf16, mxfp4, and those of 8 bits and of three values, under an importance
    matrix. The result depends on the row alone: not on threads, nor on the ISA.

    Args:
        a: shape (n, k) or (experts, n, k), of real numbers, with any strides: a NumPy array or a
            CPU torch tensor. What is neither float32, float16 nor bfloat16 is converted to float32
            first, as by `astype`.
        fmt: a format's name in any case, such as "q4_k", or a `gguf.GGMLQuantizationType`:
            `can_quantize` says which.
        imatrix: shape (k,), or (experts, k) for a stack: what the squared errors of a column's
            weights are multiplied by, finite and not negative. Usually the mean square of the
            activations that meet the column. Nothing is less than 2^-20 of the largest.
        pad: complete rows with zeros where k is no multiple of the block. The result keeps its k;
            of a file, only qkernels reads such tensors.
        threads: 1 to 256, instead of the default.

    Returns:
        A QTensor of a's shape, whose bytes are a torch tensor where `a` is one.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape, a format that nothing is quantised to, a k that is no multiple
            of the block (see `pad`), a NaN or an infinity (but for f32, f16 and bf16, which keep
            them), or weights past what the format's scales hold. The message says where.
    """
    count = _threads.resolve(threads)
    if not hasattr(a, "__dlpack__"):  # as lists and scalars have no shape either
        a = as_array(a, "a")
    blocks = _core.quantize(a, fmt, imatrix, bool(pad), count)
    if not is_torch(a):
        return QTensor(blocks, fmt, shape_of(a))
    from .torch import as_tensor

    return QTensor(as_tensor(blocks), fmt, shape_of(a))


def can_quantize(fmt: str | GGMLQuantizationType) -> bool:
    """Whether `quantize` takes a format.

    Raises:
        TypeError: fmt is neither a name nor a `gguf.GGMLQuantizationType`.
        ValueError: an unknown format.
    """
    return _core.can_quantize(fmt)
