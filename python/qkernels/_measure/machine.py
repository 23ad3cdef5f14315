"""What a measurement has to know of the machine: its cache, and the time that others took of it."""

from __future__ import annotations

import os
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
STAT = Path("/proc/stat")
# Where the system does not tell: more than most caches, so that cold stays cold.
DEFAULT_CACHE = 64 << 20
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
STEAL_FIELD = 7  # of the "cpu" line: user nice system idle iowait irq softirq steal guest ...
FIELDS = 8  # the guests' time after them is part of "user" already


def last_level_cache(folder: Path = CACHES) -> int:
    """Bytes of the largest cache of CPU 0, as the system reports it."""
    sizes = []
    for path in folder.glob("index*/size"):
        text = path.read_text().strip()
        if text[:-1].isdigit() and text[-1] in UNITS:
            sizes.append(int(text[:-1]) * UNITS[text[-1]])
    return max(sizes, default=DEFAULT_CACHE)


def processor_ticks(path: Path = STAT) -> tuple[int, int] | None:
    """(stolen, all) ticks of all processors since the start; None where the system has no count.

    Stolen are those in which a virtual processor wanted to run and the host ran another one.
    """
    try:
        first = path.read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return None
    ticks = [int(field) for field in first[1 : FIELDS + 1] if field.isdigit()]
    if not first or first[0] != "cpu" or len(ticks) < FIELDS:
        return None
    return ticks[STEAL_FIELD], sum(ticks)


class StealMeter:
    """The share of processor time that the host took away since this was made."""

    def __init__(self, path: Path = STAT) -> None:
        self._path = path
        self._start = processor_ticks(path)

    def share(self) -> float | None:
        """Between 0 and 1; None where the system has no count."""
        now = processor_ticks(self._path)
        if now is None or self._start is None:
            return None
        stolen, total = now[0] - self._start[0], now[1] - self._start[1]
        return stolen / total if total > 0 else 0.0


def load() -> float | None:
    """How many programs wanted a processor, on average over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
