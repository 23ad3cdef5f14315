"""Streams as numbers: a `cudaStream_t` is a pointer, and 0 the default one."""

from __future__ import annotations

import operator
from typing import Any

from qkernels.cuda._library import library

LEGACY_DEFAULT = 1  # what CUDA, DLPack and __cuda_array_interface__ also call the default stream


def handle(stream: Any) -> int:
    """The number of a stream that a caller names.

    Args:
        stream: a number, or an object with `__cuda_stream__()`, `.cuda_stream` (torch) or `.ptr`
            (CuPy).

    Raises:
        TypeError: it is none of these.
        ValueError: a negative number.
    """
    if hasattr(stream, "__cuda_stream__"):
        stream = stream.__cuda_stream__()[1]
    for attribute in ("cuda_stream", "ptr"):
        stream = getattr(stream, attribute, stream)
    try:
        number = operator.index(stream)
    except TypeError:
        raise TypeError(f"stream must be a stream or its number, not {stream!r}") from None
    if number < 0:
        raise ValueError(f"stream={number} is negative")
    return number


def same(a: int, b: int) -> bool:
    """Whether two numbers mean the same stream."""
    return (a or LEGACY_DEFAULT) == (b or LEGACY_DEFAULT)


def wait(device: int, stream: int, other: int | None) -> None:
    """Let a stream start what it is given next after what `other` was given until now.

    The host does not wait. None stands for no stream: there is nothing to wait for.
    """
    if other is not None and not same(stream, other):
        library().call("wait", device, stream, other)


def synchronize(device: int, stream: int) -> None:
    """Block until a stream has done all that it was given."""
    library().call("synchronize", device, stream)
