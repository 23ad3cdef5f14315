"""Weights on their way to a device: which one, in which layout, piece by piece."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING

import numpy as np

from qkernels import _core
from qkernels.cuda import _memory
from qkernels.cuda._library import format_number, library, row_bytes
from qkernels.cuda.tensor import Allocation, CudaTensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from qkernels.weights.qtensor import QTensor

CHUNK_BYTES = 16 << 20  # of the host's memory, while weights are copied


def device_number(device: object) -> int:
    """The number in "cuda:1", 1 or a torch.device; "cuda" is torch's current device, or 0.

    Raises:
        TypeError: not a device at all.
        ValueError: no CUDA device.
    """
    if hasattr(device, "__index__"):
        number = operator.index(device)
        if number < 0:
            raise ValueError(f"device {number} is negative")
        return number
    kind, _, text = str(device).partition(":")
    if not isinstance(device, str) and type(device).__name__ != "device":
        raise TypeError(f"device must be a str or an int, not {type(device).__name__}")
    if kind != "cuda" or (text and not text.isdecimal()) or str(device).endswith(":"):
        raise ValueError(f"device {str(device)!r} is not 'cuda' or 'cuda:<number>'")
    if text:
        return int(text)
    if "torch" in sys.modules:
        from qkernels.cuda._torch import runtime

        if runtime.usable():
            return runtime.current_device()
    return 0


def upload(
    weights: QTensor,
    device: int,
    pack: bool = True,
    allocate: Callable[[int, int], Allocation] = _memory.Memory,
) -> CudaTensor:
    """Copy a matrix to a device, packed on the way in pieces of bounded size. Blocks.

    Args:
        weights: of shape (n, k).
        device: the device's number.
        pack: whether rows take the layout that the kernels read fastest.
        allocate: gives memory for (device, nbytes).

    Raises:
        ValueError: a vector, a stack of matrices, or no rows.
        IndexError: there is no such device.
        MemoryError: the device has no room.
    """
    if weights.ndim != 2:
        raise ValueError(
            f"weights of shape {weights.shape} are no matrix; move the matrices of a stack, "
            "weights[e].to('cuda'), one by one, and a vector as w.reshape(1, -1)"
        )
    n, k = weights.shape
    if n == 0:
        raise ValueError(f"weights of shape {weights.shape} are empty; a device takes one row")
    fmt, layout = format_number(weights.fmt), int(pack)
    each = row_bytes(fmt, layout, k)
    memory = allocate(device, n * each)
    try:
        _fill(memory, weights, fmt, each, pack)
        _core.check_mapped(np.asarray(weights.data))
    except BaseException:
        memory.free()
        raise
    return CudaTensor(memory, fmt, layout, (n, k))


def _fill(memory: Allocation, weights: QTensor, fmt: int, each: int, pack: bool) -> None:
    """Copy all rows, which have `each` bytes on the device, and wait until they are there."""
    n, k = weights.shape
    data = np.asarray(weights.data)
    rows = max(1, CHUNK_BYTES // each)
    host = np.empty(min(n, rows) * each, np.uint8)
    for first in range(0, n, rows):
        source = np.ascontiguousarray(data[first : first + rows])
        count = len(source)
        if pack:
            library().call(
                "pack", fmt, count, k, source.ctypes.data, source.shape[1],
                host.ctypes.data, host.nbytes,
            )  # fmt: skip
        else:
            host[: count * each] = source[:, :each].reshape(-1)
        at = memory.pointer + first * each
        _memory.to_device(memory.device, at, host.ctypes.data, count * each, 0)
    library().call("synchronize", memory.device, 0)
