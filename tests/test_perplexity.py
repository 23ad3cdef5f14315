"""The perplexity of the real model, against that of float64."""

from pathlib import Path

import pytest

from qkernels.llama import Model, perplexity

TEXT = Path(__file__).parent / "data" / "alice.txt"
EXACT = 24.59919188  # of Reference(file, "float64"), window by window


def test_the_text_is_plain() -> None:
    text = TEXT.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) < 100
    assert text.startswith("CHAPTER I\n\nDown the Rabbit-Hole\n\nAlice was beginning")


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize(("act", "bound"), [("int16", 2e-4), ("int8", 1e-2)])
def test_the_perplexity_is_that_of_float64(model_path: Path, act: str, bound: float) -> None:
    text = TEXT.read_text(encoding="utf-8")
    with Model(model_path, max_context=512, act=act, threads=1) as model:
        found = perplexity(model, text)
    assert (found.tokens, found.windows) == (5769, 12)
    assert found.perplexity == pytest.approx(EXACT, rel=bound)
