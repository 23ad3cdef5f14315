"""Runs all parts and writes one JSON; see `scripts/cuda_check.sh`."""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cuda_check import verdicts
from cuda_check.parts import FAILED, NOT_RUN, TIMED_OUT, Check, NotRunError, Part
from cuda_check.steps import INTERFACE_TESTS, ROOT, SANITIZERS, Steps
from cuda_check.tools import Device, find_device

NO_DEVICE = 3


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def run_parts(check: Check, device: Device, folder: Path) -> None:
    """All parts; what takes longest of the rest comes last."""
    steps = Steps(check, device, folder)
    check.run("tools", steps.find_tools)
    check.run("build", steps.build)
    for name in INTERFACE_TESTS:
        check.run(f"test {name}", steps.vectors(name))
    check.run("times", steps.times)
    check.run("package", steps.package)
    check.run("calls under torch", steps.with_torch("cuda_check.torch_checks", 90))
    check.run("times beside torch", steps.with_torch("cuda_check.torch_times", 60))
    for done, tool in enumerate(SANITIZERS):
        limit = max(1.0, check.left() / (len(SANITIZERS) - done))
        check.run(f"compute-sanitizer {tool}", steps.sanitizer(tool, limit))


def measurements(parts: list[Part]) -> list[dict[str, Any]]:
    """The lines of all parts that measure, those of one that took too long among them."""
    rows: list[dict[str, Any]] = []
    for part in parts:
        if part.name.startswith("times"):
            rows += [row for row in part.data or [] if "what" in row]
            part.data = None
    return rows


def report(check: Check, device: Device) -> dict[str, Any]:
    """Everything that was found, ready to be written as JSON."""
    rows = measurements(check.parts)
    judged = verdicts.judge(rows)
    failed = [part.name for part in check.parts if part.status in (FAILED, TIMED_OUT)]
    return {
        "status": "failed" if failed else "passed",
        "failed": failed,
        "not_run": {part.name: part.reason for part in check.parts if part.status == NOT_RUN},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "device": asdict(device),
        "seconds": round(check.seconds - check.left(), 1),
        "parts": check.as_json(),
        "targets": verdicts.summary(judged),
        "verdicts": judged,
        "measurements": verdicts.with_copy_rates(rows),
    }


def write(result: dict[str, Any], output: Path) -> None:
    """Writes the JSON into a file, and prints it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1)
    output.write_text(text + "\n")
    print(text)


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, 1 when a part failed, 3 where there is no device."""
    parser = argparse.ArgumentParser(description="Checks and times on a CUDA device.")
    parser.add_argument("--seconds", type=float, default=520.0, help="for everything")
    folder = ROOT / "build" / "cuda-check"
    parser.add_argument("--folder", type=Path, default=folder, help="of builds")
    parser.add_argument("--output", type=Path, default=folder / "result.json")
    args = parser.parse_args(arguments)
    check = Check(args.seconds)
    try:
        device = find_device()
    except NotRunError as error:
        write({"status": "no device", "reason": str(error), "parts": []}, args.output)
        return NO_DEVICE
    run_parts(check, device, args.folder)
    result = report(check, device)
    write(result, args.output)
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
