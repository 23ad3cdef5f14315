"""Threads and ISAs: the defaults, the choices, and what a fork leaves working."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import qkernels as qk
from qkernels import _core
from qkernels._base import threads as _threads
from weights import tensor


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_the_default_is_the_processors_this_process_may_use() -> None:
    result = run(
        "import os; os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]}); "
        "import qkernels; print(qkernels.info()['threads'])"
    )
    assert result.stdout.strip() == "1", result.stderr


FOLLOWS = """
import os, qkernels as qk, numpy as np
w = qk.QTensor(np.ones((64, 544), np.uint8), "q8_0", (64, 512))
x = np.ones(512, np.float32)

def threads_on(processors):
    os.sched_setaffinity(0, processors)
    qk.gemv(w, x)
    return qk.info()["threads"]

every = sorted(os.sched_getaffinity(0))
print([threads_on(every[:n]) == n for n in (len(every), 1, len(every))], flush=True)
"""


def test_the_default_follows_the_affinity_mask() -> None:
    assert run(FOLLOWS).stdout == "[True, True, True]\n"


def test_a_forked_child_has_a_default_of_its_own() -> None:
    code = "if (child := os.fork()) == 0:\n    print(threads_on(every[:1]), flush=True)\n"
    code += "    os._exit(0)\nos.waitpid(child, 0)\nprint(qk.info()['threads'] == len(every))\n"
    assert run(FOLLOWS + code).stdout == "[True, True, True]\n1\nTrue\n"


def threads_with(**environment: str) -> str:
    result = run("import qkernels as q; print(q.info()['threads'])", **environment)
    return result.stdout.strip() or result.stderr


@pytest.mark.parametrize(
    ("own", "of_openmp", "expected"),
    [
        ("7", "3", 7), ("", "3", 3), ("", "3,2", 3), ("256", "", 256), ("", "1000", 256),
    ],
)  # fmt: skip
def test_the_environment_sets_the_default(own: str, of_openmp: str, expected: int) -> None:
    assert threads_with(QKERNELS_THREADS=own, OMP_NUM_THREADS=of_openmp) == str(expected)


@pytest.mark.parametrize("value", ["0", "many", "3x"])
def test_openmps_variable_is_ignored_where_it_is_no_number(value: str) -> None:
    usual = run("import os; print(len(os.sched_getaffinity(0)))").stdout.strip()
    assert threads_with(QKERNELS_THREADS="", OMP_NUM_THREADS=value) == usual


@pytest.mark.parametrize("value", ["0", "257", "4,2", "9" * 20])
def test_a_wrong_number_of_threads_is_a_clear_error_at_import(value: str) -> None:
    error = threads_with(QKERNELS_THREADS=value)
    message = f"ImportError: QKERNELS_THREADS='{value}' is not a number of threads, 1 to 256"
    assert message in error


def test_set_num_threads_is_heard_before_the_environment() -> None:
    code = "import qkernels as q; q.set_num_threads(5); print(q.info()['threads'])"
    assert run(code, QKERNELS_THREADS="7", OMP_NUM_THREADS="3").stdout == "5\n"


def test_num_threads_holds_inside_its_block_and_thread() -> None:
    before = _threads.current()
    seen: list[int] = []
    with qk.num_threads(3):
        assert _threads.current() == 3
        with qk.num_threads(5):
            assert _threads.current() == 5
        assert _threads.current() == 3
        other = threading.Thread(target=lambda: seen.append(_threads.current()))
        other.start()
        other.join()
    assert seen == [before]
    assert _threads.current() == before


def test_set_num_threads_sets_the_default() -> None:
    result = run("import qkernels as q; q.set_num_threads(5); print(q.info()['threads'])")
    assert result.stdout.strip() == "5", result.stderr


def test_a_fork_after_use_leaves_both_processes_working() -> None:
    code = """
import os, numpy as np, qkernels as qk
w = qk.QTensor(np.ones((4096, 544), np.uint8), "q8_0", (4096, 512))
x = np.ones(512, np.float32)
expected = qk.gemv(w, x, threads=4)
pid = os.fork()
same = all(np.array_equal(qk.gemv(w, x, threads=4), expected) for _ in range(50))
if pid == 0:
    os._exit(0 if same else 1)
_, status = os.waitpid(pid, 0)
print(same, os.waitstatus_to_exitcode(status))
"""
    assert run("import warnings; warnings.simplefilter('ignore')\n" + code).stdout == "True 0\n"


def test_ctrl_c_ends_a_loop_of_products_and_leaves_them_working() -> None:
    """SIGINT reaches Python between two calls, whichever thread is busy; workers never see it."""
    code = """
import signal, time
import numpy as np, qkernels as qk
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
w = qk.QTensor(np.ones((4096, 544), np.uint8), "q8_0", (4096, 512))
x = np.ones((8, 512), np.float32)
expected = qk.gemm(w, x, threads=4)
print("ready", flush=True)
try:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        qk.gemm(w, x, threads=4)
    print("never interrupted")
except KeyboardInterrupt:
    print("interrupted", np.array_equal(qk.gemm(w, x, threads=4), expected))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    rest, _ = process.communicate(timeout=60)
    assert rest == "interrupted True\n"
    assert process.returncode == 0
    assert time.monotonic() - sent < 10


def test_isas_start_with_scalar_and_the_best_is_used() -> None:
    assert qk.isas()[0] == "scalar"
    assert set(qk.isas()) <= set(qk.info()["isas_built"])
    result = run("import qkernels as q; print(q.info()['isa'])", QKERNELS_ISA="")
    assert result.stdout.strip() == qk.isas()[-1], result.stderr


def test_an_isa_for_tests_is_not_listed() -> None:
    assert set(qk.isas()) <= set(_core.isas(for_tests=True)) <= set(_core.isas(all=True))
    assert not {"avxvnni_evex", "amx_emulated"} & set(qk.isas())


def test_the_environment_forces_an_isa(isa: str) -> None:
    result = run("import qkernels as q; print(q.info()['isa'])", QKERNELS_ISA=isa)
    assert result.stdout.strip() == isa, result.stderr


def test_an_unknown_isa_is_a_clear_error_at_import() -> None:
    result = run("import qkernels", QKERNELS_ISA="avx9")
    assert result.returncode != 0
    assert "ImportError: QKERNELS_ISA: unknown ISA 'avx9'; this build has scalar" in result.stderr


def test_an_isa_that_the_cpu_lacks_is_refused_by_its_features() -> None:
    lacking = sorted(set(_core.isas(all=True)) - set(_core.isas(for_tests=True)))
    for isa in lacking:
        with pytest.raises(ValueError, match=f"this CPU cannot run {isa}: it lacks "):
            _core.force_isa(isa)
    with pytest.raises(ValueError, match="unknown ISA 'mmx'"):
        _core.force_isa("mmx")


def test_activations_of_another_isa_are_refused() -> None:
    if len(qk.isas()) < 2:
        pytest.skip("this CPU runs one ISA only")
    weights, x = tensor("q4_0", 4, 64), np.ones(64, np.float32)
    before = _core.isa()
    try:
        _core.force_isa(qk.isas()[0])
        activations = qk.quantize_activations(x)
        assert activations.isa == qk.isas()[0]
        _core.force_isa(qk.isas()[1])
        with pytest.raises(ValueError, match="quantised for scalar; the ISA in use is"):
            qk.gemv(weights, activations)
    finally:
        _core.force_isa(before)


def test_info_names_what_runs_here() -> None:
    info = qk.info()
    assert info["isa"] in info["isas"]
    assert info["cpu"]
    assert info["threads"] >= 1
    assert info["version"] == qk.__version__


THREADPOOL = """
from threadpoolctl import threadpool_info, threadpool_limits
import os

def of_ours():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "qkernels"]
"""


@pytest.mark.parametrize(
    "order",
    [
        "{limits}import qkernels as qk",
        "import qkernels as qk\n{limits}",
        "import qkernels as qk\nfrom importlib.util import find_spec\n"
        "assert find_spec('threadpoolctl'){limits}",
    ],
)
def test_threadpoolctl_sees_and_limits_the_threads(order: str) -> None:
    code = (
        order.format(limits=THREADPOOL + "\n")
        + """
qk.set_num_threads(5)
print(of_ours(), end=" ")
with threadpool_limits(2):
    print(of_ours(), qk.info()["threads"], end=" ")
with threadpool_limits(3, user_api="qkernels"):
    print(of_ours(), end=" ")
print(of_ours(), qk.info()["threads"])
"""
    )
    assert run(code).stdout == "[5] [2] 2 [3] [5] 5\n"


def test_a_limit_of_threadpoolctl_does_not_freeze_the_default() -> None:
    code = (
        THREADPOOL
        + """
import qkernels as qk
with threadpool_limits(1):
    pass
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
print(qk.info()["threads"])
"""
    )
    assert run(code).stdout == "1\n"
