"""Memory that a call needs while it runs, for arrays of those who have no allocator for it.

Each stream of a device has its own, which is kept: a call of no greater size allocates nothing, and
what a graph has captured stays where it is. Launches that share it follow each other on the stream.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qkernels.cuda._memory import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_BYTES = 1 << 16

_lock = threading.RLock()
_kept: dict[tuple[int, int], list[Memory]] = {}  # by device and stream, ascending in size


@contextmanager
def shared(device: int, stream: int, nbytes: int) -> Iterator[int]:
    """The address of at least nbytes, for launches on a stream that are made meanwhile.

    Other threads' launches wait for these to be made, so that no two calls mix on one stream.
    """
    with _lock:
        kept = _kept.setdefault((device, stream), [])
        if not kept or kept[-1].nbytes < nbytes:
            size = max(LEAST_BYTES, 1 << (nbytes - 1).bit_length())
            kept.append(Memory(device, size))
        yield kept[-1].pointer
