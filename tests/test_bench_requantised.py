"""Peers with 2, 4 or 8 bits of their own: their weights are near, and their products right."""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack

import numpy as np
import pytest

import qkernels as qk
from qkernels._measure.method import Array, Candidate
from qkernels.bench.peers import Peer, UnsuitedError
from qkernels.bench.peers.onnx_runtime import OnnxRuntime, distinct, pack_bits
from qkernels.bench.peers.requantised import GROUP, bits_of, requantise
from qkernels.bench.peers.torch_int4 import TorchInt4
from qkernels.bench.problem import Problem

N, K, CACHE = 48, 256, 1 << 16
FORMATS = {"q2_k": 2, "iq4_xs": 4, "q4_1": 4, "q8_0": 8}


def problem(fmt: str, m: int = 1, n: int = N, k: int = K) -> Problem:
    return Problem(fmt, n, k, m, True, CACHE)


def exact(given: Problem, bits: int) -> tuple[Array, Array]:
    """The weights quantised anew, float64 (n, k), and the product with them."""
    quants, scales = requantise(given, bits)
    weights = (quants - float(1 << (bits - 1))) * scales[..., None].astype(np.float64)
    weights = weights.reshape(given.n, given.k)
    return weights, given.x.astype(np.float64) @ weights.T


def check_product(peer: Peer, fmt: str, m: int) -> None:
    given = problem(fmt, m)
    with ExitStack() as resources:
        (candidate,) = peer.candidates(given, 2, resources)
        for _ in range(3):
            y = candidate.array(candidate.call()).astype(np.float64)
    _, expected = exact(given, FORMATS[fmt])
    error = np.linalg.norm(y.reshape(expected.shape) - expected) / np.linalg.norm(expected)
    assert 1e-4 < error < 2e-2  # x has 8 bits


@pytest.mark.parametrize("fmt", sorted(FORMATS))
def test_the_weights_are_within_a_step_of_the_formats(fmt: str) -> None:
    given, bits = problem(fmt), FORMATS[fmt]
    weights, _ = exact(given, bits)
    dense = np.asarray(qk.dequantize(given.raw, fmt), np.float64)
    steps = np.abs(requantise(given, bits)[1]).repeat(GROUP, axis=-1)
    # Half a step everywhere, and a whole one where there is no quant above the last.
    assert (np.abs(weights - dense) <= 1.001 * steps).all()
    assert np.mean(np.abs(weights - dense) <= 0.501 * steps) > 0.8


def test_weights_of_zero_stay_zero() -> None:
    given = problem("q8_0")
    given.raw[...] = 0
    quants, scales = requantise(given, 8)
    assert not scales.any()
    assert (quants == 128).all()


def test_the_bits_are_those_of_the_formats_names() -> None:
    found = {fmt: bits_of(fmt) for fmt in qk.formats()}
    assert found["iq4_nl"] == found["mxfp4"] == found["nvfp4"] == 4
    assert found["tq2_0"] == found["q2_k"] == 2
    assert found["q8_ks"] == 8
    assert found["f16"] == 16


def test_quants_lie_from_the_lowest_bits_on() -> None:
    quants = np.arange(32, dtype=np.uint8).reshape(1, 1, 32)
    np.testing.assert_array_equal(pack_bits(quants, 8), quants)
    assert pack_bits(quants % 16, 4)[0, 0, :3].tolist() == [0x10, 0x32, 0x54]
    assert pack_bits(quants % 4, 2).tolist() == [[[0b11100100] * 8]]


def test_copies_differ_from_each_other_and_the_last_is_the_original() -> None:
    scales = np.full((4, 8), 0.01, np.float32)
    copies = distinct(scales, 300)
    assert len({copy.tobytes() for copy in copies}) == 300
    np.testing.assert_array_equal(copies[-1], scales)
    assert all(np.allclose(copy, scales, rtol=1e-4) for copy in copies)


@pytest.mark.parametrize("m", [1, 5])
@pytest.mark.parametrize("fmt", ["iq4_xs", "q4_1"])
def test_torch_multiplies_by_the_new_weights(fmt: str, m: int) -> None:
    assert TorchInt4().absence() is None
    check_product(TorchInt4(), fmt, m)


@pytest.mark.parametrize("m", [1, 5])
@pytest.mark.parametrize("fmt", sorted(FORMATS))
def test_onnxruntime_multiplies_by_the_new_weights_where_it_is_installed(fmt: str, m: int) -> None:
    peer = OnnxRuntime()
    missing = [p for p in ("onnxruntime", "onnx") if importlib.util.find_spec(p) is None]
    if missing:
        assert peer.absence() == f"{missing[0]} is not installed"
    else:
        assert peer.absence() is None
        check_product(peer, fmt, m)


@pytest.mark.parametrize(
    ("peer", "given", "message"),
    [
        (TorchInt4(), problem("q8_0"), "its weights have 4 bits"),
        (OnnxRuntime(), problem("q6_k"), "its weights have 2 or 4 or 8 bits"),
        (TorchInt4(), problem("q4_0", n=40), "n=40 is no multiple of 16"),
        (TorchInt4(), problem("q4_0", k=100), "k=100 is no whole number of groups of 32"),
        (OnnxRuntime(), problem("q4_0", k=100), "k=100 is no whole number of groups of 32"),
    ],
)
def test_what_a_peer_cannot_hold_is_said(peer: Peer, given: Problem, message: str) -> None:
    with pytest.raises(UnsuitedError, match=message), ExitStack() as resources:
        peer.candidates(given, 1, resources)


def test_a_candidate_says_how_many_products_a_call_is() -> None:
    assert Candidate("", lambda: None).products == 1
    if OnnxRuntime().absence() is None:
        with ExitStack() as resources:
            (candidate,) = OnnxRuntime().candidates(problem("q4_0"), 1, resources)
        weight_bytes = N * K // 2 + N * K // GROUP * 4
        assert candidate.products * weight_bytes > 4 * CACHE
