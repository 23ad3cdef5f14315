"""The typed face of the extension: its stub is what the extension says, and mypy accepts all."""

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


@pytest.mark.slow
def test_the_package_is_typed() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "python/qkernels"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
