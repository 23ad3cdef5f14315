"""The table of worst errors, format by ISA, that a test run ends with.

A test reports through the fixture; reports travel with the test's own result, which is how they
come from the processes that pytest-xdist runs tests in.
"""

from collections import defaultdict
from collections.abc import Callable

import pytest

NAME = "worst error"


@pytest.fixture
def worst_error(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """worst_error(fmt, isa, act, error): one cell of the table, or a candidate for it."""

    def record(fmt: str, isa: str, act: str, error: float) -> None:
        record_property(NAME, (fmt, isa, act, error))

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One table for each kind of activations."""
    cells: dict[tuple[str, str, str], float] = defaultdict(float)
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == NAME:
                fmt, isa, act, error = value
                cells[act, fmt, isa] = max(cells[act, fmt, isa], error)
    for kind in dict.fromkeys(act for act, _, _ in cells):
        rows = sorted({fmt for act, fmt, _ in cells if act == kind})
        columns = sorted({isa for act, _, isa in cells if act == kind})
        terminalreporter.section(f"worst relative errors, act={kind}")
        terminalreporter.write_line(" " * 8 + "".join(f"{isa:>14}" for isa in columns))
        for fmt in rows:
            worst = "".join(f"{cells[kind, fmt, isa]:14.1e}" for isa in columns)
            terminalreporter.write_line(f"{fmt:8}{worst}")
