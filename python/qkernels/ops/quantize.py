"""From floats to blocks: `qkernels.quantize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qkernels import _core
from qkernels._base.arrays import as_array, shape_of
from qkernels._base.frameworks import is_torch
from qkernels._base.numbers import to_bool
from qkernels._base.threads import thread_count
from qkernels.weights.qtensor import QTensor

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

    from qkernels._base.frameworks import Array


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
    has no defined result for: those whose largest weight is below 2^-124, which become zeros, and
    those past what a block holds, which are refused. The K-quants and iq4 search for the scales,
    and mins, with the least squared error; so do q4_0, q4_1, q5_0 and q5_1 under an importance
    matrix. The result depends on the row alone: not on threads, nor on the ISA.

    No weight becomes infinite. Scales are halves (but of bf16, q8_k and mxfp4): where a block's
    would be below 2^-25 its weights become zeros.

    Args:
        a: shape (n, k), (experts, n, k), or any other (..., k), of real numbers, with any strides:
            a NumPy array or a CPU torch tensor. What is neither float32, float16 nor bfloat16 is
            converted to float32 first, as by `astype`.
        fmt: a format's name in any case, such as "q4_k", or a `gguf.GGMLQuantizationType`:
            `can_quantize` says which.
        imatrix: shape (k,), or (experts, k) for a stack: what the squared errors of a column's
            weights are multiplied by, finite and not negative. Usually the mean square of the
            activations that meet the column. Nothing is less than 2^-20 of the largest. Only for
            formats that are searched: `can_quantize(fmt, imatrix=True)` says which.
        pad: complete rows with zeros where k is no multiple of the block. The result keeps its k;
            of a file, only qkernels reads such tensors.
        threads: 1 to 256, instead of the default.

    Returns:
        A QTensor of a's shape, whose bytes are a torch tensor where `a` is one.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape, a format that nothing is quantised to, a k that is no multiple
            of the block (see `pad`), an `imatrix` for a format that takes none, a NaN or an
            infinity (but for f32, f16 and bf16, which keep them), or a weight past what the format
            holds: the message has its value, row and column.
        MemoryError: blocks that no memory holds.
    """
    return quantize_part(a, fmt, imatrix=imatrix, pad=pad, threads=threads)


def quantize_part(
    a: Array,
    fmt: str | GGMLQuantizationType,
    *,
    imatrix: Array | None = None,
    pad: bool = False,
    threads: int | None = None,
    first_row: int = 0,
) -> QTensor:
    """Quantise rows of something larger: `quantize`, with the first row's number for messages."""
    count = thread_count(threads)
    pad = to_bool(pad, "pad")
    if not hasattr(a, "__dlpack__"):  # as lists and scalars have no shape either
        a = as_array(a, "a")
    blocks = _core.quantize(a, fmt, imatrix, pad, count, first_row)
    if not is_torch(a):
        return QTensor(blocks, fmt, shape_of(a))
    from qkernels.torch import as_tensor

    return QTensor(as_tensor(blocks), fmt, shape_of(a))


def can_quantize(fmt: str | GGMLQuantizationType, *, imatrix: bool = False) -> bool:
    """Whether `quantize` takes a format, and with `imatrix` whether under an importance matrix.

    Raises:
        TypeError: fmt is neither a name nor a `gguf.GGMLQuantizationType`, or imatrix no bool.
        ValueError: an unknown format.
    """
    return _core.takes_importance(fmt) if to_bool(imatrix, "imatrix") else _core.can_quantize(fmt)
