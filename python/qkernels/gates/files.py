"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_target(path: str | os.PathLike[str]) -> None:
    """Whether a file may become `path`: worth knowing before the work that fills it.

    Raises:
        OSError: it is a folder, or its own folder is not there.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {target.parent}")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; what is there afterwards becomes `path`, unless something raised.

    Raises:
        OSError: the file's folder does not exist or cannot be written to.
    """
    check_target(path)
    target = Path(path)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as folder:
        unfinished = Path(folder) / target.name
        yield unfinished
        os.replace(unfinished, target)
