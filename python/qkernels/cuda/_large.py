"""Batches of more than eight rows of torch tensors: weights decoded tile by tile for torch.mm.

The bound of act="int16" is 1e-4: bfloat16 and TF32, whose significands have 8 and 11 bits, miss it,
so tiles and x are float32. The bound of act="int8", 2e-2, leaves room for bfloat16.

Whether torch.mm may take TF32 for float32 is a setting of the process, which is the caller's and is
left alone. Where it is on, x and the tiles are split into parts of 11 bits, which TF32 has exactly:
three products of them keep 22 bits.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from qkernels.cuda import _abi
from qkernels.cuda._library import library

if TYPE_CHECKING:
    from qkernels.cuda._call import Call
    from qkernels.cuda._view import View
    from qkernels.cuda.tensor import CudaTensor

# Of decoded weights, all the memory that a call takes beside x and y; where they are split, thrice.
TILE_BYTES = 64 << 20
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
    if x.dtype == torch.bfloat16:
        return _sum([(x, weights)], depth).float()
    if not tf32_is_allowed():
        total = _sum([(x, weights)], depth)
        if not tf32_is_allowed():  # nor did another thread allow it meanwhile
            return total
    (high, low), (weights_high, weights_low) = _parts(x), _parts(weights)
    # What is small is added first.
    return _sum([(low, weights_high), (high, weights_low), (high, weights_high)], depth)


def _sum(pairs: list[tuple[torch.Tensor, torch.Tensor]], depth: int) -> torch.Tensor:
    """The sum of x @ weights.T over all pairs, in sums of at most `depth` products."""
    total: torch.Tensor | None = None
    for x, weights in pairs:
        for first in range(0, x.shape[1], depth):
            step = slice(first, first + depth)
            if total is None:
                total = torch.mm(x[:, step], weights[:, step].T)
            else:
                total.addmm_(x[:, step], weights[:, step].T)
    assert total is not None
    return total


def _parts(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 as a sum of two, of the first 11 bits of each significand and the next 11."""
    high = _first_bits(x)
    return high, _first_bits(x - high)


def _first_bits(x: torch.Tensor) -> torch.Tensor:
    return (x.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)


def tf32_is_allowed() -> bool:
    """Whether torch.mm may round float32 to TF32, by torch's setting or by cuBLAS's variable."""
    settings = torch.backends.cuda.matmul
    if hasattr(settings, "fp32_precision"):  # which later versions of torch have
        allowed = settings.fp32_precision not in ("ieee", "none")
    else:
        allowed = bool(settings.allow_tf32)
    return allowed or os.environ.get("NVIDIA_TF32_OVERRIDE", "0") != "0"


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
