"""The open file behind a GGUFFile and its metadata, and how a pickle finds it again."""

from __future__ import annotations

import os
from typing import NamedTuple

from qkernels import _core


class Identity(NamedTuple):
    """What tells whether a path still has the file that was opened."""

    path: str
    nbytes: int
    changed: int
    """When the file was written last, in nanoseconds."""


class Source:
    """The open file that a GGUFFile and its metadata share, until it is closed."""

    __slots__ = ("core", "identity", "mmap", "path", "values")

    def __init__(
        self, path: str, core: _core.GGUF, *, mmap: bool = True, identity: Identity | None = None
    ) -> None:
        self.path = path
        self.core: _core.GGUF | None = core
        self.mmap = mmap
        self.values: dict[str, object] = {}
        if identity is None:
            status = os.stat(path)
            identity = Identity(os.path.abspath(path), core.nbytes, status.st_mtime_ns)
        self.identity = identity

    def again(self) -> Source:
        """The same file, to be closed by itself."""
        core = self.opened()
        return Source(self.path, core, mmap=self.mmap, identity=self.identity)

    def opened(self) -> _core.GGUF:
        """The file.

        Raises:
            ValueError: it is closed.
        """
        if self.core is None:
            raise ValueError(f"{self.path} is closed")
        return self.core


def open_source(path: str | os.PathLike[str], mmap: bool) -> Source:
    """Open a file.

    Raises:
        OSError, ValueError, TypeError: as `load_gguf`.
    """
    refuse_contents(path)
    name = os.fsdecode(path)
    return Source(name, _core.GGUF(name, mmap), mmap=mmap)


def reopen(identity: Identity, mmap: bool) -> Source:
    """Open the file that a pickle names.

    Raises:
        OSError: it is not there.
        ValueError: it is another file than the one that was pickled.
    """
    source = open_source(identity.path, mmap)
    found = source.identity
    if found != identity:
        what = "size" if found.nbytes != identity.nbytes else "time of change"
        raise ValueError(
            f"{identity.path} is not the file that was pickled: it has another {what}"
            f" ({found.nbytes:,} bytes, and {identity.nbytes:,} then)"
        )
    return source


def refuse_contents(path: object) -> None:
    """Say what is wrong where somebody hands in a file's bytes instead of its path.

    Raises:
        ValueError: bytes that are no path.
        TypeError: another kind of bytes.
    """
    if not isinstance(path, (bytes, bytearray, memoryview)):
        return
    start = bytes(path[:4])
    if isinstance(path, bytes) and start != b"GGUF" and b"\0" not in path:
        return
    message = f"load_gguf takes a path, and these are {len(path):,} bytes that start with {start!r}"
    raise (ValueError if isinstance(path, bytes) else TypeError)(message)
