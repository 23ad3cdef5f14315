"""Every notebook runs from top to bottom."""

import runpy
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.py"))


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QKERNELS_MODEL", str(model_path))
    result = runpy.run_path(str(notebook))
    assert result["errors"]["int16"] < 1e-4


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
