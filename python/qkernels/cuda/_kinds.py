"""Which kind of array an argument is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qkernels._base.frameworks import is_torch
from qkernels.cuda import _streams
from qkernels.cuda._dlpack import DlpackArrays
from qkernels.cuda._interface import InterfaceArrays
from qkernels.cuda.device_array import DeviceArray

if TYPE_CHECKING:
    from qkernels.cuda._arrays import Arrays

INTERFACE = InterfaceArrays(DeviceArray)
DLPACK = DlpackArrays(DeviceArray)


def kind_of(x: object, what: str) -> Arrays:
    """The kind of array that x is.

    Raises:
        TypeError: it is none, or a torch tensor elsewhere than on a CUDA device.
    """
    if is_torch(x):
        from qkernels.cuda._torch import TENSORS

        TENSORS.device(x, what)  # torch without CUDA has no current stream to ask for
        return TENSORS
    if _has(x, "__cuda_array_interface__"):
        return INTERFACE
    if _has(x, "__dlpack__") and _has(x, "__dlpack_device__"):
        return DLPACK
    raise TypeError(
        f"{what} must be a torch CUDA tensor, or an array with __cuda_array_interface__ or "
        f"__dlpack__, not {type(x).__name__}"
    )


def _has(x: object, attribute: str) -> bool:
    """Whether x has it; its type is asked first, which computes nothing."""
    return hasattr(type(x), attribute) or hasattr(x, attribute)


def default_kind() -> Arrays:
    """What results are where no argument tells: torch's, if the program has imported it."""
    if "torch" in sys.modules:
        from qkernels.cuda._torch import TENSORS, runtime

        if runtime.usable():
            return TENSORS
    return INTERFACE


def stream_for(kind: Arrays, device: int, stream: Any) -> int:
    """The stream that a caller names, or the one that this kind of array would have."""
    return kind.current_stream(device) if stream is None else _streams.handle(stream)
