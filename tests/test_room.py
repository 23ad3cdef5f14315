"""The memory that there is for keys and values, and the context that fits it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qkernels.demo.random_model import CONFIG
from qkernels.llama import LlamaConfig, Model, options
from qkernels.llama.options import fitting_context
from qkernels.llama.room import available_bytes, cache_bytes

GIB = 1 << 30


def made_for(context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have models believe that they were made for so many tokens."""
    config = replace(CONFIG, context=context)
    monkeypatch.setattr(LlamaConfig, "_read", classmethod(lambda *_: config))


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with 16 GiB available, of which nothing is in a control group."""
    write(tmp_path, proc__meminfo=f"MemTotal: 9 kB\nMemAvailable: {16 << 20} kB\n")
    return tmp_path


def group(folder: Path, limit: int | str, used: int, files: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\ninactive_file {files}\n")


def test_without_control_groups_it_is_what_the_system_says(root: Path) -> None:
    assert available_bytes(root) == 16 * GIB


def test_the_smallest_of_the_groups_around_a_process_counts(root: Path) -> None:
    write(root, proc__self__cgroup="0::/a/b\n")
    top = root / "sys/fs/cgroup"
    group(top / "a/b", "max", 5 * GIB)
    assert available_bytes(root) == 16 * GIB
    group(top / "a", 8 * GIB, 5 * GIB, files=GIB)
    assert available_bytes(root) == 4 * GIB
    group(top / "a/b", 3 * GIB, 2 * GIB)
    assert available_bytes(root) == GIB
    group(top / "a/b", 3 * GIB, 4 * GIB)
    assert available_bytes(root) == 0


def test_the_group_of_a_container_is_the_top_one(root: Path) -> None:
    write(root, proc__self__cgroup="0::/docker/0123\n")
    group(root / "sys/fs/cgroup", 2 * GIB, GIB)
    assert available_bytes(root) == GIB


@pytest.mark.parametrize("limit", [2 * GIB, 9223372036854771712])
def test_groups_of_version_1_count_too(root: Path, limit: int) -> None:
    write(root, proc__self__cgroup="5:cpu,cpuacct:/x\n4:memory:/x\n")
    folder = root / "sys/fs/cgroup/memory/x"
    write(folder, **{"memory.usage_in_bytes": f"{GIB}", "memory.limit_in_bytes": f"{limit}"})
    write(folder, **{"memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 2}\n"})
    assert available_bytes(root) == (3 * GIB // 2 if limit < 16 * GIB else 16 * GIB)


def test_a_limit_of_addresses_counts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="this system has no such limits")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (3 * GIB, -1))
    monkeypatch.setattr(resource, "getpagesize", lambda: 4096)
    write(root, proc__self__statm=f"{GIB // 4096} 1 1 1 0 1 0\n")
    assert available_bytes(root) == 2 * GIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine_has_some() -> None:
    available = available_bytes()
    assert available is not None
    assert available > 0


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("context", [16, 160, 512])
def test_the_bytes_are_those_of_the_core(random_model_path: Path, dtype: str, context: int) -> None:
    with Model(random_model_path, cache_dtype=dtype, max_context=context) as model:
        assert model._opened().core.cache_bytes(context) == cache_bytes(CONFIG, dtype, context)


def test_a_context_that_does_not_fit_is_cut_with_a_warning(
    random_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_for(1 << 40, monkeypatch)
    monkeypatch.setattr(options, "available_bytes", lambda: 1 << 30)
    with pytest.warns(UserWarning, match=r"the context is 262,144 tokens: .* max_context \(--con"):
        model = Model(random_model_path)
    assert cache_bytes(model.config, "float16", model.context) == 1 << 29
    assert "".join(model.generate("The", 2))


def test_a_context_that_fits_is_the_models_own(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = cache_bytes(CONFIG, "float16", CONFIG.context)
    monkeypatch.setattr(options, "available_bytes", lambda: 2 * needed)
    assert fitting_context(CONFIG, "float16", []) == CONFIG.context
    monkeypatch.setattr(options, "available_bytes", lambda: None)
    assert fitting_context(CONFIG, "float16", []) == CONFIG.context
    for available in (2 * needed - 1, needed // 8, 1, 0):
        monkeypatch.setattr(options, "available_bytes", lambda available=available: available)
        notes: list[str] = []
        context = fitting_context(CONFIG, "float16", notes)
        assert [note.split(" tokens")[0] for note in notes] == [f"the context is {context:,}"]
        assert 1 <= context < CONFIG.context
        assert context == 1 or 2 * cache_bytes(CONFIG, "float16", context) <= available


@pytest.mark.parametrize("context", [1 << 40, (1 << 62) - 1, (1 << 63) - 1])
def test_a_context_that_cannot_be_had_says_what_to_ask_for(
    random_model_path: Path, context: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_for(context, monkeypatch)
    with pytest.raises(MemoryError, match=rf"{context:,} tokens take .* GiB, .* max_context \(--"):
        Model(random_model_path, max_context=context)
