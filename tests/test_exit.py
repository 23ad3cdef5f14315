"""A process ends as it should while its threads are in the middle of any operator."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Children of one process that has everything ready: each starts threads that compute for ever, and
# falls off the end of the program.
CODE = """
import os, sys, threading, time, warnings
from pathlib import Path
import qkernels as qk
from every_operator import every_operator

def repeat(call, threads):
    with qk.num_threads(threads):
        while True:
            call()

def ends(call, threads):
    child = os.fork()
    if child == 0:
        for count in threads:
            threading.Thread(target=repeat, args=(call, count), daemon=True).start()
        time.sleep(0.02)
        return None
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

warnings.simplefilter("ignore")
for name, call in every_operator(Path(sys.argv[1])).items():
    with qk.num_threads(1):
        call()
    code = ends(call, [1, 2])
    if code is None:
        break
    print(name, code, sep=": ", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the program forks")
def test_a_daemon_thread_in_any_operator_lets_the_process_end(tmp_path: Path) -> None:
    """Its threads are left where they are, as NumPy's are; the exit status is the program's."""
    result = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    codes = dict(line.split(": ") for line in result.stdout.splitlines())
    assert len(codes) > 20, result.stderr
    assert {name: c for name, c in codes.items() if c != "0"} == {}
