"""What a path is not, and files that pickles name: opened again where they are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._packing import pack_all

if TYPE_CHECKING:
    from .gguf_file import GGUFFile
    from .gguf_metadata import Identity, Metadata


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


def reopen(identity: Identity, mmap: bool, packed: bool) -> GGUFFile:
    """Open the file that a pickle names.

    Raises:
        OSError: it is not there.
        ValueError: it is another file than the one that was pickled.
    """
    from .gguf_file import load_gguf

    file = load_gguf(identity.path, mmap=mmap)
    found = file._source.identity
    if found != identity:
        what = "size" if found.nbytes != identity.nbytes else "time of change"
        raise ValueError(
            f"{identity.path} is not the file that was pickled: it has another {what}"
            f" ({found.nbytes:,} bytes, and {identity.nbytes:,} then)"
        )
    if packed:
        file._packed.update(pack_all(file._matrices()))
    return file


def reopen_metadata(identity: Identity, mmap: bool) -> Metadata:
    """The metadata of the file that a pickle names; raises as `reopen`."""
    return reopen(identity, mmap, packed=False).metadata
