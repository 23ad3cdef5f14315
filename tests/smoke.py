"""What an installed qkernels does with NumPy alone: python tests/smoke.py

For interpreters and environments that the tests do not run in: needs no pytest, and nothing but
what the package itself requires. Prints a line, or raises.
"""

from __future__ import annotations

import pickle
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import qkernels as qk

N, K = 40, 512
BOUNDS = {"int16": 1e-4, "float32": 2e-6, "int8": 2e-2}


def relative_error(y: Any, exact: Any) -> float:
    return float(np.linalg.norm(y - exact) / np.linalg.norm(exact))


def quantised() -> Iterator[qk.QTensor]:
    """Weights of each format that there is a quantiser for."""
    floats = np.random.default_rng(0).standard_normal((N, K), np.float32)
    for fmt in qk.formats():
        if qk.can_quantize(fmt):
            yield qk.quantize(floats, fmt)


def check_products(w: qk.QTensor) -> None:
    x = np.random.default_rng(1).standard_normal((17, K), np.float32)
    dense = qk.dequantize(w).astype(np.float64)
    for weights in (w, w.pack()):
        for act, bound in BOUNDS.items():
            for m in (1, 5, 17):
                y = qk.gemm(weights, x[:m], act=act)
                assert relative_error(y, x[:m] @ dense.T) < bound, (w.fmt, act, m)
        assert (qk.get_rows(weights, [3, 1, 3]) == dense[[3, 1, 3]]).all(), w.fmt
    assert (qk.gemv(w, x[0], threads=1) == qk.gemv(w, x[0], threads=3)).all(), w.fmt
    assert (pickle.loads(pickle.dumps(w)).dequantize() == dense).all(), w.fmt


def check_file(tensors: dict[str, qk.QTensor]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.gguf"
        qk.save_gguf(path, tensors, {"general.name": "some"})
        with qk.load_gguf(path) as file:
            assert file.metadata["general.name"] == "some"
            for name, w in tensors.items():
                assert (np.asarray(file.unpacked(name).data) == np.asarray(w.data)).all(), name


def refusal(call: Callable[[], object], error: type[Exception]) -> str:
    """What a call says that is to raise."""
    try:
        call()
    except error as raised:
        return str(raised)
    raise AssertionError("a wrong call was taken")


def check_refusals(w: qk.QTensor) -> None:
    short, imaginary = np.ones(K - 1, np.float32), np.ones(K, np.complex64)
    assert f"x has k={K - 1}" in refusal(lambda: qk.gemv(w, short), ValueError)
    assert "x has dtype <c8" in refusal(lambda: qk.gemv(w, imaginary), TypeError)


def main() -> None:
    tensors = {w.fmt: w for w in quantised()}
    assert len(tensors) > 15, sorted(tensors)
    for w in tensors.values():
        check_products(w)
    # q8_1 and q8_ks are in no file.
    check_file({fmt: w for fmt, w in tensors.items() if fmt not in ("q8_1", "q8_ks")})
    check_refusals(tensors["q4_k"])
    heads = np.random.default_rng(2).standard_normal((2, 5, 16), np.float32)
    assert np.isfinite(qk.attention(heads, heads, heads, causal=True)).all()
    files = {name.partition(".")[0] for name, module in sys.modules.items()
             if getattr(module, "__file__", None) and not name.startswith("_")}  # fmt: skip
    others = files - {"numpy", "qkernels", "sitecustomize"} - set(sys.stdlib_module_names)
    assert not others, f"imported beside NumPy: {sorted(others)}"
    print(f"Python {platform.python_version()}, NumPy {np.__version__}: {len(tensors)} formats")


if __name__ == "__main__":
    main()
