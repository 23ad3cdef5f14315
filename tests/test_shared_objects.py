"""Objects that several threads use at once: nothing waits for ever, nothing is torn."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from qkernels import _core

# A model that is asked for everything by several threads; a collection of garbage may run, and
# hand the GIL to another thread, wherever Python objects are made.
HAMMER = """
import gc, sys, threading, qkernels as qk
from qkernels import _core
from qkernels.demo.random_model import random_llama
sys.setswitchinterval(1e-5)
gc.set_threshold(1)

class Slow:  # garbage whose finaliser hands over the GIL
    def __init__(self): self.me = self
    def __del__(self):
        for _ in range(200): pass

model = qk.llama.Model(random_llama(sys.argv[1]))
model.logits([5])
core, sampler = model._opened().core, _core.Sampler(0.8, 40, 0.9, 0.0, 1.3, 64, 1)
vocabulary = core.vocabulary

def forward():
    assert core.forward([7, 8], "last").shape == (vocabulary,)

def sample():
    assert 0 <= core.sample(sampler) < vocabulary
    sampler.accept(3)

def profile():
    Slow()
    core.profile()

def truncate():
    core.truncate(0)

def position():
    assert core.position >= 0

def repeat(call):
    for _ in range(150):
        try:
            call()
        except ValueError:  # the context is full, or the position gone
            core.truncate(0)

threads = [threading.Thread(target=repeat, args=(call,))
           for call in (forward, sample, profile, truncate, position, profile, sample)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done")
"""


def test_a_model_that_threads_share_neither_hangs_nor_breaks(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", HAMMER, str(tmp_path / "m.gguf")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout == "done\n", result.stderr


def test_a_mask_that_changes_while_columns_are_kept_breaks_nothing() -> None:
    """What is kept is what the mask said at one time."""
    k = 1 << 20
    x = np.ones(k, np.float32)
    keep = np.zeros(k, np.bool_)
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            np.logical_not(keep, out=keep)  # without the GIL

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(40):
            result = _core.kept_columns(x, keep, 1, True)
            assert (result == 1.0).all()
    finally:
        stop.set()
        changer.join()
