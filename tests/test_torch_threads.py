"""Calls with tensors run on torch's threads, as many as it uses. In processes that start anew."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

# `new()` tells how many threads of the process there are that were not there the last time.
SETUP = """
import os
import numpy as np, torch
import qkernels as qk
w = qk.quantize(np.ones((512, 512), np.float32), "q4_0").pack(threads=1)
x = np.ones((4, 512), np.float32)
seen = set(os.listdir("/proc/self/task"))
def new():
    global seen
    now = set(os.listdir("/proc/self/task"))
    count, seen = len(now - seen), now
    return count
def twice(a):  # memory enough for torch to use all of its threads
    return (torch.ones(1 << 20) * a).sum()
"""


def run(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", SETUP + code]
    env = {k: v for k, v in os.environ.items() if not k.endswith("_THREADS")} | environment
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_tensor_starts_no_threads_beside_those_of_torch() -> None:
    code = """
torch.set_num_threads(3)
twice(2.0); new()
of_torch = qk.gemm(w, torch.from_numpy(x)); a = new()
of_numpy = qk.gemm(w, x, threads=3); b = new()
assert np.array_equal(of_torch.numpy(), of_numpy)
print(a, b > 0)
"""
    assert run(code) == "0 True"


@pytest.mark.parametrize(
    ("choice", "threads"),
    [
        ("torch.set_num_threads(1)", 1),
        ("torch.set_num_threads(5)", 5),
        ("torch.set_num_threads(5); qk.set_num_threads(2)", 5),  # all come, and two work
        ("torch.set_num_threads(1); qk.set_num_threads(3)", 1),
    ],
)
def test_torch_says_how_many_threads_there_are(choice: str, threads: int) -> None:
    # The choice itself may start threads of torch, of another of its pools.
    code = f"{choice}; new()\nqk.gemm(w, torch.from_numpy(x)); print(new())"
    assert run(code) == str(threads - 1)


def test_an_operator_inside_a_forked_child_does_not_wait_for_torchs_threads() -> None:
    code = """
torch.set_num_threads(2)
tensor = torch.from_numpy(x)
twice(2.0); want = qk.gemm(w, tensor)
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(qk.gemm(w, tensor), want) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code) == "0"
