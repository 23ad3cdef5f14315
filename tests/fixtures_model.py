"""Models for tests: the real one, fetched on first use, and a small random one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import qkernels as qk
from qkernels.demo.random_model import random_llama
from qkernels.llama import models


@pytest.fixture(scope="session")
def model_path() -> Path:
    """SmolLM2-135M; without a network the test is skipped, unless QKERNELS_REQUIRE_MODEL=1."""
    try:
        return models.find_model()
    except models.ModelUnavailable as error:
        if os.environ.get("QKERNELS_REQUIRE_MODEL") == "1":
            pytest.fail(f"QKERNELS_REQUIRE_MODEL=1, and there is no model: {error}")
        pytest.skip(f"no model: {error}")


@pytest.fixture(scope="session")
def random_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("random") / "random-llama.gguf")


@pytest.fixture
def random_model(random_model_path: Path) -> Iterator[qk.GGUFFile]:
    with qk.load_gguf(random_model_path) as file:
        yield file
