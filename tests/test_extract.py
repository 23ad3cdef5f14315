"""`qkernels extract`: what it writes, what it refuses, and that nothing is ever half written."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from gguf_contents import matrix_of
from gguf_files import F32, Q4_K, Q8_0, Tensor, f32, image
from qkernels import _core
from qkernels.cli import app
from qkernels.cli_tools import extract as extract_command
from qkernels.extract import extract, parse_rows
from qkernels.whole_files import whole_files
from weights import random_weights

NDArray = np.ndarray[Any, Any]

N, K = 24, 512


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "120"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of a q4_k and a q8_0 matrix, a stack of experts, and floats."""
    folder = tmp_path / "model"
    folder.mkdir()
    stack = random_weights("q8_0", 3 * 4, 64, seed=2).tobytes()
    tensors = [
        Tensor("blk.0.attn_q.weight", (K, N), Q4_K, random_weights("q4_k", N, K).tobytes()),
        Tensor("output.weight", (K, N), Q8_0, random_weights("q8_0", N, K, seed=1).tobytes()),
        Tensor("experts.weight", (64, 4, 3), Q8_0, stack),
        f32("norm.weight"),
        Tensor("dense.weight", (8, 4), F32, bytes(128)),
    ]
    path = folder / "small.gguf"
    path.write_bytes(image(tensors=tensors))
    return path


def listing(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def assert_weights(scale: NDArray, ints: NDArray, low: NDArray, decoded: NDArray) -> None:
    """That these are the decoded weights, but for four roundings of their largest term."""
    terms = np.abs(scale * ints) + 2 * np.abs(low) + np.abs(decoded)
    assert np.all(np.abs(scale * ints + low - decoded) <= 2 * np.finfo(np.float32).eps * terms)


def test_a_bin_is_rows_times_cols_int8_and_nothing_else(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.bin"
    result = invoke("extract", path, "--tensor", "blk.0.attn_q.weight", "--out", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{out}: {N} x {K}" in result.stdout
    with qk.load_gguf(path) as file:
        expected = np.asarray(matrix_of(file, "blk.0.attn_q.weight").raw_ints())
    found = np.fromfile(out, np.int8).reshape(N, K)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("rows", "first", "last"),
    [("4:9", 4, 9), ("5", 0, 5), (":5", 0, 5), ("20:", 20, N), (":", 0, N), ("23:24", 23, N)],
)
@pytest.mark.parametrize("cols", [None, 1, 33, K])
def test_rows_and_columns_are_chosen(
    path: Path, tmp_path: Path, rows: str, first: int, last: int, cols: int | None
) -> None:
    out = tmp_path / "part.npy"
    chosen = [] if cols is None else ["--cols", cols]
    result = invoke(
        "extract", path, "--tensor", "output.weight", "--rows", rows, *chosen, "--out", out
    )
    assert result.exit_code == 0, result.stderr
    with qk.load_gguf(path) as file:
        expected = np.asarray(matrix_of(file, "output.weight").raw_ints())[first:last, :cols]
    np.testing.assert_array_equal(np.load(out), expected)


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".npz"])
@pytest.mark.parametrize("cols", [K, 100])
def test_scales_and_mins_make_weights_of_integers(
    path: Path, tmp_path: Path, suffix: str, cols: int
) -> None:
    out = tmp_path / f"q{suffix}"
    name = "blk.0.attn_q.weight"
    arguments = ["--rows", "2:7", "--cols", cols, "--with-scales", "--out", out, "--json"]
    result = invoke("extract", path, "--tensor", name, *arguments)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    group = said["group"]
    assert (said["fmt"], said["rows"], said["cols"], group) == ("q4_k", [2, 7], cols, 32)
    if suffix == ".npz":
        with np.load(out) as archive:
            assert sorted(archive) == ["ints", "mins", "scales"]
            ints, scales, mins = (archive[key] for key in ("ints", "scales", "mins"))
    else:
        files = [out, out.with_suffix(f".scales{suffix}"), out.with_suffix(f".mins{suffix}")]
        assert list(said["files"]) == list(map(str, files))
        dtypes = ("i1", "<f4", "<f4")
        ints, scales, mins = (
            np.load(file) if suffix == ".npy" else np.fromfile(file, dtype).reshape(5, -1)
            for file, dtype in zip(files, dtypes, strict=True)
        )
    scale, low = (np.repeat(a, group, axis=1)[:, :cols] for a in (scales, mins))
    with qk.load_gguf(path) as file:
        decoded = np.asarray(matrix_of(file, name)[2:7].dequantize())[:, :cols]
    assert_weights(scale, ints, low, decoded)


def test_an_expert_of_a_stack_is_a_matrix(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.npy"
    arguments = ["--tensor", "experts.weight", "--out", out]
    assert "a stack of 3 experts; choose one" in invoke("extract", path, *arguments).stderr
    assert invoke("extract", path, *arguments, "--expert", 1).exit_code == 0
    with qk.load_gguf(path) as file:
        expected = np.asarray(matrix_of(file, "experts.weight").raw_ints())[1]
    np.testing.assert_array_equal(np.load(out), expected)
    assert "expert 3 is outside" in invoke("extract", path, *arguments, "--expert", 3).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tensor", "blk.0.attn_k.weight"], "near names: 'blk.0.attn_q.weight'"),
        (["--tensor", "norm.weight"], "holds float32 of shape (32,), not quantised weights"),
        (["--tensor", "dense.weight"], "f32 weights are floats: they have no integers"),
        (
            ["--tensor", "output.weight", "--rows", "0:25"],
            "rows=0:25 ends past the last of 24 rows",
        ),
        (["--tensor", "output.weight", "--rows", "9:9"], "rows=9:9 chooses no row"),
        (["--tensor", "output.weight", "--rows", "0"], "rows=0 chooses no row"),
        (["--tensor", "output.weight", "--rows=-3:5"], "neither A:B nor N"),
        (["--tensor", "output.weight", "--rows", "1:2:3"], "neither A:B nor N"),
        (["--tensor", "output.weight", "--rows", ""], "neither A:B nor N"),
        (["--tensor", "output.weight", "--cols", "513"], "cols=513 is outside 1..512"),
        (["--tensor", "output.weight", "--cols", "0"], "cols=0 is outside 1..512"),
        (["--tensor", "output.weight", "--expert", "0"], "output.weight' is a matrix"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    path: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    result = invoke("extract", path, *options, "--out", tmp_path / "q.bin")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("qkernels extract: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert listing(tmp_path) == ["model"]


def test_an_out_that_cannot_be_written_is_refused(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    link = tmp_path / "linked.bin"
    link.symlink_to(path)
    (tmp_path / "folder.bin").mkdir()
    for out, message in (
        (tmp_path / "q.txt", "ends with none of .bin, .npy, .npz"),
        (tmp_path / "missing" / "q.bin", "No such file or directory"),
        (tmp_path / "folder.bin", "is no regular file"),
        (link, "is the file that is read"),
    ):
        result = invoke("extract", path, "--tensor", "output.weight", "--out", out)
        assert result.exit_code == 1
        assert message in result.stderr
    beside = path.rename(path.with_name("q.scales.bin"))
    arguments = ["--tensor", "output.weight", "--out", path.with_name("q.bin"), "--with-scales"]
    result = invoke("extract", beside, *arguments)
    assert f"'{beside}' is the file that is read" in result.stderr
    assert beside.read_bytes() == before
    assert listing(tmp_path) == ["folder.bin", "linked.bin", "model"]


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(4))
    for file in (tmp_path / "missing.gguf", broken):
        result = invoke("extract", file, "--tensor", "t", "--out", tmp_path / "q.bin")
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
    assert listing(tmp_path) == ["broken.gguf"]


def test_a_missing_option_is_a_usage_error(path: Path) -> None:
    assert invoke("extract", path, "--tensor", "output.weight").exit_code == 2


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".npz"])
@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_what_ends_half_way_leaves_the_old_files_whole(
    path: Path, tmp_path: Path, suffix: str, failure: BaseException
) -> None:
    out = tmp_path / f"q{suffix}"
    out.write_bytes(b"old")
    written = []

    def fail(done: int) -> None:
        written.append(done)
        if len(written) == 2:  # when the integers are written, and the scales
            raise failure

    with qk.load_gguf(path) as file, pytest.raises(type(failure)):
        extract(file, "output.weight", out, with_scales=True, advance=fail)
    assert written[0] == N * K
    assert out.read_bytes() == b"old"
    assert listing(tmp_path) == sorted(["model", out.name])


def test_progress_is_told_of_every_byte(path: Path, tmp_path: Path) -> None:
    totals: list[int] = []
    done: list[int] = []
    with qk.load_gguf(path) as file:
        extract(
            file,
            "output.weight",
            tmp_path / "q.npz",
            with_scales=True,
            advance=done.append,
            expect=totals.append,
        )
    assert totals == [sum(done)] == [N * K + 2 * 4 * N * K // 32]


SLOWLY = """
import sys, time
from qkernels import extract
from qkernels import _core
from qkernels.cli import app
from qkernels.cli_tools import extract as extract_command

unhurried = extract.Selection._ints

def slowly(selection):
    for piece in unhurried(selection):
        yield piece
        print("written", flush=True)
        time.sleep(60)

extract.Selection._ints = slowly
app(sys.argv[1:])
"""


def test_control_c_ends_with_130_and_leaves_no_file(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOWLY, "extract", str(path), "--tensor", "output.weight"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "q.bin")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background jobs ignore the signal, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    assert any(name.endswith(".part") for name in listing(tmp_path))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, b"\n")
    assert listing(tmp_path) == ["model"]


def test_files_are_replaced_only_when_all_are_written(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"old")
    with whole_files([a, b]) as files:
        for file in files:
            file.write(b"new")
        assert a.read_bytes() == b"old"
        assert not b.exists()
    assert (a.read_bytes(), b.read_bytes()) == (b"new", b"new")
    assert listing(tmp_path) == ["a", "b"]


def test_the_help_says_what_the_integers_of_every_format_are() -> None:
    said = " ".join(str(extract_command.__doc__).split())
    for fmt in qk.formats():
        integers = _core.format_info(fmt).integers
        assert integers is None or re.search(rf"\b{fmt}\b[^:]*: {re.escape(integers)}\.", said)


def test_rows_are_parsed_as_slices_are() -> None:
    assert parse_rows(None, 7) == (0, 7)
    assert parse_rows("3", 7) == (0, 3)
    assert parse_rows("3:", 7) == (3, 7)


@pytest.mark.model
def test_a_tensor_of_the_real_model_is_extracted(model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.npz"
    name = "blk.0.attn_q.weight"
    result = invoke("extract", model_path, "--tensor", name, "--out", out, "--with-scales")
    assert result.exit_code == 0, result.stderr
    with qk.load_gguf(model_path) as file, np.load(out) as archive:
        weights = matrix_of(file, name)
        assert (weights.fmt, archive["ints"].shape) == ("q4_1", (576, 576))
        scales, mins = (np.repeat(archive[key], 32, axis=1) for key in ("scales", "mins"))
        decoded = np.asarray(weights.dequantize())
        assert_weights(scales, archive["ints"], mins, decoded)
