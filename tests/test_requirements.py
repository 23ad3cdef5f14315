"""What does not build qkernels is told so in a sentence, and a warning does not end an install."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import check_isa_symbols

ROOT = Path(__file__).parents[1]
CMAKE = shutil.which("cmake")

pytestmark = pytest.mark.skipif(CMAKE is None, reason="no cmake in the PATH")
needs_compiler = pytest.mark.skipif(
    check_isa_symbols.compiler() is None, reason="no C++ compiler and nm in the PATH"
)

WANTED = "g++ 12 or clang++ 16 and later do: set CXX."


def cmake(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CMAKE), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def told(output: str) -> str:
    """A message of CMake's, which breaks it into lines."""
    return " ".join(output.split())


def required(system: str, compiler: str, version: str) -> subprocess.CompletedProcess[str]:
    return cmake(
        f"-DCMAKE_SYSTEM_NAME={system}",
        f"-DCMAKE_CXX_COMPILER_ID={compiler}",
        f"-DCMAKE_CXX_COMPILER_VERSION={version}",
        "-DCMAKE_CXX_COMPILER=/usr/bin/c++",
        "-P",
        ROOT / "cmake/requirements.cmake",
    )


@pytest.mark.parametrize(
    ("compiler", "version"), [("GNU", "12.1.0"), ("GNU", "15.2.0"), ("Clang", "16.0.0")]
)
def test_compilers_from_the_first_that_does_are_taken(compiler: str, version: str) -> None:
    assert required("Linux", compiler, version).returncode == 0


@pytest.mark.parametrize(
    ("system", "compiler", "version", "message"),
    [
        ("Linux", "GNU", "11.4.0", "is too old to build qkernels: GNU 11.4.0, /usr/bin/c++; "),
        ("Linux", "GNU", "9.4.0", "is too old to build qkernels: GNU 9.4.0, /usr/bin/c++; "),
        ("Linux", "Clang", "15.0.7", "is too old to build qkernels: Clang 15.0.7, /usr/bin/c++; "),
        ("Linux", "IntelLLVM", "2025.1", "does not build qkernels so far: IntelLLVM 2025.1, "),
        ("Linux", "NVHPC", "25.1", "does not build qkernels so far: NVHPC 25.1, /usr/bin/c++; "),
        ("Darwin", "AppleClang", "17.0.0", "is built on Linux only so far, and this is Darwin."),
        ("Windows", "MSVC", "19.44", "is built on Linux only so far, and this is Windows."),
    ],
)
def test_what_is_too_old_or_unknown_is_refused_in_a_sentence(
    system: str, compiler: str, version: str, message: str
) -> None:
    result = required(system, compiler, version)
    assert result.returncode != 0
    assert message in told(result.stderr)
    assert (WANTED in told(result.stderr)) == (system == "Linux")


@needs_compiler
def test_an_old_compiler_ends_the_configuration(tmp_path: Path) -> None:
    """The project asks, and before it looks for anything else: here g++ says that it is 11."""
    old = tmp_path / "g++-11"
    macros = "-U__GNUC__ -D__GNUC__=11 -U__clang__"
    old.write_text(f'#!/bin/sh\nexec {check_isa_symbols.compiler()} {macros} "$@"\n')
    old.chmod(0o755)
    result = cmake("-S", ROOT, "-B", tmp_path / "build", "-DQK_PYTHON=OFF", CXX=str(old))
    assert result.returncode != 0
    assert "too old to build qkernels: GNU 11." in told(result.stderr)
    assert WANTED in told(result.stderr)


@needs_compiler
@pytest.mark.parametrize("strict", ["ON", "OFF"])
def test_warnings_are_errors_where_they_are_asked_to_be(tmp_path: Path, strict: str) -> None:
    """And flags of the machine's own stay just flags."""
    flags = "-Wuseless-cast -Wsign-conversion -Wdouble-promotion"
    result = cmake(
        *("-S", ROOT, "-B", tmp_path, "-DQK_PYTHON=OFF", "-DQK_CUDA=OFF", "-DQK_ONLY_ISAS=scalar"),
        f"-DQK_WERROR={strict}",
        CXXFLAGS=flags,
    )
    assert result.returncode == 0, result.stderr
    commands = json.loads((tmp_path / "compile_commands.json").read_text())
    assert all(flags in entry["command"] for entry in commands)
    assert all((" -Werror " in entry["command"]) == (strict == "ON") for entry in commands)


def test_an_installation_has_warnings_and_developers_have_errors() -> None:
    assert 'option(QK_WERROR "Warnings are errors' in (ROOT / "CMakeLists.txt").read_text()
    assert "QK_WERROR" not in (ROOT / "pyproject.toml").read_text()
    presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
    base = next(preset for preset in presets if preset["name"] == "base")
    assert base["cacheVariables"]["QK_WERROR"] == "ON"


def _cuda_project(folder: Path, nvcc: Path) -> None:
    """A project that includes cmake/cuda.cmake, for which `nvcc` is the compiler."""
    (folder / "CMakeLists.txt").write_text(f"""cmake_minimum_required(VERSION 3.25)
project(old LANGUAGES CXX)
include({ROOT}/cmake/requirements.cmake)
macro(check_language language) # the compiler is no compiler
    set(CMAKE_CUDA_COMPILER {nvcc})
endmacro()
macro(enable_language language)
endmacro()
include({ROOT}/cmake/cuda.cmake)
message(STATUS "has ${{qk_has_cuda}} for ${{QK_CUDA_CODE}}")
""")
    # CheckLanguage would bring its own macro
    (folder / "CheckLanguage.cmake").write_text("")


def _program(path: Path, *lines: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return path


@needs_compiler
@pytest.mark.parametrize(
    ("capabilities", "options", "codes"),
    [
        ("", (), []),  # no device
        ("7.0", (), []),  # one that is too old
        ("9.0", (), ["sm_90"]),
        ("8.7", (), ["sm_86"]),  # runs the code of a lower minor version
        ("12.1 8.0 12.1", (), ["sm_80", "sm_120"]),
        ("8.0", ("-DQK_CUDA_ARCHITECTURES=75;90",), ["sm_75", "sm_90"]),
        ("", ("-DQK_CUDA_ARCHITECTURES=89",), ["sm_89"]),
        ("9.0", ("-DQK_CUDA=OFF",), []),
        ("", ("-DQK_CUDA=ON",), [f"sm_{a}" for a in (75, 80, 86, 89, 90, 100, 120)]),
    ],
)
def test_cuda_is_built_for_the_devices_there_are_or_those_that_are_named(
    tmp_path: Path, capabilities: str, options: tuple[str, ...], codes: list[str]
) -> None:
    nvcc = _program(tmp_path / "bin/nvcc", "echo 'Cuda compilation tools, release 13.0, V13.0.1'")
    lines = [f"echo {capability}" for capability in capabilities.split()] or ["exit 9"]
    _program(tmp_path / "bin/nvidia-smi", *lines)
    _cuda_project(tmp_path, nvcc)
    common: tuple[str | Path, ...] = ("-S", tmp_path, "-B", tmp_path / "build")
    common += (f"-DCMAKE_MODULE_PATH={tmp_path}",)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    result = cmake(*common, *options, PATH=path)
    assert result.returncode == 0, result.stderr
    said = told(result.stdout)
    assert f"has {'ON' if codes else 'OFF'} for" in said
    assert re.findall(r"sm_\d+", said) == codes
    left_out = "The CUDA kernels are left out: nvidia-smi lists no device that they run on."
    assert (left_out in said) == (not codes and not options)


@needs_compiler
@pytest.mark.parametrize(
    ("options", "built"),
    [
        ((), False),
        (("-DQK_TEST_ISAS=ON",), True),
        (("-DQK_ONLY_ISAS=scalar;avx512vnni;amx_emulated;avxvnni_evex",), True),
        (("-DQK_ONLY_ISAS=scalar",), False),
    ],
)
def test_isas_for_tests_are_built_when_they_are_asked_for(
    options: tuple[str, ...], built: bool
) -> None:
    """And the tests' own build asks for them."""
    script = ROOT / "cmake/isa.cmake"
    machine = "-DCMAKE_SYSTEM_PROCESSOR=x86_64"
    result = cmake(machine, *options, "--trace-expand", "-P", script)
    assert result.returncode == 0, result.stderr
    names = set(re.findall(r"list\(APPEND QK_ISAS (\w+) ?\)", result.stderr))
    assert "scalar" in names
    assert ({"amx_emulated", "avxvnni_evex"} <= names) == built
    presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
    base = next(preset for preset in presets if preset["name"] == "base")
    assert base["cacheVariables"]["QK_TEST_ISAS"] == "ON"


@needs_compiler
@pytest.mark.parametrize(("release", "taken"), [("12.4", False), ("12.8", True)])
def test_an_old_nvcc_is_left_out_and_refused_where_one_is_demanded(
    tmp_path: Path, release: str, taken: bool
) -> None:
    version = f"echo 'Cuda compilation tools, release {release}, V{release}.1'"
    nvcc = _program(tmp_path / "bin/nvcc", version)
    _cuda_project(tmp_path, nvcc)
    common = ("-S", tmp_path, f"-DCMAKE_MODULE_PATH={tmp_path}")
    result = cmake(*common, "-B", tmp_path / "auto", "-DQK_CUDA_ARCHITECTURES=90")
    assert result.returncode == 0, result.stderr
    assert f"has {'ON' if taken else 'OFF'}" in result.stdout
    sentence = f"{nvcc} is of CUDA {release}, and 12.8 is needed."
    assert (sentence in told(result.stdout)) == (not taken)
    demanded = cmake(*common, "-B", tmp_path / "on", "-DQK_CUDA=ON")
    assert (demanded.returncode == 0) == taken
    assert (sentence in told(demanded.stderr)) == (not taken)
