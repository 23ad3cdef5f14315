"""What `scripts/cuda_check.sh` does where no device is needed: verdicts, parts, its JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cuda_check import __main__ as cuda_check
from cuda_check import verdicts
from cuda_check.parts import (
    FAILED,
    NOT_RUN,
    PASSED,
    TIMED_OUT,
    Check,
    NotRunError,
    Part,
    json_lines,
)
from cuda_check.steps import Steps
from cuda_check.tools import Device, parse_device

H200 = {"what": "device", "name": "NVIDIA H200"}
BYTES = 33_030_144  # 14336 x 4096 of q4_k: 2.5 us and 8.257536 us
TARGET_US = 10.757536


def product(us: float, fmt: str = "q4_k", act: str = "int8", **more: Any) -> dict[str, Any]:
    row = {"what": "product", "shape": "14336x4096", "format": fmt, "layout": "native", "act": act}
    return {**row, "bytes": BYTES, "us": us, "quantised_us": us + 1.0, **more}


def torch_row(us: float, bf16_us: float, act: str = "int8") -> dict[str, Any]:
    row = {"what": "torch", "shape": "14336x4096", "format": "q4_k", "act": act, "bytes": BYTES}
    return {**row, "us": us, "torch_bf16_us": bf16_us}


def statuses(target: str, *rows: dict[str, Any], device: dict[str, Any] = H200) -> list[str]:
    found = verdicts.judge([device, *rows])
    measured = [v for v in found if v["target"] == target and v["status"] != "not measured"]
    return [v["status"] for v in measured]


def test_a_target_is_a_fixed_time_and_the_bytes_at_four_terabytes_a_second() -> None:
    assert verdicts.target_us(BYTES) == pytest.approx(TARGET_US, abs=1e-9)


@pytest.mark.parametrize(
    ("fmt", "act", "of_speed"),
    [
        ("q4_k", "int8", 1.0),
        ("q4_k", "int16", 1.0),
        ("q6_k", "int16", 0.8),
        ("q2_k", "int8", 0.8),
        ("q2_k", "int16", 0.5),
        ("q3_k", "int16", 0.5),
        ("bf16", "float32", 0.8),
    ],
)
def test_speed_is_judged_by_what_is_wanted_of_the_format(
    fmt: str, act: str, of_speed: float
) -> None:
    slowest = TARGET_US / of_speed
    assert statuses("speed", product(slowest * 0.999, fmt, act)) == ["pass"]
    assert statuses("speed", product(slowest * 1.001, fmt, act)) == ["miss"]


def test_quantising_may_take_one_and_a_half_microseconds_more() -> None:
    assert statuses("quantising_us", product(8.0, quantised_us=9.49)) == ["pass"]
    assert statuses("quantising_us", product(8.0, quantised_us=9.51)) == ["miss"]


def test_three_times_the_speed_of_torch_is_wanted_at_one_shape() -> None:
    assert statuses("times_torch_bf16", torch_row(10.0, 30.0)) == ["pass"]
    assert statuses("times_torch_bf16", torch_row(10.0, 29.9)) == ["miss"]
    assert statuses("times_torch_bf16", {**torch_row(10.0, 9.0), "shape": "lm_head"}) == []


def test_another_device_is_measured_and_not_judged() -> None:
    rows = (product(1.0), torch_row(10.0, 29.9))
    other = {"what": "device", "name": "NVIDIA H100 80GB HBM3"}
    assert statuses("speed", *rows, device=other) == ["other device"]
    assert statuses("times_torch_bf16", *rows, device=other) == ["other device"]


def test_native_blocks_of_a_format_that_packs_have_no_target() -> None:
    rows = (product(99.0, "q6_k"), product(8.0, "q6_k", layout="packed"))
    assert statuses("speed", *rows) == ["pass"]


def test_what_was_not_measured_is_told() -> None:
    found = verdicts.judge([H200, product(8.0)])
    missing = {(v["target"], v["shape"], v["act"]) for v in found if v["status"] == "not measured"}
    assert ("speed", "14336x4096", "int8") not in missing
    assert ("speed", "14336x4096", "int16") in missing
    assert ("times_torch_bf16", "14336x4096", "int8") in missing
    assert len(missing) == 2 * len(verdicts.SHAPES) - 1 + 2
    row = {**product(0.0, shape="lm_head"), "skipped": "no room"}
    del row["us"]
    assert {"target": "speed", **row, "status": "not measured"} in verdicts.judge([H200, row])
    assert verdicts.summary(found)["speed"] == {"pass": 1, "not measured": 17}


def test_products_are_told_as_a_part_of_the_rates_of_the_same_run() -> None:
    rows = [
        {"what": "copy", "bytes_per_second": 4e12},
        {"what": "read", "bytes_per_second": 4.4e12},
        product(BYTES / 2e12 * 1e6),
    ]
    row = verdicts.with_copy_rates(rows)[-1]
    assert (row["of_copy_rate"], row["of_read_rate"]) == (0.5, 0.455)


def test_a_part_that_fails_stops_no_other() -> None:
    check = Check(60)

    def lacks(_: Part) -> None:
        raise NotRunError("a tool is not installed")

    def python(code: str, limit: float = 30) -> Any:
        return lambda part: check.command(part, [sys.executable, "-c", code], limit)

    check.run("breaks", python("print('{\"what\": 1}'); raise SystemExit(4)"))
    check.run("lacks", lacks)
    check.run("hangs", python("print('{}', flush=True); import time; time.sleep(60)", 6))
    check.run("passes", python("print('fine')"))
    broken, lacking, hanging, passing = check.parts
    assert (broken.status, broken.data) == (FAILED, [{"what": 1}])
    assert "ended with 4" in broken.reason
    assert (lacking.status, lacking.reason) == (NOT_RUN, "a tool is not installed")
    assert (hanging.status, hanging.data) == (TIMED_OUT, [{}])
    assert hanging.seconds < 20
    assert (passing.status, passing.data, passing.log) == (PASSED, "fine\n", "fine\n")


def test_no_part_begins_when_the_time_is_over() -> None:
    check = Check(5, start=time.monotonic() - 5)
    part = check.run("late", lambda _: pytest.fail("it ran"))
    assert (part.status, part.reason) == (NOT_RUN, "no time is left")


def test_lines_that_are_no_json_are_left_out() -> None:
    assert json_lines('warning\n{"a": 1}\n[2]\n{"b": 2}\n{"cut o') == [{"a": 1}, {"b": 2}]


def test_a_device_is_read_from_what_nvidia_smi_says() -> None:
    device = parse_device("NVIDIA H200, 9.0, 580.159.04, 143771 MiB\nNVIDIA H200, 9.0, 580, 1\n")
    assert device == Device("NVIDIA H200", "9.0", "580.159.04", "143771 MiB")
    assert device.architecture == "90"
    with pytest.raises(NotRunError, match="No devices were found"):
        parse_device("No devices were found")


def test_without_a_device_it_says_so_and_leaves_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cuda_check.tools.find_program", lambda *_: None)
    output = tmp_path / "result.json"
    assert cuda_check.main(["--output", str(output)]) == 3
    result = json.loads(output.read_text())
    assert json.loads(capsys.readouterr().out) == result
    assert result["status"] == "no device"
    assert "no nvidia-smi" in result["reason"]


def program(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a device, where building is copying from "built": the folder of builds."""
    tools = tmp_path / "bin"
    program(tools / "nvidia-smi", "echo NVIDIA H200, 9.0, 580.1, 143771 MiB")
    for name in ("nvcc", "cmake"):
        program(tools / name, f"echo {name} $*")
    (tmp_path / "built").mkdir()
    place = tmp_path / "builds" / "device" / "tests" / "cuda" / "device"
    program(tools / "ninja", f"mkdir -p {place}", f"cp {tmp_path}/built/* {place}")
    program(tools / "compute-sanitizer", 'echo "$*"; shift 4; echo ERROR SUMMARY: 0 errors')
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.delenv("CUDACXX", raising=False)
    return tmp_path / "builds"


def test_all_that_was_built_runs_and_one_json_has_everything(machine: Path, tmp_path: Path) -> None:
    programs = tmp_path / "built"
    for name in ("interface", "elements", "extremes"):
        program(programs / f"test_device_{name}", f"echo passed {name}")
    program(programs / "test_device_products", "echo FAILED a_claim", "exit 1")
    lines = [H200, product(8.0), product(99.0, act="int16")]
    program(programs / "time_products", *(f"echo '{json.dumps(line)}'" for line in lines))
    output = tmp_path / "result.json"
    assert cuda_check.main(["--folder", str(machine), "--output", str(output)]) == 1
    result = json.loads(output.read_text())
    parts = {part["name"]: part for part in result["parts"]}
    assert result["failed"] == ["test products"]
    assert "FAILED a_claim" in parts["test products"]["log"]
    assert "-DQK_CUDA_ARCHITECTURES=90" in parts["build"]["log"]
    assert result["not_run"]["package"] == "_cuda was not built"
    assert parts["compute-sanitizer racecheck"]["data"]["elements"] == "ERROR SUMMARY: 0 errors"
    assert result["measurements"] == lines
    assert result["targets"]["speed"] == {"pass": 1, "miss": 1, "not measured": 16}


def test_what_an_earlier_run_built_is_not_run(machine: Path, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "cmake", "echo Parse error", "exit 1")
    stale = program(machine / "device" / "tests" / "cuda" / "device" / "test_device_products")
    output = tmp_path / "result.json"
    assert cuda_check.main(["--folder", str(machine), "--output", str(output)]) == 1
    result = json.loads(output.read_text())
    assert result["failed"] == ["build"]
    assert result["not_run"]["test products"] == "test_device_products was not built"
    assert not stale.exists()


def test_a_sanitizer_that_does_not_know_the_device_was_not_run(
    machine: Path, tmp_path: Path
) -> None:
    program(tmp_path / "bin" / "compute-sanitizer", "echo Device not supported", "exit 1")
    program(machine / "device" / "tests" / "cuda" / "device" / "test_device_interface")
    check = Check(60)
    steps = Steps(check, Device("NVIDIA H200", "9.0", "", ""), machine)
    part = check.run("memcheck", steps.sanitizer("memcheck", 10))
    assert (part.status, part.reason) == (NOT_RUN, "compute-sanitizer does not know this device")
