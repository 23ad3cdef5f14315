"""A child that is forked while other threads compute: objects that they use are usable in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, threading, time, warnings
import numpy as np, qkernels as qk
from qkernels.demo.random_model import random_llama

warnings.simplefilter("ignore")
messages = [{"role": "user", "content": "x"}]
template = qk.llama.ChatTemplate("{{ messages[0].content }}")
model = qk.llama.Model(random_llama(sys.argv[1]))
heads = np.ones((2, 64, 64), np.float32)
cache = qk.KVCache(2, 64, 128)
cache.append(heads, heads)

def append():
    cache.truncate(64)
    cache.append(heads, heads)

uses = {
    "template": lambda: template.render(messages),
    "model": lambda: model.logits([5, 6, 7]),
    "cache": append,
}
use = uses[sys.argv[2]]
use()
stop = threading.Event()

def work():
    while not stop.is_set():
        use()

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(8):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # which ends a child that hangs
        use()
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
stop.set()
"""


@pytest.mark.parametrize("use", ["template", "model", "cache"])
def test_a_forked_child_uses_what_threads_of_its_parent_were_using(
    tmp_path: Path, use: str
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "m.gguf"), use],
        capture_output=True,
        text=True,
        timeout=250,
        env=os.environ,
    )
    assert (result.returncode, result.stdout.split()) == (0, ["0"] * 8), result.stderr
