"""Loading the kernels: what available() and reason() say where they cannot run, and what can."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qkernels as qk
from emulated_cuda import Emulator
from qkernels import _core
from qkernels.cuda import _abi, _library
from weights import SANITIZED

ROOT = Path(__file__).parents[1]
SAY = "import qkernels as qk; print(qk.cuda.available()); print(qk.cuda.reason())"


def said(library: object, code: str = SAY) -> list[str]:
    """The lines that a new process prints, with the kernels taken from a file."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "QKERNELS_CUDA_LIBRARY": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def compiled(tmp_path: Path, source: str) -> Path:
    """A shared object of a few lines of C."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler in the PATH")
    path = tmp_path / "stub.so"
    text = tmp_path / "stub.c"
    text.write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path, text], check=True)
    return path


def test_importing_the_package_loads_neither_cuda_nor_torch() -> None:
    code = (
        "import sys, qkernels as qk; print('qkernels.cuda' in sys.modules);"
        "qk.cuda; print('qkernels.cuda' in sys.modules, 'torch' in sys.modules);"
        "from qkernels.cuda import _library; print(_library._load.cache_info().currsize)"
    )
    assert said("/nowhere", code) == ["False", "True False", "0"]


def test_without_the_file_the_reason_names_it() -> None:
    assert said("/nowhere/_cuda.so") == [
        "False",
        "this installation was built without CUDA: there is no /nowhere/_cuda.so",
    ]


def test_a_file_that_is_no_library_is_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "_cuda.so"
    path.write_text("not a library")
    answer, reason = said(path)
    assert answer == "False"
    assert reason.startswith(f"{path} cannot be loaded: ")


def test_a_library_of_another_interface_is_a_reason(tmp_path: Path) -> None:
    path = compiled(tmp_path, "int qk_cuda_abi(void) { return 77; }")
    assert said(path) == ["False", f"{path} has version 77 of the interface, not {_abi.ABI}"]


def test_a_library_that_lacks_a_function_is_a_reason(tmp_path: Path) -> None:
    path = compiled(tmp_path, f"int qk_cuda_abi(void) {{ return {_abi.ABI}; }}")
    answer, reason = said(path)
    assert answer == "False"
    assert "qk_cuda_available" in reason


def test_a_device_is_demanded_with_the_reason_why_there_is_none() -> None:
    code = (
        "import numpy as np, qkernels as qk\n"
        "w = qk.QTensor(np.zeros((1, 34), np.uint8), 'q8_0', (1, 32))\n"
        "for f in (lambda: w.to('cuda'), qk.cuda.Executor, lambda: qk.cuda.DeviceArray((1,)),\n"
        "          qk.cuda.device_info):\n"
        "    try: f()\n"
        "    except qk.cuda.CudaError as error: print(error)\n"
        "print(qk.cuda.device_count())"
    )
    text = (
        "no CUDA device can be used: this installation was built without CUDA: "
        "there is no /nowhere/_cuda.so"
    )
    assert said("/nowhere/_cuda.so", code) == [text] * 4 + ["0"]


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        ("qk_emulated_set_driver_missing(1)", "there is no CUDA driver on this machine"),
        ("qk_emulated_set_devices(0, 9, 0)", "cudaErrorNoDevice"),
        (
            "qk_emulated_set_devices(1, 7, 0)",
            "emulated device has compute capability 7.0, kernels need 7.5",
        ),
    ],
)
def test_machines_without_a_usable_device_are_told_apart(
    emulator: Emulator, machine: str, reason: str
) -> None:
    code = f"import ctypes; ctypes.CDLL({str(_library.path())!r}).{machine}; {SAY}"
    answer, why = said(_library.path(), code)
    assert answer == "False"
    assert reason in why


def test_the_kernels_as_they_are_shipped_load_and_ask_for_a_driver() -> None:
    path = Path(str(_core.__file__)).with_name("_cuda.so")
    if not path.exists():
        if "QKERNELS_REQUIRE_CUDA" in os.environ and not SANITIZED:
            pytest.fail(f"there is no {path}")
        pytest.skip("this package was built without CUDA")
    answer, reason = said(path)
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        assert (answer, reason) == ("False", "there is no CUDA driver on this machine")
    else:
        assert (answer == "True") == (reason == "")


def test_devices_are_counted_and_described(emulator: Emulator) -> None:
    assert qk.cuda.available()
    assert qk.cuda.reason() == ""
    assert qk.cuda.device_count() == 2
    assert qk.cuda.device_info(1) == {
        "name": "emulated device",
        "capability": (9, 0),
        "multiprocessors": 2,
        "driver": "13.0",
        "memory_bytes": 1 << 30,
        "l2_bytes": 1 << 20,
    }
    with pytest.raises(IndexError, match=r"device 2 is outside 0\.\.1"):
        qk.cuda.device_info(2)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (_abi.TYPE, TypeError),
        (_abi.VALUE, ValueError),
        (_abi.INDEX, IndexError),
        (_abi.MEMORY, MemoryError),
        (_abi.RUNTIME, qk.cuda.CudaError),
    ],
)
def test_every_code_of_the_interface_has_its_exception(code: int, kind: type[Exception]) -> None:
    error = _library._exception(_abi.Error(code, 719, b"it broke"))
    assert type(error) is kind
    assert str(error) == "it broke"
    assert getattr(error, "number", 719) == 719


def test_structures_are_as_the_header_has_them(tmp_path: Path) -> None:
    """Sizes and the last field's place, as a C compiler sees them."""
    names = {
        "qk_cuda_error": (_abi.Error, "message"),
        "qk_cuda_device_info": (_abi.DeviceInfo, "l2_bytes"),
        "qk_cuda_format_info_t": (_abi.FormatInfo, "is_float"),
        "qk_cuda_matrix": (_abi.Matrix, "dtype"),
        "qk_cuda_weights": (_abi.Weights, "layout"),
        "qk_cuda_product": (_abi.Product, "function"),
    }
    lines = [
        f"long size_{name}(void) {{ return sizeof({name}) * 1000 + offsetof({name}, {last}); }}"
        for name, (_, last) in names.items()
    ]
    header = ROOT / "src/cuda/qk_cuda.h"
    path = compiled(tmp_path, f'#include <stddef.h>\n#include "{header}"\n' + "\n".join(lines))
    dll = ctypes.CDLL(str(path))
    for name, (structure, last) in names.items():
        expected = ctypes.sizeof(structure) * 1000 + getattr(structure, last).offset
        assert getattr(dll, f"size_{name}")() == expected, name


def test_every_function_of_the_header_has_its_prototype() -> None:
    text = (ROOT / "src/cuda/qk_cuda.h").read_text()
    declared = set(re.findall(r"^int (qk_cuda_\w+)\(", text, flags=re.M))
    assert declared == {*_abi.PROTOTYPES, "qk_cuda_abi"}
