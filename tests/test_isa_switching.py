"""The ISA may change under calls: each one runs on the kernels that it found, or raises."""

import threading
import time
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from qkernels import _core
from weights import tensor

SECONDS = 0.4


@pytest.mark.skipif(len(qk.isas()) < 2, reason="this CPU runs one ISA only")
@pytest.mark.parametrize("fmt", ["q4_k", "q8_0", "iq2_xs", "f32"])
def test_no_call_mixes_the_kernels_of_two_isas(fmt: str) -> None:
    rng = np.random.default_rng(0)
    w = tensor(fmt, 40, 512)
    x = rng.standard_normal((18, 512)).astype(np.float32)
    gains = np.ones(512, np.float32)
    before = _core.isa()
    names = qk.isas()[-2:]
    packed: dict[str, Any] = {}
    for name in names:
        _core.force_isa(name)
        packed[name] = w.pack()
    calls: dict[str, Any] = {
        "gemm": lambda w: qk.gemm(w, x, threads=2),
        "gemv": lambda w: qk.gemv(w, x[0], out=np.empty(40, np.float16)),
        "out": lambda w: qk.gemm(w, x[:3], out=np.empty((3, 40), np.float32)),
        "norm": lambda w: qk.rmsnorm_linear(x, gains, w),
        "gates": lambda w: qk.swiglu_proj(x, w, w),
        "rows": lambda w: qk.get_rows(w, [1, 39], out=np.empty((2, 512), np.float32)),
        "all": lambda w: qk.dequantize(w),
        "ready": lambda w: qk.gemm(w, qk.quantize_activations(x, "float32")),
    }
    right: dict[str, list[Any]] = {}
    for name in names:
        _core.force_isa(name)
        for call, run in calls.items():
            right.setdefault(call, []).extend([run(w), run(packed[name])])
    foreign = "the ISA in use is"
    stop = threading.Event()

    def switch() -> None:
        while not stop.is_set():
            for name in names:
                _core.force_isa(name)

    thread = threading.Thread(target=switch)
    thread.start()
    refused = done = 0
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for call, run in calls.items():
                for weights in (w, *packed.values()):
                    try:
                        y = run(weights)
                    except ValueError as error:
                        if foreign not in str(error):
                            raise
                        refused += 1
                        continue
                    done += 1
                    assert any(np.array_equal(y, one) for one in right[call]), call
    finally:
        stop.set()
        thread.join()
        _core.force_isa(before)
    assert done
    assert refused
