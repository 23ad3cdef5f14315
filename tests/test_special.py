"""Tokens that are no text: which end a generation, and how they are found in a text."""

from __future__ import annotations

from typing import Any

import pytest

from qkernels.llama import Tokenizer
from qkernels.llama.special import CONTROL, NORMAL, USER_DEFINED, WholeTokens
from tokenizer_files import byte_level, sentence_piece

UNUSED, UNDEFINED = 5, 0
# What llama.cpp takes for an end, whatever the file says of it.
ENDS = (
    *("</s>", "<|endoftext|>", "<|end_of_text|>", "<|end|>", "<|im_end|>", "<|eot_id|>"),
    *("<|eom_id|>", "<end_of_turn>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<eos>"),
    *("<end_of_utterance>", "<|return|>", "<|call|>", "<|calls|>", "<turn|>", "<|tool_response>"),
)
KINDS = {"gpt2": byte_level("gpt-2"), "llama": sentence_piece()}


def with_tokens(metadata: dict[str, Any], kinds: dict[str, int], **changes: Any) -> Tokenizer:
    """The tokenizer of a vocabulary with more tokens, of these types; `</s>` is no part of it."""
    key = "tokenizer.ggml."
    tokens = [t.replace("</s>", "<//s>") for t in metadata[f"{key}tokens"]]
    found = {**metadata, f"{key}tokens": [*tokens, *kinds]}
    found[f"{key}token_type"] = [*metadata[f"{key}token_type"], *kinds.values()]
    if f"{key}scores" in metadata:
        found[f"{key}scores"] = [*metadata[f"{key}scores"], *[0.0] * len(kinds)]
    found |= {f"{key}{name}": value for name, value in changes.items()}
    return Tokenizer.from_metadata({name: v for name, v in found.items() if v is not None})


@pytest.mark.parametrize("kind", [NORMAL, CONTROL, USER_DEFINED, UNUSED, UNDEFINED, None])
@pytest.mark.parametrize("spelling", ENDS)
@pytest.mark.parametrize("model", KINDS)
def test_what_is_spelled_like_an_end_is_one_whatever_its_type(
    model: str, spelling: str, kind: int | None
) -> None:
    untyped = {"token_type": None} if kind is None else {}
    tokenizer = with_tokens(KINDS[model], {spelling: kind or 0}, **untyped)
    end = len(tokenizer) - 1
    assert end in tokenizer.eos_ids
    assert end in tokenizer.encode(f"ab{spelling}ab")
    assert tokenizer.decode([end]) == ""
    assert end not in tokenizer.encode(f"ab{spelling}ab", parse_special=False)


@pytest.mark.parametrize("use", ["eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"])
def test_ends_that_the_file_names_are_ends_however_they_are_spelled(use: str) -> None:
    tokenizer = with_tokens(KINDS["gpt2"], {"stop": NORMAL}, **{f"{use}_token_id": 12})
    assert 12 in tokenizer.eos_ids


@pytest.mark.parametrize("spelling", ["<|fim_pad|>", "[PAD]", "<|repo_name|>", "<|file_sep|>"])
def test_what_separates_files_ends_a_generation(spelling: str) -> None:
    tokenizer = with_tokens(KINDS["gpt2"], {spelling: NORMAL})
    assert tokenizer.encode(f"a{spelling}")[-1] in tokenizer.eos_ids


@pytest.mark.parametrize("spelling", ["<|fim_prefix|>", "<fim_suffix>", "▁<MID>"])
def test_what_begins_a_part_of_a_text_is_no_text_and_no_end(spelling: str) -> None:
    tokenizer = with_tokens(KINDS["gpt2"], {spelling: NORMAL})
    token = tokenizer.encode(spelling)[-1]
    assert token == len(tokenizer) - 1
    assert token not in tokenizer.eos_ids
    assert tokenizer.decode([token]) == ""


def test_the_end_of_a_part_of_an_answer_is_no_end() -> None:
    harmony = dict.fromkeys(("<|end|>", "<|return|>", "<|call|>", "<|channel|>"), CONTROL)
    tokenizer = with_tokens(KINDS["gpt2"], harmony, eos_token_id=None)
    ids = tokenizer.encode("<|end|><|return|><|call|><|channel|>")
    assert len(ids) == 4
    assert tokenizer.eos_ids == set(ids[1:3])
    assert tokenizer.decode(ids) == "<|end|><|channel|>"
    both = {"<|tool_response>": CONTROL, "</s>": CONTROL}
    tokenizer = with_tokens(KINDS["gpt2"], both, eos_token_id=None)
    assert tokenizer.eos_ids == {len(tokenizer) - 2}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("abcd", ["a", 1]),
        ("abcabcd", [0, "ca", 1]),
        ("bcdab", [1, 0]),
        ("xabx", ["x", 0, "x"]),
        ("aab", ["a", 0]),
        ("aaaa", [2, "a"]),
    ],
)
def test_the_longest_token_is_taken_first_anywhere(text: str, parts: list[str | int]) -> None:
    whole = WholeTokens(["ab", "bcd", "aaa"], [CONTROL, USER_DEFINED, CONTROL])
    assert whole.split(text) == parts


def test_lengths_are_of_bytes() -> None:
    whole = WholeTokens(["abc", "cé"], [CONTROL, CONTROL])
    assert whole.split("abcé") == [0, "é"]
    assert WholeTokens(["abc", "cée"], [CONTROL] * 2).split("abcée") == ["ab", 1]


def test_user_defined_tokens_are_a_part_of_any_text() -> None:
    whole = WholeTokens(["<a>", "<b>", "<c>"], [CONTROL, USER_DEFINED, NORMAL])
    assert whole.split("<a><b><c>", parse_special=False) == ["<a>", 1, "<c>"]


def test_some_tokens_take_spaces_along() -> None:
    before = WholeTokens(["<mask>"], [CONTROL], strip_before=["<mask>"])
    assert before.split("a \n<mask> b") == ["a", 0, " b"]
    phi = sentence_piece() | {"general.name": "Phi-3 mini"}
    tokenizer = Tokenizer.from_metadata(phi)
    assert tokenizer.encode("<|im_start|>  ab") == tokenizer.encode("<|im_start|>ab")
    assert tokenizer.encode("ab<s> ab") != tokenizer.encode("ab<s>ab")


def test_marks_keep_spellings_from_being_tokens() -> None:
    tokenizer = Tokenizer.from_metadata(byte_level("gpt-2"))
    text = "a<|im_start|>b<tool></s>"
    marked = tokenizer._guarded(text, "\ufdd0")
    assert marked.replace("\ufdd0", "") == text
    assert tokenizer._encode_guarded(marked, "\ufdd0") == tokenizer.encode(
        text, parse_special=False
    )
