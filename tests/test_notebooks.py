"""The notebooks: two files that say the same, without results, and all of them run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
SECONDS = 300


def cells(path: Path) -> list[tuple[str, str]]:
    """(kind, source) of every cell."""
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]


def headings(path: Path) -> list[str]:
    """Those of all cells of text, with their number signs."""
    texts = (source for kind, source in cells(path) if kind == "markdown")
    return [line for text in texts for line in re.findall(r"^#+ .+$", text, re.MULTILINE)]


def test_there_are_five_notebooks_of_two_files_each() -> None:
    assert [path.stem[:3] for path in SCRIPTS] == ["01_", "02_", "03_", "04_", "05_"]
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == [
        path.stem for path in SCRIPTS
    ]


@each_script
def test_both_files_of_a_notebook_have_the_same_cells(script: Path) -> None:
    """Where this fails: jupytext --sync notebooks/*.py."""
    assert cells(script.with_suffix(".ipynb")) == cells(script)


@each_script
def test_a_notebook_is_kept_without_results(script: Path) -> None:
    notebook: dict[str, Any] = json.loads(script.with_suffix(".ipynb").read_text("utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert set(notebook["metadata"]) == {"jupytext", "kernelspec"}


@each_script
def test_a_notebook_has_a_title_and_ends_with_something_to_change(script: Path) -> None:
    first, *_, last = headings(script)
    assert first.startswith("# ")
    assert last == "## Something to change"


@each_script
def test_the_page_of_notebooks_introduces_each(script: Path) -> None:
    assert script.with_suffix("").name in (ROOT / "docs" / "notebooks.md").read_text("utf-8")


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
def test_all_notebooks_run_within_five_minutes_together(model_path: Path, tmp_path: Path) -> None:
    own = {name: str(tmp_path) for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    own |= {"JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"), "QKERNELS_MODEL": str(model_path)}
    begin = time.perf_counter()
    done = subprocess.run(
        [*nbmake(tmp_path), *(str(path.with_suffix(".ipynb")) for path in SCRIPTS)],
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    seconds = time.perf_counter() - begin
    print(f"{done.stdout}\n{done.stderr}\nall notebooks together: {seconds:.0f} s")
    assert done.returncode == 0
    assert f"{len(SCRIPTS)} passed" in done.stdout


def nbmake(folder: Path) -> list[str]:
    """The command that runs notebooks in this interpreter's kernel, which only `folder` knows of,
    and by no configuration but that of `folder`.
    """
    kernel = folder / "kernels" / "this"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "the tests' Python", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-c", str(folder / "pytest.ini")]
    options = ["--nbmake", "--nbmake-kernel=this", "--durations=0", "-p", "no:cacheprovider"]
    return [*command, *options]
