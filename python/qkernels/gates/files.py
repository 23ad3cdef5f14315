"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; what is there afterwards becomes `path`, unless something raised.

    Raises:
        OSError: the file's folder does not exist or cannot be written to.
    """
    target = Path(path)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as folder:
        unfinished = Path(folder) / target.name
        yield unfinished
        os.replace(unfinished, target)
