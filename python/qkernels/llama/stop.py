"""Ending a text before a stop string, wherever the pieces that it comes in are cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def before_stop(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """Yield text up to the first stop string and end there.

    What may be the beginning of a stop string is held back until the next pieces tell.

    Args:
        pieces: of the text.
        stops: strings with at least one character; none of them lets everything through.
    """
    held = ""
    for piece in pieces:
        held += piece
        found = [at for stop in stops if (at := held.find(stop)) >= 0]
        if found:
            if min(found):
                yield held[: min(found)]
            return
        safe = len(held) - max((_overlap(held, stop) for stop in stops), default=0)
        if safe:
            yield held[:safe]
            held = held[safe:]
    if held:
        yield held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`, but not all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
