"""What a model computes: logits and tokens of the reference, whatever the model and the options."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from model_variants import VARIANTS
from qkernels.demo.random_model import random_llama
from qkernels.llama import Model, Reference, models
from straightforward import relative_error, straightforward_logits

PROMPT = [260, 274, 276, 282, 284, 22, 20, 33]
# The least pieces that a model reads a prompt in.
BATCH = 512


@pytest.fixture
def model(random_model_path: Path) -> Iterator[Model]:
    with Model(random_model_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def long_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose context is longer than two pieces of a prompt."""
    path = tmp_path_factory.mktemp("long") / "long.gguf"
    return random_llama(path, layers=2, context=1200)


def long_prompt(count: int) -> list[int]:
    return [3 + i * i % 280 for i in range(count)]


@pytest.mark.parametrize("pack", [True, False], ids=["packed", "blocks"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_the_straightforward_computation(
    variant: str, pack: bool, tmp_path: Path
) -> None:
    path = random_llama(tmp_path / "variant.gguf", **VARIANTS[variant])
    with qk.load_gguf(path) as file, Model(path, pack=pack) as model:
        logits = model.logits(PROMPT)
        assert logits.dtype == np.float32
        assert relative_error(logits, straightforward_logits(file, PROMPT)) < 2e-3


@pytest.mark.parametrize(
    ("act", "cache_dtype", "bound"),
    [("float32", "float32", 1e-5), ("float32", "float16", 2e-3), ("int8", "float16", 0.1)],
)
def test_options_round_as_much_as_they_say(
    random_model: qk.GGUFFile, act: str, cache_dtype: str, bound: float
) -> None:
    exact = Reference(random_model, "float64").forward(PROMPT)
    with Model(random_model.path, act=act, cache_dtype=cache_dtype) as model:
        assert relative_error(model.logits(PROMPT), exact) < bound


def test_greedy_text_is_that_of_float64(random_model: qk.GGUFFile, model: Model) -> None:
    prompt = "The capital of France is"
    ids = model.tokenizer.encode(prompt)
    exact = Reference(random_model, "float64").greedy(ids, 24, model.tokenizer.eos_ids)
    expected = "".join(model.tokenizer.stream(exact))
    assert "".join(model.generate(prompt, 24)) == expected
    assert "".join(model.generate(ids, 24)) == expected


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 3])
def test_a_prompt_in_pieces_is_as_one(long_path: Path, count: int) -> None:
    prompt = long_prompt(count)
    with qk.load_gguf(long_path) as file, Model(long_path) as model:
        reference = Reference(file)
        exact = reference.forward(prompt)
        assert model.logits(prompt).shape == exact.shape
        assert relative_error(model.logits(prompt)[-1], exact[-1]) < 2e-3
        reference.reset()
        expected = list(islice(reference.greedy(prompt, 4, model.tokenizer.eos_ids), 4))
        assert "".join(model.generate(prompt, 4)) == "".join(model.tokenizer.stream(expected))


def test_whole_pieces_of_the_last_prompt_are_not_read_again(long_path: Path) -> None:
    prompt = long_prompt(BATCH + 100)
    with Model(long_path) as fresh:
        expected = "".join(fresh.generate([*prompt, 7, 8], 8))
    with Model(long_path) as model:
        first = "".join(model.generate(prompt, 8))
        assert model.stats.reused_tokens == 0
        assert "".join(model.generate([*prompt, 7, 8], 8)) == expected
        assert (model.stats.prompt_tokens, model.stats.reused_tokens) == (BATCH + 102, BATCH)
        assert "".join(model.generate(prompt, 8)) == first
        list(model.generate([9, *prompt], 1))
        assert model.stats.reused_tokens == 0
        model.logits(PROMPT)
        assert "".join(model.generate(prompt, 8)) == first
        assert model.stats.reused_tokens == 0


def test_a_piece_is_reused_only_where_a_token_is_left_to_read(long_path: Path) -> None:
    prompt = long_prompt(BATCH)
    with Model(long_path) as model:
        first = list(model.generate(prompt, 4))
        assert list(model.generate(prompt, 4)) == first
        assert model.stats.reused_tokens == 0


def test_a_seed_gives_the_same_text_again_and_another_one_another(model: Model) -> None:
    def text(seed: int | None) -> str:
        return "".join(model.generate(PROMPT, 24, temperature=1.5, top_k=0, top_p=1.0, seed=seed))

    assert text(1) == text(1)
    assert len({text(seed) for seed in range(4)}) == 4
    assert len({text(None) for _ in range(4)}) > 1


def test_threads_change_no_bit(random_model_path: Path, model: Model) -> None:
    for threads in (1, 2, 3):
        with Model(random_model_path, threads=threads) as other:
            np.testing.assert_array_equal(other.logits(PROMPT), model.logits(PROMPT))
            assert list(other.generate(PROMPT, 16)) == list(model.generate(PROMPT, 16))


def test_a_penalty_keeps_a_text_from_repeating_itself(model: Model) -> None:
    def distinct(penalty: float) -> int:
        pieces = list(model.generate(PROMPT, 48, repetition_penalty=penalty))
        return len(set(pieces))

    assert distinct(8.0) > distinct(1.0)


def test_statistics_count_tokens_seconds_and_bytes(random_model_path: Path, model: Model) -> None:
    list(model.generate(PROMPT, 12))
    stats = model.stats
    assert (stats.prompt_tokens, stats.tokens) == (len(PROMPT), 12)
    assert stats.prompt_seconds > 0
    assert stats.tokens_per_second == pytest.approx(11 / stats.seconds)
    # Its matrices are nearly all of the file, and the cache is small beside them.
    size = random_model_path.stat().st_size
    assert 0.8 * size < stats.bytes_per_token < 1.5 * size
    assert 0 < stats.bandwidth_fraction < 100


def test_the_word_smollm2_is_a_model_that_is_found(
    random_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "find_model", lambda: random_model_path)
    with Model("smollm2") as model:
        assert repr(model) == "Model(llama, 4 layers of width 256, context 512)"
    assert repr(model) == "Model(llama, 4 layers of width 256, closed)"


def test_a_shorter_context_is_a_choice(random_model_path: Path) -> None:
    with Model(random_model_path, max_context=16) as model:
        assert model.context == 16
        assert model.logits(range(16)).shape == (16, len(model.tokenizer))


def test_importing_loads_nothing_heavy() -> None:
    heavy = ["torch", "tokenizers", "jinja2", "gguf", "typer", "rich", "qkernels.bench"]
    code = (
        "import sys, qkernels; assert 'qkernels.llama' not in sys.modules;"
        f"qkernels.llama.Model; print([m for m in {heavy!r} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_there_is_no_other_lazy_attribute() -> None:
    package: Any = qk
    with pytest.raises(AttributeError, match="module 'qkernels' has no attribute 'llamas'"):
        package.llamas  # noqa: B018 (looking it up is what is tested)


@pytest.mark.model
def test_the_capital_of_france_is_paris(model_path: Path) -> None:
    with Model(model_path) as model:
        assert "Paris" in "".join(model.generate("The capital of France is", 4))
        question = {"role": "user", "content": "What is the capital of France?"}
        assert "Paris" in "".join(model.chat([question], 24))


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_agrees_with_float64(model_path: Path) -> None:
    with qk.load_gguf(model_path) as file, Model(model_path) as model:
        prompt = model.tokenizer.encode("Water boils at 100 degrees")
        exact = Reference(file, "float64").forward(prompt)
        assert relative_error(model.logits(prompt), exact) < 2e-3
