"""The emulated CUDA device (tests/cuda_emu) in place of a real one, for tests of qkernels.cuda.

Its kernels are the sources of src/cuda, compiled for the host; its memory is the host's.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from qkernels.cuda import _library, _scratch
from weights import SANITIZED

PRESETS = ["asan-ubsan"] if SANITIZED else ["cuda-emulated", "release"]
PATHS = [
    Path(__file__).parents[1] / "build" / preset / "tests/cuda/libqkernels_cuda_emulated.so"
    for preset in PRESETS
]
BUILT = next((path for path in PATHS if path.exists()), PATHS[0])


class Emulator:
    """What the emulated device is asked beside its work."""

    def __init__(self, path: Path) -> None:
        self._dll = ctypes.CDLL(str(path))

    def set_devices(self, count: int, major: int = 9, minor: int = 0) -> None:
        self._dll.qk_emulated_set_devices(count, major, minor)

    def take_log(self) -> list[str]:
        """The calls of the CUDA runtime since the last time, as text."""
        text = ctypes.create_string_buffer(1 << 20)
        count = self._dll.qk_emulated_take_log(text, len(text))
        lines = text.value.decode().splitlines()
        assert len(lines) == count
        return lines

    @contextmanager
    def capturing(self, strict: bool = False) -> Iterator[None]:
        """A stream records a graph meanwhile, which nothing may spoil.

        Where it is `strict` nothing is allocated or freed either, whatever the caller says.
        """
        self._dll.qk_emulated_set_capture(2 if strict else 1)
        try:
            yield
            assert self._dll.qk_emulated_capture() != 3, "the recording is spoilt"
        finally:
            self._dll.qk_emulated_set_capture(0)

    @contextmanager
    def owning_host_memory(self, device: int) -> Iterator[None]:
        """All memory counts as that of a device, so that torch's CPU tensors are on it."""
        self._dll.qk_emulated_set_owner_of_host_memory(device)
        try:
            yield
        finally:
            self._dll.qk_emulated_set_owner_of_host_memory(-1)


def find_library() -> Path:
    """The emulated device's library; the test that asks is skipped without it."""
    path = Path(os.environ.get(_library.VARIABLE, BUILT))
    if not path.exists():
        why = f"no emulated CUDA device at {path}: cmake --workflow --preset {PRESETS[0]} builds it"
        if "QKERNELS_REQUIRE_CUDA" in os.environ:
            pytest.fail(why)
        pytest.skip(why)
    return path


@pytest.fixture(scope="session")
def loaded_emulator() -> Iterator[Emulator]:
    path = find_library()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(_library.VARIABLE, str(path))
        _library._load.cache_clear()
        assert qk.cuda.available(), qk.cuda.reason()
        yield Emulator(path)


@pytest.fixture
def emulator(loaded_emulator: Emulator) -> Emulator:
    """Two devices, on which nothing has happened."""
    loaded_emulator.set_devices(2)
    _scratch._kept.clear()
    loaded_emulator.take_log()
    return loaded_emulator


class Foreign:
    """An array of another library: one of ours, with the protocols' answers changed."""

    def __init__(self, array: qk.cuda.DeviceArray, **changes: Any) -> None:
        self.array = array
        self.changes = changes

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.array.__cuda_array_interface__, "stream": None, **self.changes}


def on_device(x: Any, device: int = 0, stream: int = 0) -> qk.cuda.DeviceArray:
    return qk.cuda.DeviceArray.from_numpy(np.asarray(x), device, stream=stream)


def launches(log: list[str]) -> list[str]:
    return [line for line in log if line.startswith("launch")]
