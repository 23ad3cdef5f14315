"""Memory that is allocated and freed, by a finaliser at that, while a stream records a graph."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import qkernels as qk
from emulated_cuda import Emulator
from qkernels.cuda import _memory
from qkernels.cuda._library import CudaError, library
from qkernels.cuda._memory import Memory


def test_memory_comes_and_goes_while_a_graph_is_recorded(emulator: Emulator) -> None:
    array = qk.cuda.DeviceArray.from_numpy(np.ones((3, 4), np.float32), 0)
    weights = qk.quantize(np.ones((4, 256), np.float32), "q4_k").to(0)
    emulator.take_log()
    with emulator.capturing():
        other = Memory(0, 64)
        del array, weights
        gc.collect()
        other.free()
    assert emulator.take_log().count("free") == 3


def test_what_cannot_be_freed_meanwhile_is_freed_by_a_later_allocation(emulator: Emulator) -> None:
    memory = [Memory(0, 64), Memory(1, 64)]
    with emulator.capturing(strict=True):
        memory.clear()
        gc.collect()
        assert len(_memory._later) == 2
    emulator.take_log()
    Memory(0, 64).free()
    assert _memory._later == type(_memory._later)()
    assert emulator.take_log().count("free") == 3


def test_another_refusal_is_raised_and_nothing_is_kept(emulator: Emulator) -> None:
    memory = Memory(0, 64)
    library().call("free", 0, memory.pointer)
    with pytest.raises(CudaError, match="freeing memory"):
        memory.free()
    assert not _memory._later
    assert memory.freed
