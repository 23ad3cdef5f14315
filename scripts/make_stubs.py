"""Write python/qkernels/_core.pyi from the built extension.

python scripts/make_stubs.py [PATH]     (pybind11-stubgen comes with the `test` extra)
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

STUB = Path(__file__).resolve().parent.parent / "python" / "qkernels" / "_core.pyi"
HEADER = "# Written by scripts/make_stubs.py from the extension's signatures.\n"
INT = "typing.SupportsInt | typing.SupportsIndex"


def stub_text() -> str:
    """The stub of the `qkernels._core` that this interpreter imports."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "qkernels._core", "-o", folder]
        subprocess.run(command, check=True, capture_output=True, text=True)
        text = (Path(folder) / "qkernels" / "_core.pyi").read_text()
    # Arrays of any dtype and shape, and ints as callers write them.
    text = re.sub(r"numpy\.ndarray(?!\[)", "numpy.ndarray[typing.Any, typing.Any]", text)
    text = text.replace(INT, "typing.SupportsIndex")
    return HEADER + text


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else STUB
    target.write_text(stub_text())
