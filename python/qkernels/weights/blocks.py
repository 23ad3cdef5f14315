"""Raw blocks as weights, and decoding by the core's view of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels import _core
from qkernels._base.arrays import depth
from qkernels._base.frameworks import dtype_name, empty, is_torch
from qkernels._base.threads import thread_count

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

    from qkernels.weights.base import WeightsBase

    Format = str | GGMLQuantizationType | None


def raw_view(weights: object, fmt: Format, x: Any = None, *, k: int | None = None) -> _core.Weights:
    """The core's view of raw blocks in `fmt`, of depth k, x's, or all that their rows hold.

    Raises:
        TypeError: they are no uint8 array, or `fmt` is missing or no format.
        ValueError: an unknown format, or rows that do not hold the depth.
    """
    if fmt is None:
        if isinstance(weights, np.ndarray) or is_torch(weights):
            raise TypeError("raw weights need fmt, the name of their format, such as 'q4_k'")
        raise TypeError(
            f"weights must be a QTensor, or uint8 blocks with fmt, not {type(weights).__name__}"
        )
    return _core.Weights(weights, fmt, k if x is None else depth(x))


def check_format(fmt: Format, weights: WeightsBase) -> None:
    """Refuse a `fmt` that is given beside weights of another.

    Raises:
        TypeError, ValueError: it is another one, or none at all.
    """
    if fmt is not None and _core.format_info(fmt).name != weights.fmt:
        raise ValueError(f"fmt={fmt!r} disagrees with the weights, which are {weights.fmt}")


def decode(
    view: _core.Weights, *, like_torch: bool, dtype: Any, out: Any, threads: int | None
) -> Any:
    """Weights as floats, in `out` or in a new array. See `qkernels.dequantize`."""
    count = thread_count(threads)
    if out is None:
        out = empty(view.shape, like_torch, dtype_name(dtype, like_torch))
    _core.dequantize(view, out, count)
    return out
