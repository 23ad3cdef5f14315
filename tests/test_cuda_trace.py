"""How a profiler's trace of a call is read, on made-up traces."""

from __future__ import annotations

from typing import Any

import pytest

from cuda_check import torch_checks


def event(cat: str, name: str, ts: float, dur: float = 1.0) -> dict[str, Any]:
    return {"cat": cat, "name": name, "ts": ts, "dur": dur}


SPAN = event("user_annotation", torch_checks.CALL, 10.0, 10.0)


def test_calls_are_those_within_the_span_and_kernels_those_of_the_trace() -> None:
    calls, kernels = torch_checks.calls_in(
        [
            event("cuda_runtime", "cudaMalloc", 5.0),
            SPAN,
            {"name": "process_name", "ph": "M"},
            event("cuda_runtime", "cudaPointerGetAttributes", 11.0),
            event("cuda_runtime", "cudaLaunchKernelExC", 12.0),
            event("cuda_driver", "cuMemAlloc_v2", 13.0),
            event("kernel", "activate", 25.0),
            event("kernel", "gemv", 26.0),
            event("cuda_runtime", "cudaDeviceSynchronize", 30.0),
        ]
    )
    assert calls == ["cudaPointerGetAttributes", "cudaLaunchKernelExC", "cuMemAlloc_v2"]
    assert kernels == ["activate", "gemv"]


def test_a_trace_without_the_call_is_refused() -> None:
    with pytest.raises(ValueError, match="0 spans"):
        torch_checks.calls_in([])


@pytest.mark.parametrize(
    ("name", "forbidden"),
    [
        ("cudaMalloc", True),
        ("cudaMallocAsync", True),
        ("cudaFree", True),
        ("cudaStreamSynchronize", True),
        ("cudaDeviceSynchronize", True),
        ("cudaMemcpyAsync", True),
        ("cudaMemsetAsync", True),
        ("cuMemAlloc_v2", True),
        ("cuStreamSynchronize", True),
        ("cudaStreamCreateWithFlags", True),
        ("cudaLaunchKernelExC", False),
        ("cudaPointerGetAttributes", False),
        ("cudaGetDevice", False),
        ("cudaStreamIsCapturing", False),
    ],
)
def test_calls_that_allocate_copy_or_wait_are_forbidden(name: str, forbidden: bool) -> None:
    assert (torch_checks.FORBIDDEN.match(name) is not None) == forbidden
