"""Importing where another interpreter than the main one runs."""

import subprocess
import sys

import pytest

CODE = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
LINES = '''
import sys
sys.path[:] = {path!r}
try:
    import qkernels
except ImportError as error:
    print(type(error).__name__, error, flush=True)
'''
if "first" in sys.argv:
    import qkernels
other = interpreters.create()
interpreters.run_string(other, LINES.format(path=sys.path))
import numpy, qkernels
print(qkernels.dequantize(numpy.ones((1, 34), numpy.uint8), "q8_0").shape)
"""


@pytest.mark.parametrize("order", ["first", "last"])
def test_a_sub_interpreter_gets_an_import_error_at_once(order: str) -> None:
    """And the main one, which imports it before or after, is none the worse."""
    result = subprocess.run(
        [sys.executable, "-c", CODE, order], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    said, shape = result.stdout.splitlines()
    assert said.startswith("ImportError ")
    assert "interpreter" in said
    assert shape == "(1, 32)"
