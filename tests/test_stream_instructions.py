"""What compilers make of the streaming kernels, whether or not this CPU runs it."""

from __future__ import annotations

import platform
import shutil

import pytest

from check_isa_symbols import can_compile, compile_object, kernel_commands
from count_stream_instructions import KERNELS, Loop, kernels_of

pytestmark = [
    pytest.mark.skipif(
        platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 instructions"
    ),
    pytest.mark.skipif(
        not can_compile() or shutil.which("objdump") is None,
        reason="no C++ compiler, cmake and objdump in the PATH",
    ),
]

# An ISA's multiplication, and the register it is made in.
MULTIPLIES = {
    "avx2": ("vpmaddwd", "%ymm"),
    "avxvnni": ("vpdpbusd", "%ymm"),
    "avx512vnni": ("vpdpbusd", "%zmm"),
}


@pytest.fixture(scope="module", params=MULTIPLIES)
def kernels(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, dict[bool, Loop]]]:
    """An ISA, and its kernels' inner loops by whether they prefetch."""
    isa = str(request.param)
    command = kernel_commands()[isa, "stream/stream_table.cpp"]
    compiled = compile_object(command, tmp_path_factory.mktemp(isa), "-O3")
    return isa, {kernel: found for (_, kernel), found in kernels_of(compiled).items()}


def test_every_isa_has_loops_with_prefetching_and_without(
    kernels: tuple[str, dict[str, dict[bool, Loop]]],
) -> None:
    isa, found = kernels
    assert set(found) == set(KERNELS[1:])
    name, register = MULTIPLIES[isa]
    for kernel, loops in found.items():
        assert set(loops) == {False, True}, kernel
        for prefetches, loop in loops.items():
            uses = [o for n, o in zip(loop.names, loop.operands, strict=True) if n == name]
            assert uses, kernel
            assert all(register in operands for operands in uses), kernel
            lines = sum(n == "prefetcht0" for n in loop.names)
            assert 64 * lines == prefetches * loop.nbytes, kernel


def test_dotprod4_reads_x_once_for_four_rows(
    kernels: tuple[str, dict[str, dict[bool, Loop]]],
) -> None:
    """The bytes that its loop takes from memory are those of the weights, and a quarter more."""
    isa, found = kernels

    def width(name: str, operands: str) -> int:
        if name == "vpmovsxbw":
            return 16
        return 64 if "%zmm" in operands else 32

    loop = found["dotprod4"][False]
    reads = [
        width(name, operands)
        for name, operands in zip(loop.names, loop.operands, strict=True)
        if name.startswith("v") and "(" in operands
    ]
    assert sum(reads) == 1.25 * loop.nbytes, isa
