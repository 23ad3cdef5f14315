"""`qkernels bench gates`: what it measures, what it prints, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from qkernels._measure.method import Timing
from qkernels.bench.gates import GateCase, natural_block, random_mask, table
from qkernels.cli.app import app


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["bench", "gates", *map(str, arguments)])


def case(**times: tuple[float, ...]) -> GateCase:
    timings = {name: Timing.of(samples) for name, samples in times.items()}
    return GateCase("q4_0", 16, 64, 32, 1, 2, 1, **timings)


def test_a_mask_drops_as_many_blocks_as_it_is_told_to() -> None:
    assert [int(random_mask(10, share).sum()) for share in (0, 0.3, 0.5, 1)] == [10, 7, 5, 0]
    np.testing.assert_array_equal(random_mask(64, 0.5), random_mask(64, 0.5))
    with pytest.raises(ValueError, match=r"dropped=1.5 is outside 0\.\.1"):
        random_mask(10, 1.5)


def test_a_gate_has_the_fewest_columns_that_panels_leave_out() -> None:
    assert [natural_block(fmt) for fmt in ("f16", "q4_0", "nvfp4", "q4_k")] == [32, 32, 64, 256]


def test_ratios_are_those_of_medians_and_marked_where_noisy() -> None:
    found = case(whole=(4.0,) * 3, zeroed=(5.0,) * 3, packed=(1.0, 2.0, 3.0), gated=(1.0,) * 3)
    assert (found.of_blocks, found.of_packed) == (1.25, 0.5)
    line = table([found]).splitlines()[2]
    blocks, panels = "4000000 us | 5000000 us | 1.25", "2000000 us | 1000000 us | 0.50 ?"
    assert line == f"| q4_0 | 1 of 2 x 32 | 1 | {blocks} | {panels} |"


def test_a_matrix_is_measured_with_all_columns_and_without() -> None:
    result = invoke(
        "-f", "q4_0", "--n", 16, "--k", 128, "--warm", "--threads", 1, "--dropped", 0.25,
        "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    head, _, line, *_ = result.stderr.splitlines()
    assert head.startswith("| 16x128 | kept |")
    assert line.startswith("| q4_0 | 3 of 4 x 32 | 1 |")
    (found,) = json.loads(result.stdout)["cases"]
    assert (found["kept"], found["blocks"], len(found["gated"]["samples"])) == (3, 4, 15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-f", "q9"], "q9"),
        (["-f", "q4_k", "--k", 512, "--block-k", 32], "no multiple of the 256 weights"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_1(arguments: list[object], message: str) -> None:
    result = invoke("--n", 16, "--warm", *arguments)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert message in result.stderr
