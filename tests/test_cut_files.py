"""A mapped file that is cut while it is used: a ValueError that names the sizes, and no end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PREPARE = """
import os, sys, threading, numpy as np, qkernels as qk
from qkernels import _core

N, K = 4096, 1024
weights = np.ones((N, K // 32 * 18), np.uint8)
x = np.ones((8, K), np.float32)

def opened(path):
    qk.save_gguf(path, {"w": qk.QTensor(weights, "q4_0", (N, K)), "f": np.ones(1 << 20, "f4")})
    return qk.load_gguf(path)

def outcome(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    return "no error"
"""

# Reads until it is stopped, while another thread cuts the file under it.
DURING = """
for round in range(6):
    file = opened(sys.argv[1])
    w = file["w"]
    threading.Timer(0.002 * round, os.truncate, (sys.argv[1], 4096)).start()
    said = "no error"
    while said == "no error":
        said = outcome(lambda: qk.gemm(w, x, threads=1 + round % 2))
    print("shrank from" in said and "to 4096 bytes" in said, flush=True)
"""

# Everything that reads weights, after the cut: one may read zeros, none goes without a word.
AFTER = """
file = opened(sys.argv[1])
w, f = file["w"], file["f"]
rows, heads = np.arange(N), f[2048:2560].reshape(2, 4, 64)
one = qk.QTensor(np.ones((1, K // 32 * 18), np.uint8), "q4_0", (1, K))
cache = qk.KVCache(2, 64, 8)
os.truncate(sys.argv[1], 4096)
calls = {
    "dequantize": lambda: qk.dequantize(w), "get_rows": lambda: qk.get_rows(w, rows),
    "raw_ints": lambda: w.raw_ints(), "pack": lambda: w.pack(),
    "gemm": lambda: qk.gemm(w, x), "gemv": lambda: qk.gemv(w, x[0]),
    "rmsnorm_linear": lambda: qk.rmsnorm_linear(x, x[0], w),
    "swiglu_proj": lambda: qk.swiglu_proj(x, w, w),
    "quantize": lambda: qk.quantize(f.reshape(1024, 1024), "q4_0"),
    "x": lambda: qk.quantize_activations(f[1024:2048]),
    "bias": lambda: qk.gemm(one, x, bias=f[2048 : 2049]),
    "residual": lambda: qk.rmsnorm_linear(x, x[0], one, residual=f[2048:2056].reshape(8, 1)),
    "gains": lambda: qk.swiglu_proj(f[2048:3072], one, one),
    "imatrix": lambda: qk.quantize(x, "q4_0", imatrix=f[2048:3072]),
    "q": lambda: qk.attention(heads, *[np.ones((2, 4, 64))] * 2),
    "k": lambda: qk.attention_scores(np.ones((2, 4, 64)), heads),
    "rope": lambda: qk.rope(heads, 0), "cache": lambda: cache.append(heads, heads),
    "check_mapped": lambda: _core.check_mapped(f), "metadata": lambda: dict(file.metadata),
    "file": lambda: file["w"], "save": lambda: qk.save_gguf(sys.argv[1] + ".copy", {"w": w}),
}
sums = int(w.data.sum()), float(f.sum())
for name, call in calls.items():
    said = outcome(call)
    print(name, "shrank from" in said and "to 4096 bytes" in said, sep=": ", flush=True)
out = np.full((8, N), 7.0, np.float32)
print("the cache:", len(cache) == 0)
print("out:", "shrank" in outcome(lambda: qk.gemm(w, x, out=out)) and (out == 7.0).all())
"""


def run(code: str, path: Path) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PREPARE + code, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_file_that_is_cut_during_a_product_raises(tmp_path: Path) -> None:
    assert run(DURING, tmp_path / "w.gguf") == ["True"] * 6


def test_nothing_reads_a_file_that_was_cut_in_silence(tmp_path: Path) -> None:
    lines = run(AFTER, tmp_path / "w.gguf")
    assert len(lines) == 24
    assert [line for line in lines if not line.endswith(": True")] == []


def test_a_model_whose_file_is_cut_raises(tmp_path: Path) -> None:
    code = """
from qkernels.demo.random_model import random_llama
model = qk.llama.Model(random_llama(sys.argv[1]), pack=False)
print(len(model.logits([5, 6, 7])))
os.truncate(sys.argv[1], 4096)
print("shrank from" in outcome(lambda: model.logits([5, 6, 7])))
print("shrank from" in outcome(lambda: list(model.generate("a", max_tokens=3))))
"""
    assert run(code, tmp_path / "m.gguf") == ["3", "True", "True"]


@pytest.mark.parametrize("before", [True, False])
def test_pythons_own_handler_is_called_for_other_bus_errors(tmp_path: Path, before: bool) -> None:
    install = (
        "import signal; signal.signal(signal.SIGBUS, lambda *_: print('called', flush=True))\n"
    )
    load = "file = opened(sys.argv[1])\n"
    code = (install + load if before else load + install) + "os.kill(os.getpid(), signal.SIGBUS)\n"
    assert run(code, tmp_path / "w.gguf") == ["called"]
