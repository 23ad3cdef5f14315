from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
from numpy.typing import NDArray

import qkernels as qk
from model_variants import VARIANTS, Altered
from qkernels.demo.random_model import random_llama
from qkernels.llama import Reference, Tokenizer
from straightforward import relative_error, straightforward_logits

Array = NDArray[Any]
PROMPT = [260, 274, 276, 282, 284, 22, 20, 33]


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[qk.GGUFFile]:
    path = random_llama(tmp_path / "variant.gguf", **VARIANTS[str(request.param)])
    with qk.load_gguf(path) as file:
        yield file


def test_float64_is_the_straightforward_computation(variant: qk.GGUFFile) -> None:
    logits = Reference(variant, "float64").forward(PROMPT)
    assert logits.dtype == np.float64
    assert relative_error(logits, straightforward_logits(variant, PROMPT)) < 1e-12


def test_a_packed_variant_stays_close_to_float64(variant: qk.GGUFFile) -> None:
    exact = Reference(variant, "float64").forward(PROMPT)
    assert relative_error(Reference(variant).forward(PROMPT), exact) < 1e-3
    with qk.load_gguf(variant.path, pack=True) as packed:
        assert relative_error(Reference(packed).forward(PROMPT), exact) < 1e-3


@pytest.mark.parametrize(("act", "bound"), [("float32", 1e-5), ("int16", 1e-3), ("int8", 0.1)])
def test_quantised_products_stay_close_to_float64(
    random_model: qk.GGUFFile, act: str, bound: float
) -> None:
    exact = Reference(random_model, "float64").forward(PROMPT)
    logits = Reference(random_model, act=act).forward(PROMPT)
    assert logits.dtype == np.float32
    assert relative_error(logits, exact) < bound


def test_quantised_products_choose_the_same_tokens_as_float64(random_model: qk.GGUFFile) -> None:
    exact = Reference(random_model, "float64").greedy(PROMPT, 24)
    assert list(Reference(random_model).greedy(PROMPT, 24)) == list(exact)


@pytest.mark.parametrize(("precision", "bound"), [("float64", 1e-12), ("qkernels", 1e-3)])
def test_a_prompt_at_once_equals_token_by_token(
    random_model: qk.GGUFFile, precision: Literal["float64", "qkernels"], bound: float
) -> None:
    llama = Reference(random_model, precision)
    at_once = llama.forward(PROMPT)
    llama.reset()
    one_by_one = np.concatenate([llama.forward([token]) for token in PROMPT])
    assert relative_error(one_by_one, at_once) < bound
    llama.reset()
    in_two = np.concatenate([llama.forward(PROMPT[:3]), llama.forward(PROMPT[3:])])
    assert relative_error(in_two, at_once) < bound


def test_a_packed_model_chooses_the_same_tokens(
    random_model: qk.GGUFFile, random_model_path: Path
) -> None:
    expected = list(Reference(random_model).greedy(PROMPT, 8))
    assert len(set(expected)) > 1
    with qk.load_gguf(random_model_path, pack=True) as packed:
        assert isinstance(packed["token_embd.weight"], qk.PackedTensor)
        assert list(Reference(packed).greedy(PROMPT, 8)) == expected
        exact = Reference(random_model, "float64").forward(PROMPT)
        np.testing.assert_array_equal(Reference(packed, "float64").forward(PROMPT), exact)
        assert relative_error(Reference(packed).forward(PROMPT), exact) < 2e-3


def test_reset_forgets(random_model: qk.GGUFFile) -> None:
    llama = Reference(random_model)
    first = llama.forward(PROMPT)
    llama.reset()
    np.testing.assert_array_equal(llama.forward(PROMPT), first)


def test_greedy_ends_before_a_stop_token(random_model: qk.GGUFFile) -> None:
    tokens = list(Reference(random_model).greedy(PROMPT, 8))
    last = next(i for i, token in enumerate(tokens) if i > 0 and token not in tokens[:i])
    stopped = Reference(random_model).greedy(PROMPT, 8, stop={tokens[last]})
    assert list(stopped) == tokens[:last]


@pytest.mark.parametrize("tokens", [[], [-1], [1 << 20]])
def test_only_ids_of_the_vocabulary_are_taken(random_model: qk.GGUFFile, tokens: list[int]) -> None:
    with pytest.raises(ValueError, match=r"are not ids below"):
        Reference(random_model).forward(tokens)


def test_the_context_is_a_limit(random_model: qk.GGUFFile) -> None:
    altered = Altered(random_model)
    altered.metadata["llama.context_length"] = 4
    llama = Reference(cast(qk.GGUFFile, altered))
    llama.forward([1, 2, 3])
    with pytest.raises(ValueError, match=r"3 \+ 2 tokens exceed the context 4"):
        llama.forward([4, 5])


def test_an_output_matrix_of_its_own_is_the_head(random_model: qk.GGUFFile) -> None:
    tied = Reference(random_model).forward(PROMPT)
    altered = Altered(random_model)
    embedding = random_model["token_embd.weight"]
    assert isinstance(embedding, qk.QTensor)
    # The same rows in another order give the same logits in that order.
    altered["output.weight"] = qk.QTensor(
        np.asarray(embedding.data)[::-1].copy(), "q8_0", embedding.shape
    )
    untied = Reference(cast(qk.GGUFFile, altered)).forward(PROMPT)
    np.testing.assert_array_equal(untied, tied[:, ::-1])


@pytest.mark.parametrize("precision", ["qkernels", "float64"])
def test_weights_that_are_not_finite_are_said(
    random_model: qk.GGUFFile, precision: Literal["float64", "qkernels"]
) -> None:
    altered = Altered(random_model)
    altered["blk.1.ffn_norm.weight"] = np.full(256, np.inf, np.float32)
    with pytest.raises(ValueError, match="the logits hold NaN"):
        list(Reference(cast(qk.GGUFFile, altered), precision).greedy(PROMPT, 2))


def test_the_precision_is_one_of_two(random_model: qk.GGUFFile) -> None:
    with pytest.raises(ValueError, match="precision is 'float16'"):
        Reference(random_model, cast(Any, "float16"))


@pytest.mark.model
@pytest.mark.parametrize("precision", ["qkernels", pytest.param("float64", marks=pytest.mark.slow)])
def test_the_capital_of_france_is_paris(
    model_path: Path, precision: Literal["float64", "qkernels"]
) -> None:
    with qk.load_gguf(model_path) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata)
        prompt = tokenizer.encode("The capital of France is")
        ids = Reference(file, precision).greedy(prompt, 4, tokenizer.eos_ids)
        assert "Paris" in tokenizer.decode(ids)


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_agrees_with_float64(model_path: Path) -> None:
    with qk.load_gguf(model_path) as file:
        prompt = Tokenizer.from_metadata(file.metadata).encode("Water boils at 100 degrees")
        exact = Reference(file, "float64").forward(prompt)
        assert relative_error(Reference(file).forward(prompt), exact) < 2e-3
