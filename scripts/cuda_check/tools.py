"""The device, and the tools to build for it: what the machine has, or what an index gives."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cuda_check.parts import Check, NotRunError, Part, run

# The oldest nvcc that the kernels are written for, from PyPI.
NVCC_PACKAGES = (
    *(f"nvidia-cuda-{name}==13.0.*" for name in ("nvcc", "crt", "runtime", "cccl")),
    "nvidia-nvvm==13.0.*",
)
PYBIND11 = "pybind11>=3.1,<3.2"
DRIVER_PLACES = (Path("/usr/bin"), Path("/usr/local/nvidia/bin"))
_QUERY = "name,compute_cap,driver_version,memory.total"


@dataclass(frozen=True)
class Device:
    """The first device of the machine, as nvidia-smi describes it."""

    name: str
    capability: str
    driver: str
    memory: str

    @property
    def architecture(self) -> str:
        """The compute capability as CMake and nvcc write it: "90"."""
        return self.capability.replace(".", "")


def find_program(name: str, places: tuple[Path, ...] = ()) -> Path | None:
    """A program on PATH, or in one of some other places."""
    if found := shutil.which(name):
        return Path(found)
    return next((place / name for place in places if (place / name).is_file()), None)


def find_device() -> Device:
    """The first device.

    Raises:
        NotRunError: There is no nvidia-smi, or it finds no device.
    """
    tool = find_program("nvidia-smi", DRIVER_PLACES)
    if tool is None:
        raise NotRunError("there is no nvidia-smi, and so no CUDA driver")
    output = run([str(tool), f"--query-gpu={_QUERY}", "--format=csv,noheader"], 60)
    if output.status != 0:
        raise NotRunError(f"nvidia-smi finds no device: {output.text.strip()}")
    return parse_device(output.text)


def parse_device(text: str) -> Device:
    """What nvidia-smi says of the first device, as comma-separated values."""
    fields = next(csv.reader(text.splitlines(), skipinitialspace=True), [])
    if len(fields) != len(_QUERY.split(",")):
        raise NotRunError(f"nvidia-smi says nothing of a device: {text.strip()!r}")
    return Device(*fields)


def find_nvcc() -> Path | None:
    """The compiler that CUDACXX names, or the one on PATH or in its usual place."""
    if named := os.environ.get("CUDACXX"):
        return Path(named)
    return find_program("nvcc", (Path("/usr/local/cuda/bin"),))


def _install(check: Check, part: Part, folder: Path, packages: Sequence[str]) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    check.command(part, [*pip, *packages], 120)


def find_tools(check: Check, part: Part, folder: Path) -> dict[str, str]:
    """The variables that building needs; what the machine lacks is installed into `folder`.

    Raises:
        RuntimeError: It is not to be had from an index either.
    """
    nvcc = find_nvcc()
    missing = [name for name in ("cmake", "ninja") if shutil.which(name) is None]
    if nvcc is None:
        missing += NVCC_PACKAGES
        nvcc = folder / "nvidia" / "cu13" / "bin" / "nvcc"
    env = {"CUDACXX": str(nvcc)}
    if missing:
        _install(check, part, folder, missing)
        env["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
        env["PYTHONPATH"] = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
    return env


def find_pybind11(check: Check, part: Part, folder: Path) -> Path:
    """Where CMake finds pybind11, which is installed into `folder` if need be.

    Raises:
        RuntimeError: It is not to be had from an index either.
    """
    spec = importlib.util.find_spec("pybind11")
    if spec is None or spec.origin is None:
        _install(check, part, folder, [PYBIND11])
        package = folder / "pybind11"
    else:
        package = Path(spec.origin).parent
    return package / "share" / "cmake" / "pybind11"
