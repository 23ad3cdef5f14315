"""The runtime against a float64 forward pass over the same file: logits, perplexity and tokens.

The standard is `Reference(precision="float64")`: the file's weights decoded to float64, and every
operation in float64. SmolLM2 reads windows of a book; a relative error is norm(y - ref) / norm(ref)
over the logits of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import qkernels as qk
from qkernels import _core
from qkernels.llama import Model, Reference

TEXT = Path(__file__).parent / "data" / "alice.txt"
WINDOW = 512
WINDOWS = 8
PROMPTS = [
    "The capital of France is",
    "Water boils at a temperature of",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n",
    "The three primary colours are",
    "In 1969, the first human being",
    "A recipe for bread needs flour,",
    "Dear Sir or Madam,\n\nI am writing to",
    "The quick brown fox",
    "To be, or not to be, that is",
    "1, 2, 3, 4, 5,",
    "My favourite animal is the elephant, because",
    "Photosynthesis is the process by which",
    "She opened the door and saw",
    "The speed of light is about",
    "import numpy as np\n\nx = np.",
    "Q: What is the largest planet of the solar system?\nA:",
    "Roses are red, violets are",
    "<|im_start|>user\nName a fruit.<|im_end|>\n<|im_start|>assistant\n",
    "It was a dark and stormy night;",
]


@dataclass
class Deviation:
    """What adds up to a relative error of logits and of a perplexity."""

    difference: float = 0.0
    reference: float = 0.0
    loss: list[float] = field(default_factory=list)
    exact_loss: list[float] = field(default_factory=list)

    def add(self, logits: Any, exact: Any, tokens: list[int], exact_loss: list[float]) -> None:
        for some in rows_at_once(exact):
            self.difference += float(np.linalg.norm(logits[some] - exact[some]) ** 2)
            self.reference += float(np.linalg.norm(exact[some]) ** 2)
        self.loss += losses(logits, tokens)
        self.exact_loss += exact_loss

    @property
    def of_logits(self) -> float:
        return float(np.sqrt(self.difference / self.reference))

    @property
    def of_perplexity(self) -> float:
        return float(abs(np.exp(np.mean(self.loss) - np.mean(self.exact_loss)) - 1))


def rows_at_once(logits: Any) -> Iterator[slice]:
    """Few enough rows of a vocabulary's scores to stay in a cache."""
    return (slice(first, first + 16) for first in range(0, len(logits), 16))


def losses(logits: Any, tokens: list[int]) -> list[float]:
    """The negative log-likelihood of each token but the first."""
    found: list[float] = []
    for some in rows_at_once(logits[:-1]):
        scores = np.asarray(logits[:-1][some], np.float64)
        largest = scores.max(axis=-1)
        total = largest + np.log(np.exp(scores - largest[:, None]).sum(axis=-1))
        found += list(total - scores[np.arange(len(scores)), tokens[1:][some]])
    return found


@pytest.fixture(scope="module")
def reference(model_path: Path) -> Iterator[Reference]:
    with qk.load_gguf(model_path) as file, threadpool_limits(1):  # of several workers, this is one
        yield Reference(file, "float64")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(900)
def test_logits_and_perplexity_of_a_book_are_those_of_float64(
    model_path: Path, reference: Reference
) -> None:
    # act, cache: the bounds on logits and on the perplexity
    bounds = {
        ("float32", "float32"): (1e-5, 1e-6),
        ("int16", "float32"): (2e-4, 5e-5),
        ("int16", "float16"): (1e-3, 2e-4),
    }
    found = {key: Deviation() for key in bounds}
    models = {
        (act, cache): Model(model_path, act=act, cache_dtype=cache, max_context=WINDOW, threads=1)
        for act, cache in bounds
    }
    tokenizer = models["int16", "float16"].tokenizer
    ids = tokenizer.encode(TEXT.read_text(encoding="utf-8"))
    assert len(ids) >= 8 * WINDOW, "the text is shorter than the comparison needs"
    for start in range(0, WINDOWS * WINDOW, WINDOW):
        window = ids[start : start + WINDOW]
        reference.reset()
        exact = reference.forward(window)
        exact_loss = losses(exact, window)
        for key, model in models.items():
            found[key].add(model.logits(window), exact, window, exact_loss)
    for key, (logits, perplexity) in bounds.items():
        of = found[key]
        print(f"{key}: logits {of.of_logits:.1e}, perplexity {of.of_perplexity:.1e}")
        assert of.of_logits <= logits, key
        assert of.of_perplexity <= perplexity, key


def greedy_tokens(model: Model, prompt: list[int], count: int) -> list[int]:
    """The runtime's own choices, past ends of text too."""
    assert model._session is not None
    core = model._session.core
    sampler = _core.Sampler(0.0, 0, 1.0, 0.0, 1.0, 0, 0)
    core.truncate(0)
    core.forward(prompt, "none")
    core.truncate(len(prompt) - 1)
    tokens = [prompt[-1]]
    for _ in range(count):
        tokens.append(core.step(tokens[-1], sampler))
    return tokens[1:]


def gap_of(scores: NDArray[np.float64]) -> float:
    """How far the largest is above the second."""
    second, first = np.partition(scores, -2)[-2:]
    return float(first - second)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(900)
def test_greedy_tokens_are_those_of_float64_but_where_its_choice_is_closer_than_the_error(
    model_path: Path, reference: Reference
) -> None:
    differences = 0
    with Model(model_path, act="int16", cache_dtype="float32", max_context=128, threads=1) as model:
        for text in PROMPTS:
            prompt = model.tokenizer.encode(text)
            tokens = [*prompt, *greedy_tokens(model, prompt, 64)]
            reference.reset()
            exact = reference.forward(tokens[:-1])
            got = model.logits(tokens[:-1])
            for position in range(len(prompt) - 1, len(tokens) - 1):
                if int(np.argmax(exact[position])) == tokens[position + 1]:
                    continue
                differences += 1
                largest_error = float(np.abs(got[position] - exact[position]).max())
                assert gap_of(exact[position]) < 2 * largest_error, (text, position)
    print(f"{differences} of {64 * len(PROMPTS)} tokens differ")
