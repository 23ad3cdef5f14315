"""The lock of a model's sequence, which one generation at a time holds."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SequenceLock:
    """A lock that is held for a whole generation, by the thread that began it.

    Another thread waits for it, and Ctrl-C interrupts the waiting. The thread that holds it gets an
    error instead of waiting for itself. A forked child waits for no thread of its parent, which
    would never release it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._process = os.getpid()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock inside a `with` block.

        Raises:
            RuntimeError: this thread holds it already.
        """
        if self._process != os.getpid():
            self._process = os.getpid()
            if self._owner != threading.get_ident():
                self._lock = threading.Lock()
        if not self._lock.acquire(blocking=False):
            if self._owner == threading.get_ident():
                raise RuntimeError(
                    "this thread is in the middle of a generation with this model: exhaust its"
                    " iterator, or close() it, before the next"
                )
            self._lock.acquire()
        self._owner = threading.get_ident()
        try:
            yield
        finally:
            self._owner = None
            self._lock.release()
