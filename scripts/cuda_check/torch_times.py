"""Times of products beside torch's: its bfloat16 matmul, and decoding followed by that.

All are captured in graphs that read other weights call after call, more than four times what L2
holds, and replays of the graphs alternate. Prints a JSON object a line.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch

from cuda_check.torch_common import Tensor, dequantize, gemv, on_device, random_weights

FORMAT = "q4_k"
SHAPES = {
    "14336x4096": (14336, 4096),
    "4096x4096": (4096, 4096),
    "32000x4096": (32000, 4096),
    "qkv_proj": (6144, 2048),
    "attention_out": (2048, 2048),
    "ffn_gate_up": (11264, 2048),
    "ffn_down": (2048, 5632),
    "lm_head": (32000, 2048),
    "128256x4096": (128256, 4096),
}
LEAST_CALLS = 16
L2_SIZES = 4
WARM_UPS = 3
REPLAYS = 21

Captured = tuple["torch.cuda.CUDAGraph", int]


def capture(calls: int, body: Callable[[int], object]) -> Captured:
    """A graph of body(0), body(1) and so on, which has run once before."""
    body(0)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in range(calls):
            body(call)
    return graph, calls


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def alternate(graphs: Sequence[Captured]) -> list[list[float]]:
    """Microseconds of a call in each replay of each graph, in ascending order."""
    events = []
    for _ in range(WARM_UPS + REPLAYS):
        for graph, _calls in graphs:
            events.append(_event())
            graph.replay()
    events.append(_event())
    torch.cuda.synchronize()
    times: list[list[float]] = [[] for _ in graphs]
    for i in range(WARM_UPS * len(graphs), len(events) - 1):
        of = i % len(graphs)
        times[of].append(1e3 * events[i].elapsed_time(events[i + 1]) / graphs[of][1])
    return [sorted(each) for each in times]


def copies(nbytes: int) -> int:
    """How many matrices of so many bytes pass four times the size of L2."""
    l2 = torch.cuda.get_device_properties(0).L2_cache_size
    return int(L2_SIZES * l2 // nbytes + 1)


def spread(prefix: str, times: Sequence[float]) -> dict[str, float]:
    """The median and the quartiles."""
    quarter = len(times) // 4
    return {
        f"{prefix}us": statistics.median(times),
        f"{prefix}lower_us": times[quarter],
        f"{prefix}upper_us": times[-1 - quarter],
    }


def measure(shape: str, n: int, k: int) -> list[dict[str, Any]]:
    """A line for each kind of activations."""
    weights = random_weights(FORMAT, n, k)
    nbytes = weights.data.nbytes
    held = [on_device(weights) for _ in range(copies(nbytes))]
    wide: list[Tensor] = [
        torch.randn(n, k, device="cuda", dtype=torch.bfloat16) for _ in range(copies(2 * n * k))
    ]
    x = torch.randn(k, device="cuda")
    x16 = x.bfloat16()
    y = torch.empty(n, device="cuda")
    y16 = torch.empty(n, device="cuda", dtype=torch.bfloat16)
    decoded = torch.empty(n, k, device="cuda", dtype=torch.bfloat16)

    def ours(act: str) -> Captured:
        return capture(max(LEAST_CALLS, len(held)), lambda i: gemv(held[i % len(held)], x, act, y))

    def decode_and_multiply(call: int) -> None:
        dequantize(held[call % len(held)], decoded)
        torch.mv(decoded, x16, out=y16)

    graphs = [
        ours("int8"),
        ours("int16"),
        capture(max(LEAST_CALLS, len(wide)), lambda i: torch.mv(wide[i % len(wide)], x16, out=y16)),
        capture(max(LEAST_CALLS, len(held)), decode_and_multiply),
    ]
    int8, int16, bf16, decoding = alternate(graphs)
    about = {"what": "torch", "shape": shape, "n": n, "k": k, "format": FORMAT, "bytes": nbytes}
    beside = {**spread("torch_bf16_", bf16), **spread("dequantize_matmul_", decoding)}
    return [
        {**about, "act": act, **spread("", times), **beside}
        for act, times in (("int8", int8), ("int16", int16))
    ]


def main() -> None:
    """Measures all shapes, the most wanted first."""
    for shape, (n, k) in SHAPES.items():
        for line in measure(shape, n, k):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
