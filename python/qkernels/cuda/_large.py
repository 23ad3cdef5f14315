"""Batches of more than eight rows of torch tensors: weights decoded tile by tile for torch.mm.

The bound of act="int16" is 1e-4: bfloat16 and TF32, whose significands have 8 and 11 bits, miss it,
so tiles and x are float32 and TF32 is off. The bound of act="int8", 2e-2, leaves room for bfloat16.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from . import _abi
from ._library import library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._call import Call
    from ._view import View
    from .tensor import CudaTensor

TILE_BYTES = 64 << 20  # of decoded weights, all the memory that a call takes beside x and y
# Rounding of sums that long grows with their length: act="float32" has a bound of 2e-6.
FLOAT32_DEPTH = 1024


def multiply_by_tiles(call: Call, x: torch.Tensor, y: torch.Tensor) -> None:
    """Y = function(x W^T + bias), times the product with `up` where there is one.

    Args:
        call: the product; its scratch is not used.
        x: (..., k) on the device.
        y: (..., n) on the device, written.
    """
    n, k = call.weights.shape
    dtype = torch.bfloat16 if call.act == "int8" else torch.float32
    rows = x.reshape(-1, k).to(dtype)
    results = y.view(len(rows), n)
    tile_rows = max(1, min(n, TILE_BYTES // (k * dtype.itemsize)))
    tile = torch.empty((tile_rows, k), dtype=dtype, device=x.device)
    depth = FLOAT32_DEPTH if call.act == "float32" else k
    with _no_tf32():
        for first in range(0, n, tile_rows):
            count = min(tile_rows, n - first)
            decoded = tile[:count]
            _decode(call, call.weights, first, decoded)
            part = _product(rows, decoded, depth)
            _finish(call, part, call.bias, first, _abi.FUNCTIONS.index(call.function))
            if call.up is not None:
                _decode(call, call.up, first, decoded)
                other = _product(rows, decoded, depth)
                _finish(call, other, call.up_bias, first, 0)
                part.mul_(other)
            results[:, first : first + count].copy_(part)


def _product(x: torch.Tensor, weights: torch.Tensor, depth: int) -> torch.Tensor:
    """X @ weights.T in float32, in sums of at most `depth` products."""
    k = x.shape[1]
    total = torch.mm(x[:, :depth], weights[:, :depth].T)
    for first in range(depth, k, depth):
        step = slice(first, first + depth)
        total.addmm_(x[:, step], weights[:, step].T)
    return total.float()


def _decode(call: Call, weights: CudaTensor, first: int, out: torch.Tensor) -> None:
    """Rows [first, first + len(out)) of the weights."""
    library().call(
        "dequantize",
        call.device,
        weights.structure(first, len(out)),
        _matrix(out),
        call.stream,
    )


def _finish(call: Call, values: torch.Tensor, bias: View | None, first: int, function: int) -> None:
    if bias is None and function == 0:
        return
    pointer = None if bias is None else bias.pointer + 4 * first
    library().call("apply", call.device, _matrix(values), pointer, 0, function, call.stream)


def _matrix(x: torch.Tensor) -> _abi.Matrix:
    dtype = 0 if x.dtype == torch.float32 else 2
    return _abi.Matrix(x.data_ptr(), x.shape[0], x.shape[1], x.stride(0), dtype)


@contextmanager
def _no_tf32() -> Iterator[None]:
    """TF32 is off meanwhile. The setting is the process's: other threads' products see it too."""
    settings = torch.backends.cuda.matmul
    new = hasattr(settings, "fp32_precision")  # which later versions of torch have instead
    name, wanted = ("fp32_precision", "ieee") if new else ("allow_tf32", False)
    before = getattr(settings, name)
    if before == wanted:
        yield
        return
    setattr(settings, name, wanted)
    try:
        yield
    finally:
        setattr(settings, name, before)
