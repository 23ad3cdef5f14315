"""How much memory there is for keys and values."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from qkernels.llama.config import LlamaConfig

_ELEMENT_BYTES = {"float16": 2, "float32": 4}
# Past every size that a system has: what a control group without a limit says, in pages or bytes.
_UNLIMITED = 1 << 60


def cache_bytes(config: LlamaConfig, cache_dtype: str, positions: int) -> int:
    """What keys and values of so many tokens take; the core rounds it up to whole panels."""
    element = _ELEMENT_BYTES[cache_dtype]
    return 2 * config.layers * config.kv_heads * config.head_dim * element * positions


def available_bytes(root: Path = Path("/")) -> int | None:
    """The memory that can be had without swapping, or None where the system does not say.

    That is what the system calls available, or less where this process has a limit of addresses
    (`ulimit -v`), or a control group that it is in, or one around it, has a limit.

    Args:
        root: where `proc` and `sys` are.
    """
    found = [
        nbytes
        for nbytes in (_of_system(root), _of_process(root), *_of_groups(root))
        if nbytes is not None
    ]
    return max(0, min(found)) if found else None


def _of_system(root: Path) -> int | None:
    lines = _text(root / "proc/meminfo").splitlines()
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    if "MemAvailable" in sizes:
        return int(sizes["MemAvailable"].split()[0]) << 10
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _of_process(root: Path) -> int | None:
    """What is left of the addresses that this process may have."""
    try:
        import resource
    except ImportError:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    taken = _text(root / "proc/self/statm").split()
    if limit == resource.RLIM_INFINITY or not taken:
        return None
    return int(limit) - int(taken[0]) * resource.getpagesize()


def _of_groups(root: Path) -> Iterator[int | None]:
    """What is left in each control group of memory that this process is in."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        mounts: tuple[str, ...]
        if controllers == "":
            mounts, names = ("", "unified"), ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            mounts, names = ("memory",), ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        for mount in mounts:
            top = root / "sys/fs/cgroup" / mount
            inner = top / path.lstrip("/")
            # In a container the path may be one that is outside of it; its own group is the top.
            for folder in {inner, *inner.parents, top}:
                if top == folder or top in folder.parents:
                    yield _left(folder, *names)


def _left(folder: Path, limit_name: str, usage_name: str) -> int | None:
    limit, usage = _text(folder / limit_name).strip(), _text(folder / usage_name).strip()
    if not limit.isdigit() or not usage.isdigit() or int(limit) >= _UNLIMITED:
        return None
    # Pages of files count as used, though they go when memory is asked for.
    files = dict(
        line.split() for line in _text(folder / "memory.stat").splitlines() if line.count(" ") == 1
    )
    reclaimable = files.get("total_inactive_file", files.get("inactive_file", "0"))
    return int(limit) - int(usage) + int(reclaimable)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
