"""The measurements of the demo. Nothing here prints; every function takes what it measures.

A token's products are one matrix-vector product with every matrix of the model. Each is compared
with the way there is without qkernels: `gguf` decodes the matrix, NumPy or torch multiplies.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qkernels as qk
from qkernels._base.extras import require

ACTS = ("int16", "float32", "int8")
# A relative error needs this many outputs under its norm: a single one may cancel.
MIN_OUTPUTS = 128
# Rows of a dense matrix that are widened to float64 at a time, to bound memory.
ROWS = 4096
SEED = 0

Array = NDArray[Any]
Matrices = Mapping[str, qk.QTensor]
Vectors = Mapping[int, Array]


@dataclass(frozen=True)
class Model:
    """What is in the file."""

    path: str
    file_bytes: int
    matrices: int
    weights: int
    formats: dict[str, int]
    dense_bytes: int


@dataclass
class WorstError:
    """The largest norm(y - ref) / norm(ref) over the matrices, and the matrix that has it."""

    act: str
    error: float = 0.0
    tensor: str = ""

    def update(self, error: float, tensor: str) -> None:
        """Take over an error that is larger than all before; a NaN is larger than any number."""
        if not self.tensor or error > self.error or math.isnan(error):
            self.error, self.tensor = error, tensor


@dataclass
class Comparison:
    """All matrices against their decoded selves.

    `seconds` is the time that `gguf.dequantize` and a NumPy product took; `dense` holds the decoded
    float32 matrices where they were asked for.
    """

    errors: list[WorstError] = field(default_factory=lambda: [WorstError(act) for act in ACTS])
    seconds: float = 0.0
    dense: dict[str, Array] = field(default_factory=dict)


def matrices_of(file: qk.GGUFFile) -> dict[str, qk.QTensor]:
    """The matrices of a file, by name, as they lie in it."""
    tensors = {name: file.unpacked(name) for name in file}
    return {n: w for n, w in tensors.items() if isinstance(w, qk.QTensor) and len(w.shape) == 2}


def describe(path: Path, matrices: Matrices) -> Model:
    """Count what is in the file."""
    weights = sum(w.shape[0] * w.shape[1] for w in matrices.values())
    return Model(
        path=str(path),
        file_bytes=path.stat().st_size,
        matrices=len(matrices),
        weights=weights,
        formats=dict(Counter(w.fmt for w in matrices.values()).most_common()),
        dense_bytes=4 * weights,
    )


def gaussian_vectors(matrices: Matrices) -> dict[int, Array]:
    """One x of shape (k,), float32, for every depth k among the matrices."""
    rng = np.random.default_rng(SEED)
    depths = sorted({w.shape[1] for w in matrices.values()})
    return {k: rng.standard_normal(k, dtype=np.float32) for k in depths}


def open_seconds(path: Path, repeats: int = 9) -> float:
    """Best time to open the file, with its pages in memory."""
    return _best(lambda: qk.load_gguf(path).close(), repeats)


def reader_seconds(path: Path) -> float:
    """Time that the `gguf` package's reader takes for the same file.

    Raises:
        ValueError: it cannot read the file.
    """
    gguf = require("the comparison with the gguf package", "gguf", "cli")
    start = perf_counter()
    try:
        gguf.GGUFReader(path)
    except Exception as error:  # which ones it raises for a bad file is not defined
        raise ValueError(f"the gguf package cannot read {path}: {error}") from error
    return perf_counter() - start


def token_seconds(matrices: Matrices, vectors: Vectors, repeats: int = 15) -> float:
    """Best time of one token's products."""
    pairs = [(w, vectors[w.shape[1]]) for w in matrices.values()]

    def products() -> None:
        for w, x in pairs:
            qk.gemv(w, x)

    return _best(products, repeats)


def compare(
    matrices: Matrices, vectors: Vectors, *, keep: bool, advance: Callable[[int], object]
) -> Comparison:
    """Decode every matrix once; time that with its product, and take all errors against it.

    Args:
        matrices: (n, k) each.
        vectors: x of shape (k,) for the timed product.
        keep: whether the result holds the dense matrices.
        advance: told the weights of each matrix when it is done.

    Raises:
        NotImplementedError: the `gguf` package cannot decode a format.
    """
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    result = Comparison()
    rng = np.random.default_rng(SEED)
    for name, w in matrices.items():
        n, k = w.shape
        fmt = GGMLQuantizationType[w.fmt.upper()]
        start = perf_counter()
        dense = dequantize(np.asarray(w.data), fmt)[:, :k]
        dense @ vectors[k]
        result.seconds += perf_counter() - start

        draws = rng.standard_normal((-(-MIN_OUTPUTS // n), k), dtype=np.float32)
        exact = _float64_product(dense, draws)
        for worst in result.errors:
            y = np.stack([qk.gemv(w, x, act=worst.act) for x in draws])
            worst.update(_relative_error(y, exact), name)
        if keep:
            # torch warns about a view of the read-only file, which a float32 matrix is.
            result.dense[name] = dense if dense.flags.writeable else dense.copy()
        advance(n * k)
    return result


def torch_seconds(dense: Mapping[str, Array], vectors: Vectors, repeats: int = 9) -> float:
    """Best time of one token's products by torch, in float32 with the same number of threads."""
    import torch

    pairs = [(torch.from_numpy(w), torch.from_numpy(vectors[w.shape[1]])) for w in dense.values()]

    def products() -> None:
        for w, x in pairs:
            torch.mv(w, x)

    before = torch.get_num_threads()
    torch.set_num_threads(qk.info()["threads"])
    try:
        with torch.inference_mode():
            return _best(products, repeats)
    finally:
        torch.set_num_threads(before)


def resident_bytes() -> int | None:
    """This process's memory in use, mapped file pages included; None where /proc is not there."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    fields = dict(line.partition(":")[::2] for line in status.splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def _best(measured: Callable[[], object], repeats: int) -> float:
    measured()  # the first time pays for pages, threads and caches
    times = []
    for _ in range(repeats):
        start = perf_counter()
        measured()
        times.append(perf_counter() - start)
    # Not the median: other programs only ever add time, most to threads that wait for each other.
    return min(times)


def _float64_product(dense: Array, x: Array) -> Array:
    """x @ dense.T in float64; dense is (n, k), x is (m, k)."""
    wide = x.astype(np.float64)
    parts: Iterable[Array] = (
        wide @ dense[row : row + ROWS].astype(np.float64).T for row in range(0, len(dense), ROWS)
    )
    return np.concatenate(list(parts), axis=1)


def _relative_error(y: Array, exact: Array) -> float:
    difference = float(np.linalg.norm(y - exact))
    scale = float(np.linalg.norm(exact))
    # An all-zero matrix has only one right answer.
    return difference / scale if scale else (0.0 if difference == 0 else float("inf"))
