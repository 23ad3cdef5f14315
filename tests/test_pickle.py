"""Copies and pickles of what holds weights, within a process and into another."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from qkernels import _core
from weights import NDArray, random_weights, tensor

RNG = np.random.default_rng(0)


def floats(*shape: int) -> NDArray:
    return RNG.standard_normal(shape, np.float32)


def through_pickle(made: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(made, protocol))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("like", [np.asarray, torch.from_numpy])
def test_weights_pickle_by_the_bytes_that_they_show(protocol: int, like: Any) -> None:
    whole = qk.QTensor(like(random_weights("q4_0", 4000, 64).reshape(40, 100, -1)), "q4_0",
                       (40, 100, 64))  # fmt: skip
    for w in (whole, whole[3], whole[3, ::7, :32], whole[3, 5], whole[:0]):
        pickled = pickle.dumps(w, protocol)
        assert len(pickled) < 2 * w.nbytes + 2000
        again = pickle.loads(pickled)
        assert (again.fmt, again.shape) == (w.fmt, w.shape)
        assert type(again.data) is type(w.data)
        np.testing.assert_array_equal(np.asarray(again.data), np.asarray(w.data))


def test_repeated_rows_pickle() -> None:
    raw = random_weights("q4_0", 4, 64)
    w = qk.QTensor(np.broadcast_to(raw[0], raw.shape), "q4_0", (4, 64))
    np.testing.assert_array_equal(through_pickle(w).data, w.data)


def test_packed_weights_pickle_by_blocks_for_the_isa_where_they_arrive(fmt: str, isa: str) -> None:
    w = tensor(fmt, 20, 300)
    pickled = pickle.dumps(w.pack())
    before = _core.isa()
    try:
        for name in qk.isas():
            _core.force_isa(name)
            again = pickle.loads(pickled)
            assert (again.isa, again.fmt, again.shape) == (name, fmt, (20, 300))
            np.testing.assert_array_equal(again.dequantize(), w.dequantize())
    finally:
        _core.force_isa(before)


def test_gated_weights_pickle_with_their_mask() -> None:
    w, x = tensor("q4_k", 20, 1024), floats(1024)
    packed = w.pack(gates=np.array([True, False, False, True]), block_k=256)
    again = through_pickle(packed)
    assert repr(again) == repr(packed)
    np.testing.assert_array_equal(again.mask, packed.mask)
    np.testing.assert_array_equal(again @ x, packed @ x)


def test_copies_of_weights_are_themselves() -> None:
    w = tensor("q4_k", 6, 512)
    gated = w.pack(gates=np.array([True, False]), block_k=256)
    for made in (w, w.pack(), gated):
        assert copy.copy(made) is copy.deepcopy(made) is made
    assert copy.deepcopy([w, w])[1] is w


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, through_pickle])
def test_copies_of_a_cache_hold_its_positions_and_grow_apart(dtype: str, again: Any) -> None:
    cache = qk.KVCache(2, 40, 64, dtype)
    assert len(again(cache)) == 0
    cache.append(floats(2, 35, 40), floats(2, 35, 40))
    other = again(cache)
    assert repr(other) == repr(cache)
    q = floats(4, 3, 40)
    want = qk.attention(q, cache, causal=True)
    np.testing.assert_array_equal(qk.attention(q, other, causal=True), want)
    other.append(floats(2, 1, 40), floats(2, 1, 40))
    assert (len(cache), len(other)) == (35, 36)
    np.testing.assert_array_equal(qk.attention(q, cache, causal=True), want)


class Layer(torch.nn.Module):
    """A module whose weights are no parameters."""

    def __init__(self, weights: Any) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x @ self.weights.T
        return y


def test_modules_that_hold_weights_are_copied_and_pickled() -> None:
    w = tensor("q4_k", 6, 256)
    x = torch.ones(2, 256)
    for weights in (w, w.pack()):
        layer = Layer(weights)
        for other in (copy.deepcopy(layer), through_pickle(layer)):
            assert torch.equal(other(x), layer(x))


def test_a_tensor_of_a_file_pickles_by_file_and_name() -> None:
    class File:
        closed = False

        def unpacked(self, name: str) -> str:
            return f"tensor {name}"

    w = tensor("q4_k", 6, 256)
    file = File()
    w._source = (file, "blk")
    make, args = w.__reduce__()
    assert make(*args) == "tensor blk"
    assert w[1:].__reduce__()[0] is qk.QTensor  # a part is its bytes
    file.closed = True
    assert w.__reduce__()[0] is qk.QTensor


SPAWN = """
import numpy as np, torch, qkernels as qk
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    def __init__(self, w, packed):
        self.w, self.packed = w, packed

    def __len__(self):
        return len(self.w)

    def __getitem__(self, i):
        ids = torch.tensor([i])
        return torch.cat([qk.get_rows(self.w, ids)[0], qk.get_rows(self.packed, ids)[0]])


if __name__ == "__main__":
    w = qk.quantize(np.random.default_rng(0).standard_normal((4, 64), np.float32), "q4_0")
    loader = DataLoader(Rows(w, w.pack()), num_workers=1, multiprocessing_context="spawn")
    rows = torch.cat(list(loader)).numpy()
    np.testing.assert_array_equal(rows, np.hstack([w.dequantize()] * 2))
    print("same")
"""


def test_a_spawned_worker_takes_a_data_set_of_weights(tmp_path: Path) -> None:
    script = tmp_path / "spawn.py"
    script.write_text(SPAWN)
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (run.stdout, run.returncode) == ("same\n", 0), run.stderr
