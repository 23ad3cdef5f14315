"""The typed face of the extension: its stub is what the extension says. mypy itself is lint."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "python" / "qkernels" / "_core.pyi"


@pytest.mark.slow
def test_the_stub_is_not_stale(tmp_path: Path) -> None:
    fresh = tmp_path / "_core.pyi"
    script = ROOT / "scripts" / "make_stubs.py"
    subprocess.run([sys.executable, str(script), str(fresh)], check=True, cwd=tmp_path)
    assert fresh.read_text() == STUB.read_text(), "run python scripts/make_stubs.py"
