"""The random model as a fixture, a prompt for it, and what it makes of prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from qkernels.llama import Model

PROMPT = [260, 274, 276, 282, 284, 22, 20, 33]


@pytest.fixture
def model(random_model_path: Path) -> Iterator[Model]:
    with Model(random_model_path) as opened:
        yield opened


def text_of(model: Model, prompt: str | Sequence[int] = PROMPT, count: int = 16) -> str:
    return "".join(model.generate(prompt, count))


def spelled(model: Model, text: str) -> list[int]:
    """The ids of a text letter by letter."""
    return [token for letter in text for token in model.tokenizer.encode(letter, bos=False)]
