"""Generating as a user does: stop strings, limits, interruptions and threads."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generating import PROMPT, model, text_of
from qkernels.demo.random_model import random_llama
from qkernels.llama import Model
from qkernels.llama.stop import before_stop

__all__ = ["model"]  # a fixture

WAIT = 60.0


@pytest.mark.parametrize(
    ("pieces", "stops", "expected"),
    [
        (["a", "b", "c"], [], ["a", "b", "c"]),
        (["ab", "cd"], ["bc"], ["a"]),
        (["ab", "cd"], ["bx"], ["a", "bcd"]),
        (["ab", "c"], ["abcd"], ["abc"]),
        (["a", "a", "a", "b"], ["aab"], ["a"]),
        (["xyz"], ["z", "yz"], ["x"]),
        (["xyz"], ["xyz"], []),
        (["one\n", "two\n"], ["\n"], ["one"]),
    ],
)
def test_text_ends_before_a_stop_string_wherever_pieces_end(
    pieces: list[str], stops: list[str], expected: list[str]
) -> None:
    assert list(before_stop(pieces, stops)) == expected


def test_nothing_is_asked_for_after_a_stop_string() -> None:
    def pieces() -> Iterator[str]:
        yield "a."
        raise AssertionError("asked for more")

    assert list(before_stop(pieces(), ["."])) == ["a"]


def test_a_stop_string_ends_a_generation(model: Model) -> None:
    whole = text_of(model)
    stop = whole[5:8]
    cut = whole[: whole.find(stop)]
    assert "".join(model.generate(PROMPT, 16, stop=["never to be found", stop])) == cut


def test_no_tokens_are_nothing(model: Model) -> None:
    text_of(model)
    assert list(model.generate(PROMPT, 0)) == []
    assert model.stats.prompt_tokens == 0


def test_a_full_context_ends_a_generation(random_model_path: Path) -> None:
    with Model(random_model_path, max_context=10) as model:
        text_of(model)
        # Two more fit, and what follows the last is known too.
        assert model.stats.tokens == 3
        text_of(model, [*PROMPT, 5, 6])
        assert model.stats.tokens == 1


def test_a_generation_ends_at_the_models_own_end(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = list(model.generate(PROMPT, 16))
    chosen = model.tokenizer.encode(pieces[3], bos=False)
    monkeypatch.setattr(model.tokenizer, "eos_ids", frozenset(chosen[:1]))
    assert len(list(model.generate(PROMPT, 16))) <= 3


def test_an_interrupted_generation_leaves_the_model_usable(model: Model) -> None:
    expected = text_of(model)

    def interrupted() -> None:
        for count, _ in enumerate(model.generate(PROMPT, 16)):
            if count == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert text_of(model) == expected


@pytest.mark.parametrize("moment", ["forward", "sample", "step"])
def test_an_interruption_inside_the_model_leaves_it_usable(model: Model, moment: str) -> None:
    expected = text_of(model)
    session = model._session
    assert session is not None
    core = session.core
    session.core = Interrupted(core, moment)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        text_of(model)
    session.core = core
    assert text_of(model) == expected


class Interrupted:
    """A core whose call is interrupted when it is done."""

    def __init__(self, core: Any, moment: str) -> None:
        self._core = core
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._core, name)
        if name != self._moment:
            return found

        def interrupted(*arguments: Any) -> None:
            found(*arguments)
            raise KeyboardInterrupt

        return interrupted


def test_a_dropped_iterator_leaves_the_model_usable(model: Model) -> None:
    expected = text_of(model)
    pieces = model.generate(PROMPT, 16)
    next(pieces)
    del pieces
    model.generate("The", 16)  # and one that was never begun
    assert text_of(model) == expected


def test_a_thread_is_told_that_it_is_in_the_middle_of_a_generation(model: Model) -> None:
    expected = text_of(model)
    first = model.generate(PROMPT, 16)
    begun = next(first)
    with pytest.raises(RuntimeError, match="in the middle of a generation with this model"):
        next(model.generate("The", 4))
    with pytest.raises(RuntimeError, match="in the middle of a generation with this model"):
        model.logits(PROMPT)
    assert begun + "".join(first) == expected


def test_another_thread_waits_for_its_turn(model: Model) -> None:
    expected = text_of(model, "The")
    pieces = model.generate(PROMPT, 16)
    next(pieces)
    found: list[str] = []
    other = threading.Thread(target=lambda: found.append(text_of(model, "The")))
    other.start()
    other.join(0.2)
    assert other.is_alive()
    list(pieces)
    other.join(WAIT)
    assert found == [expected]


def test_threads_that_share_a_model_do_not_mix_their_texts(model: Model) -> None:
    prompts = ["The", "Paris is", "and to the"]
    expected = {prompt: text_of(model, prompt) for prompt in prompts}
    found: dict[str, list[str]] = {prompt: [] for prompt in prompts}

    def work(prompt: str) -> None:
        for _ in range(3):
            found[prompt].append(text_of(model, prompt))

    threads = [threading.Thread(target=work, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert found == {prompt: [text] * 3 for prompt, text in expected.items()}


def test_two_models_work_side_by_side(random_model_path: Path, tmp_path: Path) -> None:
    other_path = random_llama(tmp_path / "other.gguf", seed=1, architecture="qwen2")
    with Model(random_model_path) as one, Model(other_path) as two:
        expected = (text_of(one), text_of(two))
        pairs = list(zip(one.generate(PROMPT, 16), two.generate(PROMPT, 16), strict=False))
        for i in (0, 1):
            assert expected[i].startswith("".join(pair[i] for pair in pairs))


def test_a_closed_model_says_so(random_model_path: Path) -> None:
    with Model(random_model_path) as model:
        pieces = model.generate(PROMPT, 16)
        next(pieces)
    model.close()
    with pytest.raises(ValueError, match="the model is closed"):
        list(pieces)
    for call in (lambda: model.generate("a"), lambda: model.logits([1]), model.__enter__):
        with pytest.raises(ValueError, match="the model is closed"):
            call()


def test_a_model_is_pickled_and_copied_by_its_path_and_options(
    random_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(random_model_path.parent)
    options: dict[str, Any] = {
        "pack": False,
        "max_context": 64,
        "cache_dtype": "float32",
        "act": "int8",
    }
    with Model(random_model_path.name, threads=1, **options) as model:
        expected = text_of(model)
        pickled = pickle.dumps(model)
        assert len(pickled) < 1000
        monkeypatch.chdir("/")
        for copied in (pickle.loads(pickled), copy.deepcopy(model)):
            assert (copied.context, text_of(copied)) == (64, expected)
    with pytest.raises(ValueError, match="the model is closed"):
        pickle.dumps(model)
