"""What the parts do: build, run the tests, run them under compute-sanitizer, measure."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cuda_check.parts import Check, NotRunError, Part, json_lines
from cuda_check.tools import Device, find_program, find_pybind11, find_tools

ROOT = Path(__file__).resolve().parents[2]
INTERFACE_TESTS = ("interface", "elements", "extremes", "products")
SANITIZED_TESTS = ("interface", "elements", "products")
SANITIZERS = ("memcheck", "racecheck", "initcheck")
NO_SANITIZING = ("Device not supported", "is not supported")


class Steps:
    """The steps, each a function of a part; `folder` holds all that they make."""

    def __init__(self, check: Check, device: Device, folder: Path) -> None:
        self.check = check
        self.device = device
        self.folder = folder
        self.programs = folder / "device" / "tests" / "cuda" / "device"
        self.kernels = folder / "device" / "src" / "cuda" / "_cuda.so"
        self.packages = folder / "python"
        self.env: dict[str, str] = {}

    def find_tools(self, part: Part) -> dict[str, str]:
        """Finds or installs what building needs."""
        self.env = find_tools(self.check, part, self.folder / "tools")
        return self.env

    def _build(
        self, part: Part, build: Path, preset: str, options: dict[str, str], target: str
    ) -> None:
        configure = ["cmake", "-S", str(ROOT), "-B", str(build), "--preset", preset]
        configure += [f"-D{name}={value}" for name, value in options.items()]
        self.check.command(part, configure, 60, self.env)
        self.check.command(part, ["ninja", "-C", str(build), "-k", "0", target], 300, self.env)

    def build(self, part: Part) -> None:
        """Builds kernels and programs for this device alone; nothing of an earlier build is run."""
        old = (*self.programs.glob("test_device_*"), self.programs / "time_products", self.kernels)
        for path in old:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.packages, ignore_errors=True)
        options = {"QK_CUDA_ARCHITECTURES": self.device.architecture}
        self._build(part, self.folder / "device", "cuda-device", options, "tests/cuda/device/all")

    def package(self, part: Part) -> str:
        """Puts the Python package together as it would be installed, and asks it for a device."""
        if not self.kernels.is_file():
            raise NotRunError("_cuda was not built")
        build = self.folder / "package"
        pybind11 = find_pybind11(self.check, part, self.folder / "tools")
        options = {
            "QK_ONLY_ISAS": "scalar",
            "QK_PYTHON": "ON",
            "Python_EXECUTABLE": sys.executable,
            "pybind11_ROOT": str(pybind11),
        }
        self._build(part, build, "release", options, "_core")
        package = self.packages / "qkernels"
        shutil.copytree(ROOT / "python" / "qkernels", package)
        for library in (*build.glob("src/_core.*.so"), self.kernels):
            shutil.copy2(library, package)
        code = "import qkernels.cuda as c; print(c.available(), c.reason())"
        return self.check.command(part, [sys.executable, "-c", code], 60, self._paths()).strip()

    def _paths(self) -> dict[str, str]:
        paths = (str(self.packages), str(ROOT / "scripts"), os.environ.get("PYTHONPATH", ""))
        return {"PYTHONPATH": ":".join(filter(None, paths))}

    def _program(self, name: str) -> str:
        program = self.programs / name
        if not program.is_file():
            raise NotRunError(f"{name} was not built")
        return str(program)

    def vectors(self, name: str) -> Callable[[Part], None]:
        """One program of the tests of the C interface, on the device."""

        def body(part: Part) -> None:
            self.check.command(part, [self._program(f"test_device_{name}")], 120)

        return body

    def sanitizer(self, tool: str, limit: float) -> Callable[[Part], dict[str, str]]:
        """A few shapes under one tool of compute-sanitizer: the end of what it said of each."""

        def body(part: Part) -> dict[str, str]:
            program = find_program("compute-sanitizer", (Path("/usr/local/cuda/bin"),))
            if program is None:
                raise NotRunError("compute-sanitizer is not installed")
            # Tests ask CUDA for what it has to refuse, which is no error of theirs.
            command = [str(program), "--tool", tool, "--error-exitcode", "9"]
            command += ["--report-api-errors", "no"] if tool == "memcheck" else []
            said = {}
            for name in SANITIZED_TESTS:
                test = self._program(f"test_device_{name}")
                try:
                    text = self.check.command(
                        part, [*command, test], limit, {"QK_TEST_FEW_SHAPES": "1"}
                    )
                except RuntimeError:
                    if any(words in part.log for words in NO_SANITIZING):
                        raise NotRunError("compute-sanitizer does not know this device") from None
                    raise
                said[name] = text.strip().splitlines()[-1]
            return said

        return body

    def times(self, part: Part) -> list[dict[str, Any]]:
        """What time_products measures."""
        seconds = max(10.0, min(90.0, self.check.left() - 20.0))
        program = self._program("time_products")
        return json_lines(self.check.command(part, [program, f"{seconds:.0f}"], seconds + 30))

    def with_torch(self, module: str, limit: float) -> Callable[[Part], list[dict[str, Any]]]:
        """A module of checks that prints a JSON object a line."""

        def body(part: Part) -> list[dict[str, Any]]:
            if not (self.packages / "qkernels").is_dir():
                raise NotRunError("the Python package was not built")
            code = "import torch; print('CUDA is', torch.cuda.is_available())"
            try:
                found = self.check.command(part, [sys.executable, "-c", code], 60)
            except RuntimeError:
                raise NotRunError("there is no torch") from None
            if "CUDA is True" not in found:
                raise NotRunError("torch sees no CUDA device")
            command = [sys.executable, "-m", module]
            return json_lines(self.check.command(part, command, limit, self._paths()))

        return body
