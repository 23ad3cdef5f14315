"""Device memory of ours: allocated and freed once, and refused afterwards."""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from contextlib import suppress
from ctypes import byref

from qkernels.cuda._library import CudaError, library

# CUDA's numbers for what it refuses while a stream records a graph.
CAPTURE_ERRORS = range(900, 910)
# Memory that could not be given back for that reason, by device and address.
_later: deque[tuple[int, int]] = deque()


def _release(device: int, pointer: int) -> None:
    """Free memory, or keep it for the next time where a graph is being recorded.

    Raises:
        CudaError: CUDA refuses for another reason.
    """
    try:
        library().call("free", device, pointer)
    except CudaError as error:
        if error.number not in CAPTURE_ERRORS:
            raise
        _later.append((device, pointer))


def _release_what_was_kept() -> None:
    kept = []
    with suppress(IndexError):  # empty; another thread may take some too
        while True:
            kept.append(_later.popleft())
    for device, pointer in kept:
        _release(device, pointer)


class Memory:
    """Bytes on a device, freed with `free()` or when nothing refers to them any more.

    Where CUDA frees nothing, as a stream records a graph, they are freed by a later allocation.

    Args:
        device: the device's number.
        nbytes: at least 1.

    Raises:
        MemoryError: the device has no room.
    """

    __slots__ = ("__weakref__", "_finalizer", "_pointer", "device", "nbytes")

    def __init__(self, device: int, nbytes: int) -> None:
        _release_what_was_kept()
        pointer = ctypes.c_void_p()
        library().call("malloc", device, nbytes, byref(pointer))
        self.device = device
        self.nbytes = nbytes
        self._pointer = pointer.value or 0
        self._finalizer = weakref.finalize(self, _release, device, self._pointer)
        # When the process ends its memory goes back anyway, and the driver may be gone before.
        self._finalizer.atexit = False

    @property
    def pointer(self) -> int:
        """The address.

        Raises:
            ValueError: the memory was freed.
        """
        if self.freed:
            raise ValueError(f"{self.nbytes} bytes of device {self.device} were used after free()")
        return self._pointer

    @property
    def freed(self) -> bool:
        """Whether the memory is no longer there."""
        return not self._finalizer.alive

    def free(self) -> None:
        """Give the memory back; a second time does nothing. CUDA waits for the device first."""
        self._finalizer()


def to_device(device: int, pointer: int, host: int, nbytes: int, stream: int) -> None:
    """Copy from the host's memory; what lies there may change when this returns.

    Pageable memory is taken in before CUDA returns, so only pinned memory would need waiting for.
    """
    library().call("copy", device, pointer, host, nbytes, stream)


def to_host(device: int, host: int, pointer: int, nbytes: int, stream: int) -> None:
    """Copy to the host's memory, and wait until it is there."""
    library().call("copy", device, host, pointer, nbytes, stream)
    library().call("synchronize", device, stream)
