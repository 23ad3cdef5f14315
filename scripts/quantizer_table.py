"""Measure qkernels' quantisers beside ggml's: how wrong the weights become, and how fast.

    python scripts/quantizer_table.py                 # every format that both have
    python scripts/quantizer_table.py q4_k iq4_xs     # these

Error: our squared error over ggml's, on Gaussian, Laplacian and a real model's weights; with an
importance matrix both take it, and squared errors are weighted by it. 1 is as good as ggml, and
less is better. "same" are equal bytes.

Speed: ggml's time over ours for the same matrix in memory, one thread each, in turns A B B A, so
that drift falls on both alike: the median ratio of the rounds, and half their interquartile range
in percent of it.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import qkernels as qk
from ggml_quantizers import by_ggml
from qkernels import _core, models

NDArray = np.ndarray[Any, Any]

FORMATS = [
    fmt
    for fmt in qk.formats()
    if qk.can_quantize(fmt)
    and not (info := _core.format_info(fmt)).is_float
    and info.gguf_id is not None
]
WITHOUT_IMPORTANCE = {fmt for fmt in FORMATS if not qk.can_quantize(fmt, imatrix=True)}
ROWS, DEPTH = 64, 1536
LAYERS = (0, 12, 29)


@dataclass
class Speed:
    """Seconds that one thread needs for a matrix, medians, and the ratio of ggml's to ours."""

    ours: float
    ggml: float
    ratio: float
    spread: float
    """Half of the interquartile range of the rounds' ratios, over their median."""


def sources(model: Path) -> dict[str, NDArray]:
    """Weights to quantise by name: float32 (rows, 1536)."""
    rng = np.random.default_rng(0)
    made = {
        "Gaussian": rng.standard_normal((ROWS, DEPTH), np.float32),
        "Laplacian": rng.laplace(size=(ROWS, DEPTH)).astype(np.float32),
    }
    with qk.load_gguf(model) as file:
        real = [
            qk.dequantize(file.unpacked(f"blk.{layer}.ffn_down.weight"), rows=slice(0, ROWS))
            for layer in LAYERS
        ]
    return made | {"SmolLM2": np.concatenate(real)}


def importance(k: int) -> NDArray:
    """Mean squares of activations whose columns differ in size by some orders of magnitude."""
    rng = np.random.default_rng(3)
    activations = rng.standard_normal((200, k)) * np.exp(rng.standard_normal(k))
    return np.asarray((activations**2).mean(axis=0), np.float32)


def squared_error(blocks: NDArray, fmt: str, weights: NDArray, imatrix: NDArray | None) -> float:
    """Summed over all weights, each times its column's importance."""
    dense = qk.QTensor(blocks, fmt, weights.shape).dequantize()
    difference = np.asarray(dense, np.float64) - weights
    return float((difference**2 * (1 if imatrix is None else imatrix)).sum())


def error_ratio(fmt: str, weights: NDArray, imatrix: NDArray | None) -> str:
    """Our error over ggml's, in words where the bytes are equal."""
    ours = np.asarray(qk.quantize(weights, fmt, imatrix=imatrix).data)
    theirs = by_ggml(weights, fmt, imatrix)
    if np.array_equal(ours, theirs):
        return "same"
    ratio = squared_error(ours, fmt, weights, imatrix) / squared_error(
        theirs, fmt, weights, imatrix
    )
    return f"{ratio:.3f}"


def seconds(call: Callable[[], object]) -> float:
    """What a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def speed(fmt: str, weights: NDArray, imatrix: NDArray | None, rounds: int) -> Speed:
    """Time both in turns."""

    def ours() -> object:
        return _core.quantize(weights, fmt, imatrix, False, 1)

    def ggml() -> object:
        return by_ggml(weights, fmt, imatrix)

    ours(), ggml()
    times = []
    for _ in range(rounds):
        a, b, c, d = (seconds(call) for call in (ours, ggml, ggml, ours))
        times.append(((a + d) / 2, (b + c) / 2))
    mine, theirs = np.array(times).T
    low, ratio, high = np.percentile(theirs / mine, [25, 50, 75])
    return Speed(
        float(np.median(mine)), float(np.median(theirs)), float(ratio), (high - low) / 2 / ratio
    )


def row(fmt: str, tensors: dict[str, NDArray], rounds: int) -> list[str]:
    """A format's line: errors, then speeds, without and with importance."""
    imatrix = importance(DEPTH)
    ways = [None] if fmt in WITHOUT_IMPORTANCE else [None, imatrix]
    cells = [error_ratio(fmt, weights, way) for way in ways for weights in tensors.values()]
    cells += ["-"] * (2 * len(tensors) - len(cells))
    weights = tensors["Gaussian"]
    for way in ways:
        found = speed(fmt, weights, way, rounds)
        rate = weights.size / found.ours / 1e6
        cells += [f"{found.ratio:.1f} ±{100 * found.spread:.0f}%", f"{rate:.0f}"]
    return [fmt, *cells, *["-"] * (2 * (2 - len(ways)))]


def cpu_name() -> str:
    """The processor, as the system names it, and the ISA whose code runs."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {_core.isa()}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure the quantisers beside ggml's.")
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help="all by default")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of four timed calls")
    args = parser.parse_args()
    tensors = sources(models.find_model())
    heads = [*tensors, *(f"{name}, imatrix" for name in tensors)]
    heads += ["speed", "M weights/s", "speed, imatrix", "M weights/s"]
    print(f"{cpu_name()}, one thread\n")
    print(f"| format | {' | '.join(heads)} |")
    print("|---" * (len(heads) + 1) + "|")
    for fmt in args.formats or FORMATS:
        print(f"| {' | '.join(row(fmt, tensors, args.rounds))} |", flush=True)


if __name__ == "__main__":
    main()
