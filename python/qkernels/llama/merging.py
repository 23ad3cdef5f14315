"""Byte pair encoding: pieces of a text are merged, the best pair first, until none can be."""

from __future__ import annotations

import heapq
from collections.abc import Callable


def merge(text: str, rank: Callable[[str, str], float | None]) -> list[str]:
    """Split a text into the pieces that are left when nothing can be merged any more.

    Args:
        text: what begins as one piece a character.
        rank: of two neighbours, or None where they do not merge. The pair with the lowest rank is
            merged first, of equals the leftmost.
    """
    # Piece i begins at character i, and is empty once it is part of the one before it.
    pieces = list(text)
    before = list(range(-1, len(text) - 1))
    after = [*range(1, len(text)), -1]
    queue: list[tuple[float, int, int, int]] = []

    def consider(left: int, right: int) -> None:
        if left >= 0 and right >= 0:
            found = rank(pieces[left], pieces[right])
            if found is not None:
                length = len(pieces[left]) + len(pieces[right])
                heapq.heappush(queue, (found, left, right, length))

    for left in range(len(text) - 1):
        consider(left, left + 1)
    while queue:
        _, left, right, length = heapq.heappop(queue)
        union = pieces[left] + pieces[right]
        if not pieces[left] or not pieces[right] or len(union) != length:
            continue  # one of the two was merged with another piece since
        pieces[left], pieces[right] = union, ""
        after[left] = after[right]
        if after[right] >= 0:
            before[after[right]] = left
        consider(before[left], left)
        consider(left, after[left])
    return [piece for piece in pieces if piece]
