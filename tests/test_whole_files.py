"""Files that are replaced: permissions stay, links are followed, and errors name the path given."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from qkernels._base.files import replacing, whole_files
from qkernels.cli.app import app

NOBODY = 65534


def save(path: Path) -> None:
    qk.save_gguf(path, {"w": np.ones((1, 32), np.float32)})


def extract(path: Path) -> None:
    source = path.parent / "source.gguf"
    qk.save_gguf(source, {"w": qk.quantize(np.ones((2, 32), np.float32), "q8_0")})
    run("extract", source, "--tensor", "w", "--out", path)


def quantize(path: Path) -> None:
    source = path.parent / "source.gguf"
    qk.save_gguf(source, {"w.weight": np.ones((2, 32), np.float32)})
    run("quantize", source, path, "--type", "q8_0")


def run(*arguments: object) -> None:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output


def write(path: Path) -> None:
    with replacing(path) as unfinished:
        assert unfinished.name == path.name or path.is_symlink()
        unfinished.write_bytes(b"new")


WRITERS = [save, extract, quantize, write]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("bits", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_permissions(
    tmp_path: Path, writer: Callable[[Path], None], bits: int
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(bits)
    writer(path)
    assert (mode(path), path.read_bytes() == b"old") == (bits, False)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_new_file_has_the_permissions_of_any(
    tmp_path: Path, writer: Callable[[Path], None]
) -> None:
    (tmp_path / "any").touch()
    writer(tmp_path / "a.bin")
    assert mode(tmp_path / "a.bin") == mode(tmp_path / "any")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_and_its_target_is_replaced(
    tmp_path: Path, writer: Callable[[Path], None], is_there: bool
) -> None:
    target = tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    if is_there:
        target.write_bytes(b"old")
    links = [tmp_path / "first.bin", tmp_path / "second.bin"]
    links[0].symlink_to(Path("elsewhere") / "target")
    links[1].symlink_to(links[0].name)
    writer(links[1])
    assert all(link.is_symlink() for link in links)
    assert target.read_bytes() != b"old"
    assert list(target.parent.iterdir()) == [target]


def test_what_is_written_for_a_private_file_is_private_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch(0o600)
    with whole_files([path]) as (file,):
        assert mode(Path(file.name).parent) == 0o700


def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    path = tmp_path / "a"
    path.touch(0o640)
    os.chown(path, NOBODY, NOBODY)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (NOBODY, NOBODY, 0o640)


@pytest.mark.parametrize("length", [245, 255])
def test_names_may_be_as_long_as_the_system_has_them(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * length)
    for _ in range(2):
        save(path)
    assert list(qk.load_gguf(path)) == ["w"]


@contextmanager
def nobody() -> Iterator[None]:
    """For a while not to be root, who may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def no_folder(path: Path) -> Path:
    return path / "no" / "x.gguf"


def a_file_for_a_folder(path: Path) -> Path:
    (path / "file").touch()
    return path / "file" / "x.gguf"


def too_long(path: Path) -> Path:
    return path / ("x" * 256)


def a_circle(path: Path) -> Path:
    (path / "a").symlink_to("b")
    (path / "b").symlink_to("a")
    return path / "a"


@pytest.mark.parametrize("wrong", [no_folder, a_file_for_a_folder, too_long, a_circle])
def test_errors_of_the_system_name_the_path_that_was_given(
    tmp_path: Path, wrong: Callable[[Path], Path]
) -> None:
    path = wrong(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match=r"Errno") as caught:
        save(path)
    assert caught.value.filename == str(path)
    assert ".unfinished" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_named_by_the_path(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    with nobody(), pytest.raises(PermissionError) as caught:
        save(tmp_path / "a.gguf")
    assert caught.value.filename == str(tmp_path / "a.gguf")
    assert ".unfinished" not in str(caught.value)


def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fill() -> None:
        with whole_files([path]) as (file,):
            file.write(b"new")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space") as caught:
        fill()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_another_file_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, whole_files([tmp_path / "a"]):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(ValueError, match="is there, and is no regular file"):
            save(path)


def test_a_file_and_its_folder_are_on_the_disk_when_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(descriptor: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append("renamed")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    save(tmp_path / "a.gguf")
    assert [Path(what).name for what in done] == ["a.gguf", "renamed", tmp_path.name]
