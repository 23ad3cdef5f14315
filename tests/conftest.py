"""Fixtures that every claim is parametrised over: a new format or ISA is tested by existing."""

from collections.abc import Iterator

import pytest

import qkernels as qk
from qkernels import _core

pytest_plugins = ["fixtures_model", "worst_errors"]

ACTS = ["int16", "float32", "int8"]


@pytest.fixture(params=qk.formats())
def fmt(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ACTS)
def act(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# avxvnni_evex stands in for avxvnni on machines that lack it; both run in tests/cpp.
ISAS = qk.isas() if "avxvnni" in qk.isas() else _core.isas(for_tests=True)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.isa()
    _core.force_isa(str(request.param))
    yield str(request.param)
    _core.force_isa(before)
