"""Timing the streaming kernels: one of them, or every kernel at every prefetch distance.

Products are timed where they run, in C++, so that Python is in none of the numbers. Warm weights
are one copy; cold ones rotate over more than four times the last-level cache (`bench.method`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import qkernels as qk
from qkernels import _core
from qkernels._measure.machine import last_level_cache
from qkernels._measure.memory import allocate
from qkernels._measure.method import copies_needed
from qkernels.stream.product import PackedInt8, gemv_i8, pack_for

Int8s = NDArray[np.int8]
# Bytes between two looks at signals and at the bar: some hundredths of a second.
CHUNK_BYTES = 1 << 28


class Problem(NamedTuple):
    """y = w @ x for int8 w of shape (n, k) and x of shape (k,)."""

    w: Int8s
    x: Int8s


def random_problem(n: int, k: int, seed: int = 0, weights: Int8s | None = None) -> Problem:
    """All of the 256 values, equally likely, the same for the same seed.

    Args:
        n: rows.
        k: columns.
        seed: of the random values; x does not depend on n.
        weights: int8 (n, k) in place of random ones.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, k, dtype=np.int8)
    w = rng.integers(-128, 128, (n, k), dtype=np.int8) if weights is None else weights
    return Problem(w, x)


def read_weights(path: Path, n: int, k: int) -> Int8s:
    """int8 (n, k) from a file: an .npy array of that shape, or n * k bytes, row by row.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has another size, shape or dtype, all of which are named.
    """
    if path.suffix == ".npy":
        try:
            w = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{path} is no array of numbers in NumPy's format: {error}") from None
        if w.dtype != np.int8 or w.shape != (n, k):
            raise ValueError(f"{path} has {w.dtype} {w.shape}; expected int8 ({n}, {k})")
        return np.ascontiguousarray(w)
    size = path.stat().st_size
    if size != n * k:
        raise ValueError(f"{path} has {size:,} bytes; int8 weights of {n}x{k} take {n * k:,}")
    return np.fromfile(path, np.int8, n * k).reshape(n, k)


@dataclass(frozen=True)
class Run:
    """What one kernel took.

    Attributes:
        read_bytes: of weights a product, padding included.
        seconds: for all the iterations.
        checksum: the sum of y.
        huge_pages: whether the weights lay in pages of 2 MiB, not 4 KiB.
        mismatches: of y against the scalar kernel; None where that was not asked.
    """

    kernel: str
    isa: str
    n: int
    k: int
    prefetch: int
    iterations: int
    cold: bool
    huge_pages: bool
    read_bytes: int
    seconds: float
    checksum: int
    mismatches: int | None

    @property
    def per_iteration(self) -> float:
        """Seconds a product."""
        return self.seconds / self.iterations

    @property
    def gigabytes(self) -> float:
        """10^9 bytes of weights a second."""
        return self.read_bytes / self.per_iteration / 1e9

    @property
    def gigaops(self) -> float:
        """10^9 multiplications and additions a second, those of padding not counted."""
        return 2 * self.n * self.k / self.per_iteration / 1e9

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the fields and the rates, under the names that the command prints."""
        rates = {
            "seconds_per_iteration": self.per_iteration,
            "gb_per_second": self.gigabytes,
            "gop_per_second": self.gigaops,
        }
        return vars(self) | rates


def run(
    problem: Problem,
    kernel: str,
    prefetch: int = 2,
    iterations: int = 64,
    *,
    cold: bool = False,
    huge_pages: bool = False,
    check: bool = False,
    advance: Callable[[int], object] = lambda done: None,
) -> Run:
    """Time one kernel.

    Args:
        problem: its weights are packed for the kernel first, which is not timed.
        kernel: one of `stream.KERNELS`.
        prefetch: in blocks of 16 bytes.
        iterations: products, at least 1, after one that is not timed.
        cold: whether the weights come from memory.
        huge_pages: pages of 2 MiB, at whose ends prefetchers stop less often, in place of 4 KiB.
        check: whether to count mismatches against the scalar kernel.
        advance: told of iterations as they are done.

    Raises:
        TypeError, ValueError: as `stream.gemv_i8`, or iterations below 1.
        MemoryError: the copies of cold weights do not fit.
    """
    if iterations < 1:
        raise ValueError(f"iterations={iterations}, expected at least 1")
    packed = pack_for(problem.w, kernel)
    copies = copies_of(packed, cold, huge_pages)
    _, y = _core.stream_gemv(copies, problem.x, kernel, prefetch, first=0, iterations=1)
    seconds = 0.0
    for done in range(0, iterations, chunk := max(1, CHUNK_BYTES // max(1, packed.nbytes))):
        count = min(chunk, iterations - done)
        took, y = _core.stream_gemv(copies, problem.x, kernel, prefetch, 1 + done, count)
        seconds += took
        advance(count)
    n, k = packed.shape
    y = y[:n]
    mismatches = count_mismatches(y, problem) if check else None
    checksum = int(y.sum(dtype=np.int64))
    isa = qk.info()["isa"]
    return Run(
        kernel=kernel,
        isa=isa,
        n=n,
        k=k,
        prefetch=prefetch,
        iterations=iterations,
        cold=cold,
        huge_pages=huge_pages,
        read_bytes=packed.nbytes,
        seconds=seconds,
        checksum=checksum,
        mismatches=mismatches,
    )


def copies_of(packed: PackedInt8, cold: bool, huge_pages: bool = False) -> Int8s:
    """int8 (copies, groups, pieces, rows, bytes), each copy at the start of a cache line."""
    places = places_for(packed.nbytes, cold, last_level_cache(), huge_pages)
    places[...] = packed.data.reshape(-1).view(np.uint8)
    return places.view(np.int8).reshape(-1, *packed.data.shape)


def places_for(nbytes: int, cold: bool, cache_bytes: int, huge_pages: bool) -> NDArray[np.uint8]:
    """Memory for one copy of weights, or for as many as keep them cold: uint8 (copies, nbytes)."""
    return allocate(copies_needed(nbytes, cache_bytes, cold), nbytes, huge=huge_pages)


def count_mismatches(y: NDArray[np.int32], problem: Problem) -> int:
    """How many of y's elements are not those of the scalar kernel."""
    return int(np.count_nonzero(y != gemv_i8(problem.w, problem.x, "scalar", prefetch=0)))
