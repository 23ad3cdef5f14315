"""Files that appear whole or not at all: what is written replaces what was there in one step.

A new file lies in a hidden folder beside its place until it is whole and on the disk, and is then
renamed. It keeps the permissions of what it replaces, and the owner where the system allows that; a
link is followed, so that its target is replaced and the link stays.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what writing raises, without a path
PREFIX, SUFFIX = ".unfinished-", ".part"


@dataclass(frozen=True)
class _Place:
    """Where a file will be, and what is there."""

    given: str
    """The path as the caller has it, which messages name."""
    target: Path
    """The same without links."""
    old: os.stat_result | None


def check_target(path: str | os.PathLike[str]) -> None:
    """Whether a file may become `path`: worth knowing before the work that fills it.

    Raises:
        ValueError: there is something that is no regular file, such as a device.
        OSError: it is a folder, its own folder is not there, or a link leads to itself.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {target.parent}")
    _place(path)


def _place(path: str | os.PathLike[str]) -> _Place:
    given = os.fspath(path)
    target = Path(os.path.realpath(given))
    old = None
    try:
        old = os.stat(given)
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise
    if target.is_symlink():  # a link that leads to itself has no target
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), given)
    if old is not None and not stat.S_ISREG(old.st_mode):
        raise ValueError(f"{given} is there, and is no regular file")
    return _Place(given, target, old)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; what is there afterwards becomes `path`, unless something raised.

    The path that is yielded has the name of the file that it becomes.

    Raises:
        ValueError: there is something that is no regular file, such as a folder or a device.
        OSError: a file cannot be written there; the message names `path`.
    """
    with replacing_all([path]) as (unfinished,):
        yield unfinished


@contextmanager
def replacing_all(paths: Sequence[str | os.PathLike[str]]) -> Iterator[list[Path]]:
    """As `replacing`, for several files; all are on the disk before the first one is renamed."""
    places = [_place(path) for path in paths]
    with ExitStack() as stack:
        unfinished: list[Path] = []
        for place in places:
            with _naming(place, place.target.parent):
                folder = tempfile.mkdtemp(dir=place.target.parent, prefix=PREFIX, suffix=SUFFIX)
            stack.callback(_remove, Path(folder), place.target.name)
            unfinished.append(Path(folder) / place.target.name)
        with ExitStack() as naming:
            for place, part in zip(places, unfinished, strict=True):
                naming.enter_context(_naming(place, part.parent))
            yield unfinished
            for place, part in zip(places, unfinished, strict=True):
                _take_over(place, part)
        for place, part in zip(places, unfinished, strict=True):
            with _naming(place, part.parent):
                os.replace(part, place.target)
        for folder in {str(place.target.parent) for place in places}:
            _sync(Path(folder))


@contextmanager
def whole_files(paths: Sequence[str | os.PathLike[str]]) -> Iterator[list[IO[bytes]]]:
    """Open files that take the places of `paths` when the block is done.

    Whatever else ends the block, Ctrl-C included, leaves what was there.

    Raises:
        ValueError, OSError: as `replacing`.
    """
    with replacing_all(paths) as parts, ExitStack() as stack:
        files: list[IO[bytes]] = []
        for path, part in zip(paths, parts, strict=True):
            stack.push(_full_disk(os.fspath(path)))
            files.append(stack.enter_context(part.open("xb")))
        yield files


def _full_disk(given: str) -> Callable[..., bool]:
    """An exit handler that names the file where the disk is full, which the system does not."""

    def name(kind: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            error.filename = given
        return False

    return name


def _take_over(place: _Place, part: Path) -> None:
    """Give the new file what the old one has, and force it to the disk."""
    descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if place.old is not None:
            new = os.fstat(descriptor)
            if (new.st_uid, new.st_gid) != (place.old.st_uid, place.old.st_gid):
                with suppress(OSError):  # for the system's administrator alone
                    os.fchown(descriptor, place.old.st_uid, place.old.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(place.old.st_mode))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    """Force a folder's names to the disk, where its file system does that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(folder: Path, name: str) -> None:
    with suppress(OSError):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def _naming(place: _Place, hidden: Path) -> Iterator[None]:
    """Let errors name the path that was given where they would name something hidden."""
    try:
        yield
    except OSError as error:
        named = error.filename
        if isinstance(named, (str, bytes)) and os.fsdecode(named).startswith(str(hidden)):
            raise type(error)(error.errno, error.strerror, place.given) from error.__cause__
        raise
