"""Arguments of a model and of its calls: extreme ones are taken, wrong ones named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generating import PROMPT, model, text_of
from qkernels.llama import Model

__all__ = ["model"]  # a fixture


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": []}, "there are no tokens"),
        ({"prompt": [1] * 513}, "513 tokens are more than the context of 512"),
        ({"prompt": "The " * 600}, r"\d+ tokens are more than the context of 512"),
        ({"prompt": [1, -1]}, "token id -1 is outside the vocabulary of 290"),
        ({"prompt": [290]}, "token id 290 is outside the vocabulary of 290"),
        ({"prompt": "a\ud800"}, "the text is not valid Unicode"),
        ({"max_tokens": -1}, "max_tokens=-1 is below 0"),
        ({"temperature": -0.5}, "temperature=-0.5, expected 0 or more"),
        ({"prompt": b""}, "the prompt is empty"),
        ({"prompt": b"a\xff"}, "the text is not valid UTF-8"),
        ({"prompt": [10**400]}, "token id 1000.* is outside the vocabulary of 290"),
        ({"bos": True}, "bos=True says how a text is encoded, and the prompt is token ids"),
        ({"bos": False}, "bos=False says how a text is encoded, and the prompt is token ids"),
        ({"parse_special": False}, "parse_special=False says how a text is encoded"),
        ({"temperature": float("nan")}, "temperature=nan is not finite"),
        ({"temperature": 10**400}, r"temperature=1000.*\.\.\. is too large for a float64"),
        ({"temperature": 10**5000}, "temperature=int of many digits is too large for a float64"),
        ({"top_p": 10**400}, r"top_p=1000.*\.\.\. is too large for a float64"),
        ({"min_p": float("inf")}, "min_p=inf is not finite"),
        ({"temperature": -1e300}, r"temperature=-1e\+300, expected 0 or more"),
        ({"top_p": 1e300}, r"top_p=1e\+300 and min_p=0.05, expected 0 to 1"),
        ({"top_p": 1 + 2**-40}, r"top_p=1\.0000000000009095 and min_p=0.05, expected 0 to 1"),
        ({"top_k": -1}, "top_k=-1 is below 0"),
        ({"top_p": 1.5}, "top_p=1.5 and min_p=0.05, expected 0 to 1"),
        ({"min_p": -0.5}, "top_p=0.95 and min_p=-0.5, expected 0 to 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty=0"),
        ({"seed": -1}, "seed=-1 is outside 0"),
        ({"seed": 1 << 64}, "seed=18446744073709551616 is outside 0"),
        ({"stop": [""]}, "holds what is no string or an empty one"),
        ({"stop": [3]}, "holds what is no string or an empty one"),
    ],
)
def test_wrong_arguments_are_named_at_the_call(
    model: Model, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.generate(**{"prompt": PROMPT, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stop": "end"}, "stop is a sequence of strings, not the string 'end'"),
        ({"stop": b"end"}, "stop is a sequence of strings, not the bytes b'end'"),
        ({"stop": None}, "stop is a sequence of strings, not the NoneType None"),
        ({"prompt": [True, False]}, "the prompt holds True, which is no token id"),
        ({"prompt": np.ones(3, bool)}, "the prompt holds True, which is no token id"),
        ({"prompt": torch.ones(3, dtype=torch.bool)}, "the prompt holds True, which is no token"),
        ({"prompt": [1.0]}, "the prompt holds 1.0, which is no token id"),
        ({"prompt": ["a"]}, "the prompt holds 'a', which is no token id"),
        ({"prompt": [[1, 2]]}, r"the prompt holds \[1, 2\], which is no token id"),
        ({"prompt": np.array(7)}, "the prompt is a sequence of token ids, not 7"),
        ({"prompt": 7}, "the prompt is a sequence of token ids, not int"),
        ({"prompt": None}, "the prompt is a sequence of token ids, not NoneType"),
        ({"prompt": {1: 2}}, "the prompt is a sequence of token ids, not dict"),
        ({"max_tokens": 1.5}, "max_tokens is an integer, not float"),
        ({"max_tokens": True}, "max_tokens is an integer, not True"),
        ({"temperature": "1"}, "temperature is a number, not '1'"),
        ({"temperature": None}, "temperature is a number, not NoneType"),
        ({"top_p": 1j}, "top_p is a number, not 1j"),
        ({"top_k": 1.0}, "top_k is an integer, not float"),
        ({"seed": 1.0}, "seed is an integer, not float"),
    ],
)
def test_arguments_of_another_kind_are_type_errors(
    model: Model, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        model.generate(**{"prompt": PROMPT, **arguments})


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1e300},
        {"temperature": 5e-324},
        {"temperature": 1.0, "top_p": 5e-324},
        {"temperature": 1.0, "min_p": 1.0},
        {"temperature": 1.0, "top_k": 10**30},
        {"temperature": 1.0, "repetition_penalty": 1e300},
        {"temperature": 1.0, "repetition_penalty": 1e-300},
        {"temperature": np.float16(0.5), "top_k": np.int8(3), "seed": np.uint64(2**63)},
        {"max_tokens": 10**30, "prompt": [1] * 510},
    ],
    ids=str,
)
def test_extreme_options_draw_tokens_all_the_same(model: Model, options: dict[str, Any]) -> None:
    list(model.generate(**{"prompt": PROMPT, "max_tokens": 4, **options}))
    assert 1 <= model.stats.tokens <= 4


def test_a_temperature_of_almost_nothing_takes_the_likeliest(model: Model) -> None:
    cold = "".join(model.generate(PROMPT, 8, temperature=5e-324, top_k=0, top_p=1.0, min_p=0.0))
    assert cold == text_of(model, PROMPT, 8)


@pytest.mark.parametrize("tokens", [[], [-1], [290], [1] * 513])
def test_logits_are_of_tokens_that_fit(model: Model, tokens: list[int]) -> None:
    with pytest.raises(ValueError, match=r"no tokens|outside the vocabulary|more than the context"):
        model.logits(tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_context": 0}, r"max_context=0 is outside 1\.\.512"),
        ({"max_context": 513}, r"max_context=513 is outside 1\.\.512"),
        ({"cache_dtype": "int8"}, "the cache is 'int8', expected 'float16' or 'float32'"),
        ({"cache_dtype": "x" * 99}, r"the cache is 'xxx.*\.\.\., expected 'float16' or 'float32'"),
        ({"act": "int3"}, "int3"),
        ({"threads": 0}, r"threads=0 is outside 1\.\.256"),
    ],
)
def test_wrong_options_of_a_model_are_named(
    random_model_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Model(random_model_path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache_dtype": None}, "cache_dtype is 'float16' or 'float32', not NoneType"),
        ({"cache_dtype": np.float16}, "cache_dtype is 'float16' or 'float32', not type"),
        ({"max_context": 64.0}, "max_context is an integer, not float"),
        ({"max_context": True}, "max_context is an integer, not True"),
    ],
)
def test_options_of_another_kind_are_type_errors(
    random_model_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        Model(random_model_path, **options)
