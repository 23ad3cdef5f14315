"""`qkernels stream`: what it prints, what it refuses, how it ends, and what a sweep finds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from qkernels import _core, stream
from qkernels._measure.method import Timing
from qkernels.cli.app import app
from qkernels.stream import measure, plot, sweep
from qkernels.stream.sweep import Grid, Point, Sweep

SMALL = ("--n", "20", "--k", "100")


def invoke(*arguments: str | Path) -> Any:
    environment = {"COLUMNS": "120"}
    return CliRunner().invoke(app, ["stream", *map(str, arguments)], env=environment)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels but the scalar one are off by one in their first row."""
    product = _core.stream_gemv

    def wrong(weights: Any, x: Any, kernel: str, *rest: Any, **options: Any) -> Any:
        seconds, y = product(weights, x, kernel, *rest, **options)
        y[0] += kernel != "scalar"
        return seconds, y

    monkeypatch.setattr(_core, "stream_gemv", wrong)


@pytest.mark.parametrize("kernel", stream.KERNELS)
def test_the_command_prints_what_was_measured(kernel: str) -> None:
    options = ["--kernel", kernel, *SMALL, "--iters", "3", "--prefetch", "4", "--check"]
    result = invoke(*options)
    assert result.exit_code == 0, result.output
    first, *lines = result.stdout.splitlines()
    isa = qk.info()["isa"]
    assert first == f"{kernel} ({isa}), 20x100 int8, warm, prefetch 4, 3 iterations"
    values = dict(line.strip().split(maxsplit=1) for line in lines if "per iter" not in line)
    problem = measure.random_problem(20, 100)
    y = problem.w.astype(np.int64) @ problem.x
    assert values["checksum"] == str(y.sum())
    assert values["mismatches"] == "0 of 20 against scalar"
    assert values["elapsed"].endswith(" ms")
    assert values["read"].endswith(" GB/s")
    assert values["arithmetic"].endswith(" GOP/s")


def test_json_is_the_whole_standard_output() -> None:
    result = invoke(*SMALL, "--iters", "5", "--kernel", "dotprod16i", "--json")
    found = json.loads(result.stdout)
    assert (found["n"], found["k"], found["iterations"], found["prefetch"]) == (20, 100, 5, 2)
    assert (found["read_bytes"], found["mismatches"]) == (32 * 112, None)
    each = found["seconds"] / 5
    assert found["seconds_per_iteration"] == pytest.approx(each)
    assert found["gb_per_second"] == pytest.approx(32 * 112 / each / 1e9)
    assert found["gop_per_second"] == pytest.approx(2 * 20 * 100 / each / 1e9)


@pytest.mark.usefixtures("broken")
def test_a_mismatch_is_counted_and_the_status_is_1() -> None:
    result = invoke(*SMALL, "--check")
    assert result.exit_code == 1
    assert "mismatches     1 of 20 against scalar" in result.stdout
    assert invoke(*SMALL).exit_code == 0  # nobody asked


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    w = np.random.default_rng(5).integers(-128, 128, (20, 100), dtype=np.int8)
    raw, array = tmp_path / "w.bin", tmp_path / "w.npy"
    w.tofile(raw)
    np.save(array, w)
    x = measure.random_problem(20, 100, seed=7).x
    expected = int((w.astype(np.int64) @ x).sum())
    for path in (raw, array):
        result = invoke(*SMALL, "--weights", path, "--seed", "7", "--json", "--check")
        assert json.loads(result.stdout)["checksum"] == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.bin", bytes(1999), "has 1,999 bytes; int8 weights of 20x100 take 2,000"),
        ("w.bin", bytes(2001), "has 2,001 bytes; int8 weights of 20x100 take 2,000"),
        ("w.npy", np.zeros((20, 99), np.int8), "has int8 (20, 99); expected int8 (20, 100)"),
        ("w.npy", np.zeros((20, 100)), "has float64 (20, 100); expected int8 (20, 100)"),
        ("w.npy", b"no array", "w.npy is no array of numbers in NumPy's format"),
        ("missing.bin", None, "No such file"),
    ],
)
def test_weights_of_the_wrong_size_are_refused_with_both(
    tmp_path: Path, name: str, content: Any, message: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    result = invoke(*SMALL, "--weights", path)
    assert result.exit_code == 1
    assert result.stderr.startswith("qkernels stream: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--kernel", "dotprod8"], 1, "kernel='dotprod8' is not one of scalar"),
        (["--k", "131072", "--n", "1"], 1, "k=131072 is outside 1..131071"),
        (["--n", "0"], 2, "Invalid value for '--n'"),
        (["--k", "0"], 2, "Invalid value for '--k'"),
        (["--prefetch", "-1"], 2, "Invalid value for '--prefetch'"),
        (["--prefetch", "65537"], 2, "Invalid value for '--prefetch'"),
        (["--iters", "0"], 2, "Invalid value for '--iters'"),
    ],
)
def test_what_is_wrong_is_said(options: list[str], status: int, message: str) -> None:
    result = invoke(*options)
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr


def test_help_has_an_example() -> None:
    text = " ".join(invoke("--help").stdout.split())
    assert "Example: qkernels stream --kernel dotprod4i --n 1024 --k 1024 --iters 64" in text


ENDLESSLY = """
from qkernels import _core
from qkernels.cli import main

product = _core.stream_gemv

def told(*arguments, **options):
    print("up", flush=True)
    return product(*arguments, **options)

_core.stream_gemv = told
main()
"""


def test_control_c_ends_with_130() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESSLY, "stream", *SMALL, "--iters", str(10**12)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background jobs ignore the signal, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, b"\n")


def test_cold_copies_are_over_four_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "last_level_cache", lambda: 1 << 16)
    packed = stream.pack4i(measure.random_problem(64, 256).w)
    cold, warm = measure.copies_of(packed, cold=True), measure.copies_of(packed, cold=False)
    assert (len(cold) - 1) * packed.nbytes > 4 << 16
    assert warm.shape == (1, *packed.data.shape)
    assert all(np.array_equal(copy, packed.data) for copy in cold)


def test_products_take_the_copies_in_turn() -> None:
    x = np.ones(16, np.int8)
    copies = np.arange(3, dtype=np.int8).repeat(16).reshape(3, 1, 1, 1, 16)
    for first, iterations, last in ((0, 1, 0), (0, 3, 2), (0, 4, 0), (1, 1, 1), (5, 2, 0)):
        seconds, y = _core.stream_gemv(copies, x, "dotprod", 0, first, iterations)
        assert (y.tolist(), seconds > 0) == ([16 * last], True)


def small_sweep(**options: Any) -> Sweep:
    problem = measure.random_problem(32, 256)
    return sweep.sweep(problem, distances=(0, 4), rounds=2, cache_bytes=1 << 16, **options)


def test_a_sweep_measures_every_kernel_at_every_distance_cold_and_warm() -> None:
    expected: list[int] = []
    told: list[int] = []
    found = small_sweep(expect=expected.append, advance=told.append)
    assert list(found.grids) == ["cold", "warm"]
    for grid in found.grids.values():
        assert list(grid.timings) == [Point(k, d) for k in stream.KERNELS for d in (0, 4)]
        assert grid.roof > 0
    assert found.mismatches == 0
    assert expected == [sum(told)]
    points = found.to_dict()["points"]
    assert len(points) == 2 * 2 * len(stream.KERNELS)
    assert json.loads(json.dumps(found.to_dict()))["best"].keys() == {"cold", "warm"}


def test_a_sweep_needs_a_distance_to_compare_with() -> None:
    with pytest.raises(ValueError, match=r"distances=\(2,\) lack 0"):
        sweep.sweep(measure.random_problem(16, 16), distances=(2,))


def grid_of(seconds: dict[Point, tuple[float, float, float]]) -> Grid:
    timings = {p: Timing([], *quartiles) for p, quartiles in seconds.items()}
    return Grid(timings, {p.kernel: 10**9 for p in seconds}, roof=2.5)


def test_the_best_is_named_with_what_it_cannot_be_told_from() -> None:
    grid = grid_of(
        {
            Point("dotprod", 0): (0.9, 1.0, 1.1),
            Point("dotprod", 4): (0.45, 0.5, 0.55),
            Point("dotprod4", 0): (0.5, 0.6, 0.7),
        }
    )
    assert grid.best == Point("dotprod", 4)
    assert grid.verdict() == (
        "dotprod, prefetch 4: 2.0 GB/s, 80% of reading alone, 2.00x dotprod without prefetching."
        " Within its spread: dotprod4, no prefetching"
    )


def test_the_heat_map_shows_every_speed_and_frames_the_best() -> None:
    grid = grid_of({Point(k, d): (1, 1 + d / 8, 2) for k in stream.KERNELS for d in (0, 4)})
    found = Sweep(8, 16, 15, False, 1 << 20, 0, qk.info(), {"cold": grid, "warm": grid})
    figure = plot.draw(found)
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title(loc="left").split()[0] for axes in panels] == ["cold", "warm"]
    for axes in panels:
        assert [label.get_text() for label in axes.get_yticklabels()] == list(stream.KERNELS)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "4"]
        assert [t.get_text() for t in axes.texts] == ["1.0", "0.7"] * len(stream.KERNELS)
        frames: list[Any] = list(axes.patches)
        assert [frame.get_xy() for frame in frames] == [(-0.5, -0.5)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., Sweep] = sweep.sweep
    monkeypatch.setattr(
        sweep,
        "sweep",
        lambda problem, **options: whole(
            problem, **options | {"rounds": 2, "distances": (0, 4), "cache_bytes": 1 << 16}
        ),
    )


@pytest.mark.usefixtures("quick")
def test_the_command_sweeps_draws_and_names_the_best(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    result = invoke(*SMALL, "--sweep", "--huge-pages", "--plot", path)
    assert result.exit_code == 0, result.output
    assert "20x100 int8 in huge pages, one thread" in result.stdout
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]
    assert "best cold: " in result.stdout
    assert "best warm: " in result.stdout
    assert "0 mismatches against scalar" in result.stdout
    as_json = json.loads(invoke(*SMALL, "--sweep", "--plot", path, "--json").stdout)
    assert as_json["best"]["warm"]["kernel"] in stream.KERNELS


@pytest.mark.usefixtures("quick", "broken")
def test_a_sweep_with_a_mismatch_ends_with_1(tmp_path: Path) -> None:
    result = invoke(*SMALL, "--sweep", "--plot", tmp_path / "map.png")
    assert result.exit_code == 1
    assert "8 mismatches against scalar" in result.stdout


def test_a_picture_that_could_not_be_written_is_refused_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "sweep", None)
    for name, message in (
        ("missing/map.png", f"the folder {tmp_path / 'missing'} of the heat map does not exist"),
        ("map.what", "a heat map in 'map.what' would be none of "),
        ("map", "a heat map in 'map' would be none of "),
    ):
        result = invoke(*SMALL, "--sweep", "--plot", tmp_path / name)
        assert (result.exit_code, result.stdout) == (1, "")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("failure", "status"), [(OSError("full"), 1), (KeyboardInterrupt(), 130)])
def test_a_picture_that_is_half_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, status: int
) -> None:
    def save(figure: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise failure

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", save)
    old = tmp_path / "map.png"
    old.write_text("old")
    assert invoke(*SMALL, "--sweep", "--plot", old).exit_code == status
    assert (old.read_text(), list(tmp_path.iterdir())) == ("old", [old])


@pytest.mark.usefixtures("quick")
def test_without_matplotlib_a_sweep_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke(*SMALL, "--sweep", "--plot", "map.png")
    assert result.exit_code == 1
    assert "a heat map needs matplotlib: python -m pip install matplotlib" in result.stderr
    result = invoke(*SMALL, "--sweep")
    assert result.exit_code == 0
    assert result.stdout.endswith("; no heat map, which needs matplotlib\n")
    assert list(tmp_path.iterdir()) == []
