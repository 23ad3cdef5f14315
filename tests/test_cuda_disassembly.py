"""The machine code of the CUDA kernels: DP4A, wide loads, registers, instructions a weight.

These are facts of the compiler's output, which no GPU is needed for. The shared object is that of
the installed package. Where there is none, as it was built without a CUDA compiler, or nothing that
takes it apart, the tests are skipped; with QKERNELS_REQUIRE_CUDA that is a failure.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import cuda_disassembly
import qkernels
from cuda_disassembly import Code, Gemv, Usage
from format_facts import FACTS

LIBRARY = Path(qkernels.__file__).parent / "_cuda.so"
ARCH = "sm_90"

# Registers that leave room for the blocks of 128 threads that kernels are planned for: six of them,
# three or two on a multiprocessor with 65536, and four or two of those that take many: slices of 64
# weights, and blocks that decode() reads.
MOST_REGISTERS = {1: 80, 4: 168, 8: 255}
MOST_OF_MANY = {1: 128, 4: 255, 8: 255}

# A package that is put together for sanitizers has no kernels for a device.
_REQUIRED = "QKERNELS_REQUIRE_CUDA" in os.environ and "QKERNELS_SANITIZED" not in os.environ

pytestmark = pytest.mark.slow


def require(there: object, lacking: str) -> None:
    """Skip where the machine lacks something; fail where it must not."""
    if not there:
        (pytest.fail if _REQUIRED else pytest.skip)(lacking)


@pytest.fixture(scope="module")
def library() -> Path:
    require(LIBRARY.exists(), "built without a CUDA compiler")
    return LIBRARY


@pytest.fixture(scope="module")
def readable(library: Path) -> Path:
    """The library, where its machine code can be read."""
    for tool in ("cuobjdump", "nvdisasm"):
        why = f"no {tool}, of the CUDA toolkit: it takes the kernels' machine code apart"
        require(cuda_disassembly.find_tool(tool), why)
    made = cuda_disassembly.architectures(library)
    require(ARCH in made, f"built without machine code for {ARCH}")
    return library


@pytest.fixture(scope="module")
def usages(readable: Path) -> dict[str, Usage]:
    return cuda_disassembly.usages(readable, ARCH)


@pytest.fixture(scope="module")
def products(readable: Path) -> dict[Gemv, Code]:
    """The code of each kernel that multiplies quantised weights."""
    found = cuda_disassembly.codes(readable, ARCH)
    return {gemv: code for name, code in found.items() if (gemv := Gemv.of(name)) is not None}


def test_all_formats_have_kernels_for_all_activations(products: dict[Gemv, Code]) -> None:
    formats = {gemv.format for gemv in products}
    quantised = {name for name in qkernels.formats() if name not in {"f32", "f16", "bf16"}}
    assert formats == quantised
    for fmt in formats:
        kinds = {(g.act, g.columns) for g in products if g.format == fmt}
        assert kinds == {(a, m) for a in cuda_disassembly.ACTS for m in (1, 4, 8)}


def test_integer_activations_are_multiplied_by_dp4a(products: dict[Gemv, Code]) -> None:
    for gemv, code in products.items():
        if gemv.act == "float32":
            assert cuda_disassembly.count(code.texts, "IDP.4A") == 0
        else:
            assert code.inner_loop(), gemv


def test_weights_are_loaded_128_bits_at_a_time(products: dict[Gemv, Code]) -> None:
    """Of blocks that are aligned as they lie in a file, and of all that are packed."""
    seen = set()
    for gemv, code in products.items():
        if gemv.layout == "native" and gemv.format not in {"q4_k", "q5_k"}:
            continue
        wide = cuda_disassembly.loads(code.texts)["LDG.E.128.CONSTANT"]
        assert wide >= (4 if gemv.layout == "native" else 2), gemv  # of two rows
        seen.add(gemv.format)
    assert seen >= {fmt for fmt, facts in FACTS.items() if facts.native_ceiling}


def test_nothing_is_spilled_and_nothing_lies_on_a_stack(usages: dict[str, Usage]) -> None:
    assert {name: u for name, u in usages.items() if u.stack or u.local} == {}


def test_registers_leave_room_for_the_planned_blocks(usages: dict[str, Usage]) -> None:
    for name, usage in usages.items():
        gemv = Gemv.of(name)
        if gemv is not None:
            grid = gemv.format.startswith(("iq1", "iq2", "iq3")) and gemv.layout == "native"
            takes_many = grid or FACTS[gemv.format].many_registers
            most = MOST_OF_MANY if takes_many else MOST_REGISTERS
            assert usage.registers <= most[gemv.columns], name
        else:
            assert usage.registers <= 128, name


def test_instructions_a_weight_stay_below_their_ceilings(products: dict[Gemv, Code]) -> None:
    too_many = {}
    for gemv, code in products.items():
        if gemv.columns != 1 or gemv.act == "float32":
            continue
        facts = FACTS[gemv.format]
        if facts.cuda_ceiling is None or not (gemv.layout == "packed" or facts.native_ceiling):
            continue  # what slices of its own, and packing, are there to avoid
        ceiling = facts.cuda_ceiling + (facts.more_for_int16 if gemv.act == "int16" else 0.0)
        each = cuda_disassembly.instructions_per_weight(code.inner_loop(), gemv.act)
        if each > ceiling:
            too_many[gemv] = (each, ceiling)
    assert too_many == {}


def _readelf(library: Path, *arguments: str) -> str:
    require(shutil.which("readelf"), "no readelf in the PATH")
    command = ["readelf", "--wide", *arguments, str(library)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_no_library_of_cuda_is_needed_to_load_it(library: Path) -> None:
    needed = set(re.findall(r"\(NEEDED\).*\[(.+?)\]", _readelf(library, "--dynamic")))
    allowed = r"lib(stdc\+\+|gcc_s|c|m|dl|rt|pthread)\.so\.\d+|ld-linux.*"
    assert {name for name in needed if not re.fullmatch(allowed, name)} == set()


def test_it_exports_the_c_interface_and_nothing_else(library: Path) -> None:
    symbols = _readelf(library, "--dyn-syms")
    defined = re.findall(r"(?:FUNC|OBJECT)\s+(?:GLOBAL|WEAK)\s+\S+\s+\d+\s+(\S+)", symbols)
    assert "qk_cuda_multiply" in defined
    assert {name for name in defined if not name.startswith("qk_cuda_")} == set()


class _Error(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_int32),
        ("cuda_error", ctypes.c_int32),
        ("message", ctypes.c_char * 240),
    )


def test_without_a_device_it_loads_and_says_what_is_missing(library: Path) -> None:
    dll = ctypes.CDLL(str(library))
    error = _Error()
    assert dll.qk_cuda_abi() == 1
    code = dll.qk_cuda_available(ctypes.byref(error))
    assert code == error.code
    assert (code == 0) == (error.message == b"")
