"""Activations of a model: what its matrices are multiplied with, tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from qkernels.gates import capture, train
from qkernels.llama import Model, Reference, Tokenizer

NDArray = np.ndarray[Any, Any]

PROMPT = "The capital of France is"
DOWN = "blk.1.ffn_down.weight"


def tokens_of(path: Path, prompt: str) -> list[int]:
    with qk.load_gguf(path) as file:
        return Tokenizer.from_metadata(file.metadata).encode(prompt)


def test_captured_inputs_are_what_a_layer_computes_them_from(random_model_path: Path) -> None:
    names = [f"blk.0.{part}.weight" for part in ("ffn_gate", "ffn_up", "ffn_down")]
    found = capture(random_model_path, PROMPT, names)
    assert list(found) == names
    gate, up, down = names
    assert found[gate] is found[up]
    with qk.load_gguf(random_model_path) as file:
        x = found[gate]
        assert x.shape == (len(tokens_of(random_model_path, PROMPT)), file[gate].shape[1])
        g = qk.gemm(file.unpacked(gate), x)
        u = qk.gemm(file.unpacked(up), x)
        np.testing.assert_allclose(found[down], g / (1 + np.exp(-g)) * u, rtol=1e-4, atol=1e-6)


def test_every_matrix_that_is_multiplied_is_captured(random_model_path: Path) -> None:
    found = capture(random_model_path, PROMPT)
    with qk.load_gguf(random_model_path) as file:
        matrices = {name for name, weights in file.items() if isinstance(weights, qk.QTensor)}
        assert set(found) == matrices  # the embedding is the head too
        tokens = len(tokens_of(random_model_path, PROMPT))
        for name, x in found.items():
            assert x.shape == (tokens, file[name].shape[1])
            assert x.dtype == np.float32


def test_each_prompt_is_a_sequence_of_its_own(random_model_path: Path) -> None:
    ids = tokens_of(random_model_path, PROMPT)
    both = capture(random_model_path, [PROMPT, ids[:3]], DOWN)[DOWN]
    first = capture(random_model_path, PROMPT, DOWN)[DOWN]
    second = capture(random_model_path, [PROMPT], DOWN, max_tokens=3)[DOWN]
    assert len(second) == 3
    np.testing.assert_array_equal(both, np.concatenate([first, second]))


def test_a_model_an_open_file_and_a_path_are_the_same(random_model_path: Path) -> None:
    expected = capture(random_model_path, PROMPT, DOWN)[DOWN]
    with Model(random_model_path) as model, qk.load_gguf(random_model_path) as file:
        for source in (model, file, str(random_model_path)):
            np.testing.assert_array_equal(capture(source, PROMPT, DOWN)[DOWN], expected)


def test_capturing_changes_no_logits(random_model: qk.GGUFFile) -> None:
    seen: list[str] = []
    watched = Reference(random_model, observe=lambda name, x: seen.append(name))
    np.testing.assert_array_equal(watched.forward([1, 2]), Reference(random_model).forward([1, 2]))
    assert seen[:3] == [f"blk.0.attn_{part}.weight" for part in "qkv"]
    assert set(seen) == set(watched.multiplied)


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "there are no prompts"),
        ("", {}, "not ids below"),
        ([[10**6]], {}, "not ids below"),
        (PROMPT * 300, {}, "exceed the context 512"),
        (PROMPT, {"tensors": "blk.1.ffn_dwn.weight"}, "one of them is 'blk.1.ffn_down.weight'"),
        (PROMPT, {"tensors": "blk.*.attn_norm.weight"}, "no matrix of the model fits"),
        (PROMPT, {"max_tokens": 0}, "max_tokens=0 is below 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_value(
    random_model_path: Path, prompts: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        capture(random_model_path, prompts, **options)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        capture(tmp_path / "none.gguf", PROMPT)


@pytest.mark.model
def test_gates_of_a_real_matrix_drop_blocks_that_its_activations_do_not_need(
    model_path: Path,
) -> None:
    name = "blk.29.ffn_down.weight"
    prompts = [PROMPT, "def fibonacci(n):\n    if n < 2:\n        return n\n"]
    x = capture(model_path, prompts, name)[name]
    with qk.load_gguf(model_path) as file:
        weights = file[name]
        assert isinstance(weights, qk.QTensor)
        found = train(weights, x, lr="auto", steps=500, l1=2e-3)
        assert 0.2 < found.sparsity < 0.9
        assert found.relative_error < 0.5
        y = x.astype(np.float64) @ weights.dequantize().astype(np.float64).T  # type: ignore[union-attr]
        kept = np.stack([qk.gated_gemv(weights, row, gates=found) for row in x])
        error = float(np.linalg.norm(kept - y) / np.linalg.norm(y))
        assert error == pytest.approx(found.relative_error, rel=1e-3)
