"""Fixtures that every claim is parametrised over: a new format or ISA is tested by existing."""

import gc
import platform
from collections.abc import Generator, Iterator

import pytest

import qkernels as qk
from qkernels import _core
from weights import SANITIZED

pytest_plugins = ["emulated_cuda", "fixtures_model", "worst_errors"]

ACTS = ["int16", "float32", "int8"]


@pytest.fixture(params=qk.formats())
def fmt(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ACTS)
def act(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# What runs in place of an ISA on machines that lack it; where both run, tests/cpp has both.
STAND_INS = {"avxvnni_evex": "avxvnni", "amx_emulated": "amx_bf16"}
ISAS = [i for i in _core.isas(for_tests=True) if STAND_INS.get(i) not in qk.isas()]
if SANITIZED:  # tests/cpp walks through all of them; what Python adds is the same for each
    ISAS = sorted({ISAS[0], ISAS[-1]}, key=ISAS.index)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.isa()
    _core.force_isa(str(request.param))
    yield str(request.param)
    _core.force_isa(before)


@pytest.fixture
def few_objects() -> Iterator[None]:
    """Garbage collections that look at nothing older than the test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the machine lacks is told once: skips for one reason are one line of the summary."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and not hasattr(report, "wasxfail"):
        report.longrepr = ("tests", None, report.longrepr[2])  # type: ignore[assignment]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which ISAs of this build no test can have run, and what ran in their place."""
    lacking = sorted(set(_core.isas(all=True)) - set(_core.isas(for_tests=True)))
    instead = {real: name for name, real in STAND_INS.items() if name in ISAS}
    named = [f"{i} ({instead[i]} instead)" if i in instead else i for i in lacking]
    if named:
        terminalreporter.write_line(f"ISAs that this CPU cannot run: {', '.join(named)}")
    absent = sorted(set(STAND_INS) - set(_core.isas(all=True)))
    if absent and platform.machine() in ("x86_64", "AMD64"):
        names = ", ".join(absent)
        terminalreporter.write_line(f"ISAs for tests that were not built (QK_TEST_ISAS): {names}")
