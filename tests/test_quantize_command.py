"""`qkernels quantize` as a command: exit codes, messages, interruptions, and the bar."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qkernels as qk
from test_quantize_file import invoke, out, path, weights

__all__ = ["out", "path"]  # fixtures


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--type", "q9_k"], 2, "Invalid value for --type: 'q9_k' is none of bf16, f16, f32,"),
        (["--type", "q8_ks"], 2, "'q8_ks' is none of"),
        (["--type", "q4_k", "--keep", "output"], 2, "Invalid value for --keep: 'output' is not"),
        (["--type", "q4_k", "--threads", 0], 2, "Invalid value for '--threads'"),
        ([], 2, "Missing option '--type'"),
        (["--type", "q4_k", "--imatrix", "none.dat"], 1, "none.dat"),
    ],
)
def test_wrong_usage_ends_with_2_and_what_is_not_there_with_1(
    path: Path, out: Path, arguments: list[object], code: int, message: str
) -> None:
    result = invoke(path, out, *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert list(out.parent.iterdir()) == []


def test_the_file_that_is_read_is_not_written(path: Path) -> None:
    before = path.read_bytes()
    link = path.with_name("link.gguf")
    link.symlink_to(path)
    for target in (path, link):
        result = invoke(path, target, "--type", "q4_k")
        assert result.exit_code == 1
        assert result.stderr.endswith("is the file that is read; write to another\n")
    assert path.read_bytes() == before


def test_a_part_of_a_model_is_refused(tmp_path: Path, out: Path) -> None:
    qk.save_gguf(tmp_path / "part.gguf", {"w": weights(2, 32)}, {"split.count": 3})
    result = invoke(tmp_path / "part.gguf", out, "--type", "q8_0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is one of 3 parts; merge them first" in result.stderr


def test_a_weight_that_is_not_finite_is_named_and_the_old_file_stays(
    tmp_path: Path, out: Path
) -> None:
    bad = weights(4, 256)
    bad[2, 7] = np.nan
    qk.save_gguf(tmp_path / "a.gguf", {"good.weight": weights(4, 256), "bad.weight": bad})
    out.write_bytes(b"old")
    result = invoke(tmp_path / "a.gguf", out, "--type", "q4_k")
    assert result.exit_code == 1
    assert (
        "tensor 'bad.weight': it holds a NaN or an infinity in row 2, column 7; q4_k has none;"
        " --keep 'bad.weight=f32' keeps all of it" in (result.stderr)
    )
    assert out.read_bytes() == b"old"
    assert list(out.parent.iterdir()) == [out]


SLOWLY = """
import sys, time
from qkernels.cli.app import app
from qkernels.tools import quantize as quantize_file

unhurried = quantize_file.quantize_part

def slowly(*arguments, **options):
    made = unhurried(*arguments, **options)
    print("quantised", flush=True)
    time.sleep(60)
    return made

quantize_file.quantize_part = slowly
app(sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_ends_the_command_half_way_leaves_the_old_file(
    path: Path, out: Path, number: signal.Signals
) -> None:
    out.write_bytes(b"old")
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, "quantize", str(path), str(out), "--type", "q4_k"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background jobs ignore the signal, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"quantised\n"
    assert len(list(out.parent.iterdir())) == 2  # the old one, and the temporary one
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert out.read_bytes() == b"old"
    if number == signal.SIGINT:
        assert (process.returncode, stderr) == (130, b"\n")
        assert list(out.parent.iterdir()) == [out]
