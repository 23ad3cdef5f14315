"""Measure the table of the README: one product y = W x, as a user would call it.

    python scripts/measure.py [--size 2048] [--rounds 31] [--threads 2]

For each format: qkernels.gemv with each act, `gguf` dequantise + NumPy, and torch dense float32
(when installed), with the relative error of each against float64. Weights are cold: they rotate
over more memory than four last-level caches hold, so every call reads them from DRAM.
Candidates take turns within a round, in alternating order; the table shows medians, and the
spread as the quartiles' distance.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from rich.console import Console
from rich.table import Table

import qkernels as qk

NDArray = np.ndarray[Any, Any]
Candidate = Callable[[int], NDArray]

DEFAULT_CACHE = 32 << 20


def last_level_cache() -> int:
    """Bytes of the largest cache of CPU 0, as the system reports it."""
    sizes = [DEFAULT_CACHE]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        if text.endswith("K"):
            sizes.append(int(text[:-1]) << 10)
    return max(sizes)


def random_blocks(fmt: str, n: int, k: int, rng: np.random.Generator) -> NDArray:
    """uint8 (n, row_bytes) of Gaussian weights where `gguf` can quantise, else of random quants."""
    kind = gguf.GGMLQuantizationType[fmt.upper()]
    try:
        return np.asarray(gguf.quants.quantize(rng.standard_normal((n, k), np.float32), kind))
    except NotImplementedError:
        block, nbytes = gguf.GGML_QUANT_SIZES[kind]
        raw = rng.integers(0, 256, (n, k // block, nbytes), dtype=np.uint8)
        scales = rng.uniform(0.01, 0.02, (n, k // block, 2)).astype(np.float16)
        raw[..., :4] = scales.view(np.uint8)  # q4_k: d and dmin
        return raw.reshape(n, -1)


def candidates(raw: NDArray, fmt: str, x: NDArray, budget: int) -> dict[str, Candidate]:
    """Each way to compute W x; the argument counts calls, so that copies of W can take turns."""
    n, k = len(raw), len(x)
    kind = gguf.GGMLQuantizationType[fmt.upper()]
    packed = [qk.QTensor(raw.copy(), fmt, (n, k)) for _ in range(budget // raw.nbytes + 1)]

    def dequantise(i: int) -> NDArray:
        return np.asarray(
            gguf.quants.dequantize(np.asarray(packed[i % len(packed)].data), kind) @ x
        )

    def product(act: str) -> Candidate:
        return lambda i: qk.gemv(packed[i % len(packed)], x, act=act)

    ways: dict[str, Candidate] = {f"qkernels {act}": product(act)
                                  for act in ("int16", "float32", "int8")}  # fmt: skip
    ways["gguf + NumPy"] = dequantise
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(int(qk.info()["threads"]))
        one = torch.from_numpy(np.asarray(qk.dequantize(packed[0])))
        dense = [one.clone() for _ in range(budget // (4 * n * k) + 1)]
        tensor_x = torch.from_numpy(x)
        ways["torch float32"] = lambda i: (dense[i % len(dense)] @ tensor_x).numpy()
    return ways


def measure(ways: dict[str, Candidate], rounds: int) -> dict[str, NDArray]:
    """Seconds a call, (rounds,) each: A B C, C B A, A B C, ..."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds + 2):
        order = list(ways) if i % 2 == 0 else list(ways)[::-1]
        for name in order:
            begin = time.perf_counter()
            ways[name](i)
            if i >= 2:  # two rounds warm up code, pools and allocators
                times[name].append(time.perf_counter() - begin)
    return {name: np.array(values) for name, values in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048, help="n and k of the matrix")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.threads is not None:
        qk.set_num_threads(arguments.threads)
    info = qk.info()
    budget = 4 * last_level_cache()
    size = arguments.size
    rng = np.random.default_rng(0)
    x = rng.standard_normal(size, np.float32)
    table = Table(title=f"{size}x{size}, cold, {info['threads']} threads, {info['isa']}, "
                        f"{info['cpu']}")  # fmt: skip
    for heading in ("format", "way", "ms", "spread", "GB/s of blocks", "relative error"):
        table.add_column(heading, justify="left" if heading in ("format", "way") else "right")
    for fmt in ("q4_0", "q4_1", "q8_0", "q4_k"):
        raw = random_blocks(fmt, size, size, rng)
        ways = candidates(raw, fmt, x, budget)
        exact = np.asarray(qk.dequantize(raw, fmt), np.float64) @ x.astype(np.float64)
        for name, times in measure(ways, arguments.rounds).items():
            error = np.linalg.norm(ways[name](0) - exact) / np.linalg.norm(exact)
            low, median, high = np.percentile(times, [25, 50, 75])
            table.add_row(fmt, name, f"{median * 1e3:.3f}", f"{(high - low) / median:.0%}",
                          f"{raw.nbytes / median / 1e9:.1f}", f"{error:.0e}")  # fmt: skip
        table.add_section()
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
