"""Where weights lie: all candidates' in pages of the same kind.

Pages of 2 MiB instead of 4 KiB make reading up to half as fast again, since prefetchers stop at the
end of a page. Which ones an allocation gets depends on its size and on the library that makes it,
so a comparison without this module would be one of allocators. Small pages are the default: those
of a memory-mapped file are small.
"""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

from qkernels._measure.method import Array

LINE = 64
# Linux's advice for madvise; where the system has no such call, memory stays as it is.
MADV_HUGEPAGE, MADV_NOHUGEPAGE = 14, 15


def advise(address: int, nbytes: int, huge: bool) -> None:
    """Ask for huge or small pages for all whole pages of some memory that is not yet in use."""
    start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    whole = (address + nbytes - start) // mmap.PAGESIZE * mmap.PAGESIZE
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is None or whole <= 0:
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    # A kernel without huge pages refuses; its pages are all small.
    madvise(start, whole, MADV_HUGEPAGE if huge else MADV_NOHUGEPAGE)


def allocate(count: int, nbytes: int, huge: bool) -> Array:
    """uint8 (count, nbytes) of zeros, each of the rows at the start of a cache line.

    Raises:
        MemoryError: the system refuses so much.
    """
    stride = -(-nbytes // LINE) * LINE
    try:
        # Private: shared anonymous memory has a switch for huge pages of its own.
        memory = mmap.mmap(-1, count * stride, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{count} copies of {nbytes:,} bytes: {error}") from None
    whole = np.frombuffer(memory, np.uint8)
    advise(whole.ctypes.data, whole.nbytes, huge)
    return whole.reshape(count, stride)[:, :nbytes]
