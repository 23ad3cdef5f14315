"""The device, and the tools to build for it: what the machine has, or what an index gives."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from cuda_check.parts import Check, NotRunError, Part, run

# The oldest nvcc that the kernels are written for, from PyPI.
NVCC_PACKAGES = (
    *(f"nvidia-cuda-{name}==13.0.*" for name in ("nvcc", "crt", "runtime", "cccl")),
    "nvidia-nvvm==13.0.*",
)
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


@dataclass(frozen=True)
class Tools:
    """Where the tools are, and which variables programs need to find each other."""

    nvcc: Path
    env: dict[str, str]
    has_pybind11: bool


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


def find_tools(check: Check, part: Part, folder: Path) -> Tools:
    """The tools, installed into `folder` as far as the machine lacks them.

    Raises:
        RuntimeError: They are neither here nor to be had from an index.
    """
    nvcc = find_nvcc()
    missing = [name for name in ("cmake", "ninja") if shutil.which(name) is None]
    if nvcc is None:
        missing += NVCC_PACKAGES
    env = {}
    if missing:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        check.command(part, [*pip, *missing], 120)
        env["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
        env["PYTHONPATH"] = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
    if nvcc is None:
        nvcc = folder / "nvidia" / "cu13" / "bin" / "nvcc"
    env["CUDACXX"] = str(nvcc)
    return Tools(nvcc, env, importlib.util.find_spec("pybind11") is not None)
