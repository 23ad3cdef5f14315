"""Memory that is reserved at once and given out in pieces."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from qkernels.cuda._memory import Memory

if TYPE_CHECKING:
    from qkernels.cuda.tensor import Allocation

ALIGNMENT = 256  # as the device's own allocator has it


class Region:
    """Reserved memory: the first gap that is large enough is taken, and gaps that meet are one.

    Args:
        memory: all of it.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._gaps = [(0, memory.nbytes)]  # (offset, bytes), ascending, apart

    def take(self, nbytes: int) -> Block | None:
        """A piece of at least nbytes, or None where no gap is large enough."""
        size = -(-nbytes // ALIGNMENT) * ALIGNMENT
        for i, (offset, gap) in enumerate(self._gaps):
            # The last piece may end at the region's end, aligned or not.
            if gap >= nbytes:
                taken = min(size, gap)
                rest = [(offset + taken, gap - taken)] if gap > taken else []
                self._gaps[i : i + 1] = rest
                return Block(self, offset, taken, nbytes)
        return None

    def give_back(self, offset: int, size: int) -> None:
        """Make a piece a gap again."""
        merged: list[tuple[int, int]] = []
        for begin, length in sorted([*self._gaps, (offset, size)]):
            if merged and sum(merged[-1]) == begin:
                merged[-1] = (merged[-1][0], merged[-1][1] + length)
            else:
                merged.append((begin, length))
        self._gaps = merged

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """(offset, bytes) of what is free, ascending."""
        return list(self._gaps)


class Block:
    """A piece of a region, given back once."""

    __slots__ = ("__weakref__", "_finalizer", "_offset", "_region", "nbytes")

    def __init__(self, region: Region, offset: int, size: int, nbytes: int) -> None:
        self._region = region
        self._offset = offset
        self.nbytes = nbytes
        self._finalizer = weakref.finalize(self, region.give_back, offset, size)
        self._finalizer.atexit = False

    @property
    def device(self) -> int:
        """The device's number."""
        return self._region.memory.device

    @property
    def pointer(self) -> int:
        """The address.

        Raises:
            ValueError: the block or its region was freed.
        """
        if not self._finalizer.alive:
            raise ValueError(f"{self.nbytes} reserved bytes were used after they were freed")
        return self._region.memory.pointer + self._offset

    @property
    def freed(self) -> bool:
        """Whether it is no longer there."""
        return not self._finalizer.alive or self._region.memory.freed

    def free(self) -> None:
        """Give it back to the region; a second time does nothing."""
        self._finalizer()


class Pool:
    """Regions of a device, and beyond them memory of its own for each piece."""

    def __init__(self, device: int) -> None:
        self.device = device
        self._regions: list[Region] = []

    def reserve(self, nbytes: int) -> None:
        """Allocate a further region."""
        self._regions.append(Region(Memory(self.device, nbytes)))

    @property
    def reserved(self) -> int:
        """The bytes of all regions."""
        return sum(region.memory.nbytes for region in self._regions)

    @property
    def available(self) -> int:
        """The reserved bytes that are free, in gaps of any size."""
        return sum(size for region in self._regions for _, size in region.gaps)

    def allocate(self, device: int, nbytes: int) -> Allocation:
        """A piece of the first region with room for it, or memory of its own."""
        for region in self._regions:
            block = region.take(nbytes)
            if block is not None:
                return block
        return Memory(device, nbytes)

    def close(self) -> None:
        """Free all regions."""
        for region in self._regions:
            region.memory.free()
        self._regions.clear()
