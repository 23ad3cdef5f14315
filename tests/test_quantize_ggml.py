"""qkernels.quantize beside ggml's own quantisers, which llama-cpp-python brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import qkernels as qk
from format_facts import FACTS, made
from ggml_quantizers import by_ggml
from qkernels.bench.peers import ggml_library
from quantizer_table import seconds
from weights import reference

if TYPE_CHECKING:
    from pathlib import Path

NDArray = np.ndarray[Any, Any]

pytestmark = pytest.mark.skipif(
    ggml_library.folder() is None, reason="needs llama-cpp-python, of the bench extra"
)

SEARCHED = made("search")
AS_GGML = [fmt for fmt in made("gguf", "ggml") if not FACTS[fmt].is_float]
SEARCHED_BY_IMPORTANCE = [*SEARCHED, "q4_0", "q4_1", "q5_0", "q5_1"]
N, K = 64, 1024


def squared_error(blocks: NDArray, fmt: str, weights: NDArray, imatrix: NDArray | None) -> float:
    difference = reference(blocks, fmt).astype(np.float64) - weights
    return float((difference**2 * (1 if imatrix is None else imatrix)).sum())


def importance(k: int) -> NDArray:
    """Mean squares of activations whose columns differ in size by some orders of magnitude."""
    rng = np.random.default_rng(3)
    activations = rng.standard_normal((200, k)) * np.exp(rng.standard_normal(k))
    return np.asarray((activations**2).mean(axis=0), np.float32)


def assert_no_worse_than_ggml(weights: NDArray, fmt: str, imatrix: NDArray | None) -> None:
    ours = np.asarray(qk.quantize(weights, fmt, imatrix=imatrix).data)
    theirs = by_ggml(weights, fmt, imatrix)
    error = squared_error(ours, fmt, weights, imatrix)
    assert error <= 1.01 * squared_error(theirs, fmt, weights, imatrix)


SOURCES = {
    "gaussian": lambda rng: rng.standard_normal((N, K)),
    "laplacian": lambda rng: rng.laplace(size=(N, K)),
    "uniform": lambda rng: rng.random((N, K)) - 0.5,
    "shifted": lambda rng: rng.standard_normal((N, K)) + 2,
    "small": lambda rng: rng.standard_normal((N, K)) * 1e-3,
}


def source(name: str) -> NDArray:
    return np.asarray(SOURCES[name](np.random.default_rng(0)), np.float32)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("fmt", SEARCHED)
def test_the_squared_error_is_at_most_1_percent_above_ggml(fmt: str, name: str) -> None:
    assert_no_worse_than_ggml(source(name), fmt, None)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("fmt", SEARCHED_BY_IMPORTANCE)
def test_the_weighted_error_is_at_most_1_percent_above_ggml(fmt: str, name: str) -> None:
    assert_no_worse_than_ggml(source(name), fmt, importance(K))


@pytest.mark.model
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("fmt", SEARCHED)
def test_so_it_is_for_tensors_of_a_real_model(fmt: str, weighted: bool, model_path: Path) -> None:
    """Down projections, the only ones whose rows are whole superblocks."""
    with qk.load_gguf(model_path) as file:
        for layer in (0, 12, 29):
            tensor = file.unpacked(f"blk.{layer}.ffn_down.weight")
            assert isinstance(tensor, qk.QTensor)
            weights = np.asarray(qk.dequantize(tensor, rows=slice(0, N)))
            imatrix = importance(weights.shape[1]) if weighted else None
            assert_no_worse_than_ggml(weights, fmt, imatrix)


@pytest.mark.parametrize("fmt", AS_GGML)
@pytest.mark.parametrize("name", SOURCES)
def test_what_is_no_search_makes_the_bytes_of_ggml(fmt: str, name: str) -> None:
    weights = source(name)
    weights[0, :256] = 0
    np.testing.assert_array_equal(qk.quantize(weights, fmt).data, by_ggml(weights, fmt))


@pytest.mark.parametrize("fmt", SEARCHED)
def test_a_search_takes_less_time_than_ggml_on_one_thread(fmt: str) -> None:
    """By how much, `scripts/quantizer_table.py` measures; here others share the processor."""
    weights = source("gaussian")
    ours, theirs = [], []
    for _ in range(3):
        ours.append(seconds(lambda: qk.quantize(weights, fmt, threads=1)))
        theirs.append(seconds(lambda: by_ggml(weights, fmt)))
    assert min(ours) < min(theirs)
