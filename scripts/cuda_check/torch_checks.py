"""What calls do under torch: right results, on its streams, in graphs, with nothing but launches.

Prints a JSON object for each check. Leaves with 1 when one failed.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import qkernels
from cuda_check.torch_common import ACTS, FLOATS, gemv, on_device, random_weights

BOUNDS = {"int16": 1e-4, "float32": 2e-6, "int8": 2e-2}  # as in the tests on the emulated device
SLEEP_CYCLES = 200_000_000  # a tenth of a second, about
MOST_LAUNCHES = 2
CALL = "a product"
FORBIDDEN = re.compile(r"^cu(da)?(Malloc|Mem(?!GetAttr)|Free|\w*Synchronize|StreamCreate)")

Finding = dict[str, Any]


def all_formats_are_within_their_bounds() -> Finding:
    """n = 129, k = 1280, Gaussian x, against float64 on the CPU."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1280, generator=generator)
    worst: dict[str, float] = {}
    for fmt in qkernels.formats():
        weights = random_weights(fmt, 129, 1280)
        exact = qkernels.dequantize(weights).astype(np.float64) @ x.double().numpy()
        held = on_device(weights)
        for act in ACTS:
            if fmt in FLOATS and act != "float32":
                continue
            y = gemv(held, x.cuda(), act).double().cpu().numpy()
            error = float(np.linalg.norm(y - exact) / np.linalg.norm(exact))
            assert error < BOUNDS[act], f"{fmt} {act}: {error}"
            worst[act] = max(worst.get(act, 0.0), error)
    return {"worst": worst}


def a_call_waits_for_what_its_stream_does_before() -> Finding:
    """x is written late, on another stream than the default one; the call does not wait itself."""
    weights = on_device(random_weights("q4_k", 4096, 4096))
    values = torch.randn(4096, device="cuda")
    expected = gemv(weights, values, "int16")
    x = torch.zeros_like(values)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        torch.cuda._sleep(SLEEP_CYCLES)  # type: ignore[no-untyped-call]
        x.copy_(values)
        y = gemv(weights, x, "int16")
        returned_early = not stream.query()
    stream.synchronize()
    assert returned_early, "the call returned after the stream was done"
    assert torch.equal(y, expected), "x was read before it was written"
    return {}


def a_graph_replays_to_the_bits_of_eager_calls() -> Finding:
    """Captured once, replayed 100 times with another x each."""
    weights = on_device(random_weights("q6_k", 1024, 4096))
    x = torch.randn(4096, device="cuda")
    y = torch.empty(1024, device="cuda")
    gemv(weights, x, "int16", y)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gemv(weights, x, "int16", y)
    for replay in range(100):
        x.normal_()
        expected = gemv(weights, x, "int16")
        y.zero_()
        graph.replay()
        assert torch.equal(y, expected), f"replay {replay} differs"
    return {"replays": 100}


def calls_in(events: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The CUDA calls made during the annotated call, and the kernels of the whole trace."""
    events = list(events)
    spans = [e for e in events if e.get("name") == CALL and e.get("cat") == "user_annotation"]
    if len(spans) != 1:
        raise ValueError(f"the trace has {len(spans)} spans of {CALL!r}")
    start = spans[0]["ts"]
    end = start + spans[0]["dur"]
    calls = [
        e["name"]
        for e in events
        if e.get("cat") in ("cuda_runtime", "cuda_driver") and start <= e["ts"] <= end
    ]
    return calls, [e["name"] for e in events if e.get("cat") == "kernel"]


def a_call_is_two_launches_and_nothing_else() -> Finding:
    """By torch's profiler: nothing is allocated, copied or waited for."""
    weights = on_device(random_weights("q4_k", 4096, 4096))
    x = torch.randn(4096, device="cuda")
    y = torch.empty(4096, device="cuda")
    gemv(weights, x, "int16", y)
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        with torch.profiler.record_function(CALL):
            gemv(weights, x, "int16", y)
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        calls, kernels = calls_in(json.loads(path.read_text())["traceEvents"])
    forbidden = [name for name in calls if FORBIDDEN.match(name)]
    assert not forbidden, f"the call asked for {forbidden}"
    assert 1 <= len(kernels) <= MOST_LAUNCHES, f"kernels: {kernels}"
    return {"calls": calls, "kernels": kernels}


CHECKS: tuple[Callable[[], Finding], ...] = (
    all_formats_are_within_their_bounds,
    a_call_waits_for_what_its_stream_does_before,
    a_call_is_two_launches_and_nothing_else,
    a_graph_replays_to_the_bits_of_eager_calls,
)


def main() -> int:
    """Runs every check; one that fails keeps no other from running."""
    failed = False
    for check in CHECKS:
        line: Finding = {"check": check.__name__, "status": "passed"}
        try:
            line.update(check())
        except Exception as error:
            failed = True
            line.update(status="failed", reason=f"{type(error).__name__}: {error}")
            traceback.print_exc()
        print(json.dumps(line), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
