"""Fixtures that every claim is parametrised over: a new format or ISA is tested by existing."""

import gc
import platform
from collections.abc import Generator, Iterator

import pytest

from axes import ACTS, FORMATS, ISAS, STAND_INS
from qkernels import _core
from unsanitized import leave_out
from weights import SANITIZED

pytest_plugins = ["emulated_cuda", "fixtures_model", "worst_errors"]


@pytest.fixture(params=FORMATS)
def fmt(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ACTS)
def act(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.isa()
    _core.force_isa(str(request.param))
    yield str(request.param)
    _core.force_isa(before)


@pytest.fixture(scope="module")
def few_objects() -> Iterator[None]:
    """Garbage collections that look at nothing older than the module's tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under sanitizers, only what they may see something new in."""
    if SANITIZED and (left_out := leave_out(items)):
        config.hook.pytest_deselected(items=left_out)


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
