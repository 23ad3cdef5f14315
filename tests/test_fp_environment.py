"""Results do not depend on how the calling thread rounds or what it takes denormals for."""

import ctypes
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from every_operator import Call, every_operator, values

C_LIBRARY = ctypes.CDLL(None)
ROUNDING = {
    "x86_64": {"up": 0x800, "down": 0x400, "toward zero": 0xC00},
    "aarch64": {"up": 0x400000, "down": 0x800000, "toward zero": 0xC00000},
}[platform.machine()]
MODES = [*ROUNDING, "denormals are zero"]


def set_mode(mode: str) -> None:
    if mode in ROUNDING:
        assert C_LIBRARY.fesetround(ROUNDING[mode]) == 0
    else:
        assert torch.set_flush_denormal(True)


def mode_in_use() -> bytes:
    """What sums and products become in this thread's mode: numbers between two, and a denormal."""
    x = np.array([1.0, -1.0, 1.0, 1e-39], np.float32)
    y = np.array([1e-10, -1e-10, -1e-10, 0.0], np.float32)
    return (x * np.float32(1.0) + y).tobytes()


def in_mode(mode: str | None, work: Callable[[], Any]) -> Any:
    """What `work` returns on a thread of that mode: it dies with its mode."""

    def body() -> tuple[Any, bytes, bytes]:
        if mode is not None:
            set_mode(mode)
        before = mode_in_use()
        return work(), before, mode_in_use()

    with ThreadPoolExecutor(1) as thread:
        result, before, after = thread.submit(body).result()
    assert before == after, "the caller's mode is not restored"
    assert mode is None or before != in_mode(None, mode_in_use)
    return result


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Call]:
    return every_operator(tmp_path_factory.mktemp("models"))


def bits(result: Any) -> Any:
    return result.tobytes() if isinstance(result, np.ndarray) else result


def computed(call: Call, threads: int) -> Any:
    with qk.num_threads(threads):
        return call()


@pytest.mark.parametrize("mode", MODES)
def test_the_callers_mode_reaches_no_result(calls: dict[str, Call], mode: str) -> None:
    for threads in (1, 2):
        for name, call in calls.items():
            expected = bits(in_mode(None, partial(computed, call, threads)))
            result = bits(in_mode(mode, partial(computed, call, threads)))
            assert result == expected, (name, threads)


@pytest.mark.parametrize("mode", MODES)
def test_these_calls_would_show_it(mode: str) -> None:
    """A sum of such values does depend on the mode, so that equal results mean something."""
    x = values(1000, seed=1, least=1e-42)
    assert in_mode(mode, lambda: bits(x * x[::-1])) != bits(x * x[::-1])
