"""Vocabularies of both kinds: the ids of llama.cpp, and the way back to the text."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import qkernels as qk
from qkernels.llama import Tokenizer
from qkernels.llama.byte_level import PRE_TOKENIZERS
from tokenizer_files import (
    SPECIAL_TEXTS,
    SPECIALS,
    SPLITS,
    TEXTS,
    UNMERGED,
    VOCABULARIES,
    byte_level,
    sentence_piece,
    write,
)

# scripts/make_tokenizer_ids.py has llama.cpp write it, from the files that `write` makes.
EXPECTED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "tokenizer_ids.json").read_text()
)
ALIKE: dict[str, tuple[str, bool]] = EXPECTED["alike"]
SPACED = sentence_piece()


@pytest.mark.parametrize("name", VOCABULARIES)
def test_the_ids_are_those_of_llama_cpp(name: str, tmp_path: Path) -> None:
    with qk.load_gguf(write(tmp_path / "vocabulary.gguf", VOCABULARIES[name])) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata)
    assert len(EXPECTED[name]) == len(TEXTS)
    for text, ids in zip(TEXTS, EXPECTED[name], strict=True):
        # Where llama.cpp adds a second BOS or EOS and warns, none is added here.
        first = tokenizer.add_bos and text.startswith("<s>")
        last = tokenizer.add_eos and text.endswith("</s>")
        expected = ids[first : len(ids) - last]
        said = pytest.warns(UserWarning, match="itself, so that none is added")
        with said if first or last else nullcontext():
            assert tokenizer.encode(text) == expected, text


def test_no_two_pre_tokenizers_split_these_texts_alike() -> None:
    found = [json.dumps(EXPECTED[name]) for name in VOCABULARIES]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_text_without_special_tokens_survives_the_round_trip(name: str) -> None:
    tokenizer = Tokenizer.from_metadata(VOCABULARIES[name])
    for text in TEXTS:
        if "<" not in text:
            assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(("pre", "count"), [("llama-bpe", 1), ("qwen2", 4)])
def test_a_word_that_is_a_token_ignores_merges_where_its_model_does(pre: str, count: int) -> None:
    tokenizer = Tokenizer.from_metadata(byte_level(pre))
    ids = tokenizer.encode(" baba", bos=False)
    assert len(ids) == count
    assert (tokenizer.spelling(ids[0]) == UNMERGED) == (count == 1)


def test_begin_and_end_are_added_where_the_file_or_its_kind_says_so() -> None:
    def ends(metadata: dict[str, Any]) -> tuple[bool, bool]:
        tokenizer = Tokenizer.from_metadata(metadata)
        return tokenizer.add_bos, tokenizer.add_eos

    assert ends(byte_level("gpt-2")) == (False, False)
    assert ends(byte_level("llama-bpe")) == (True, False)
    assert ends(SPACED) == (True, False)
    assert ends(sentence_piece(add_bos_token=False, add_eos_token=True)) == (False, True)
    explicit = {**byte_level("llama-bpe"), "tokenizer.ggml.add_bos_token": False}
    assert ends(explicit) == (False, False)


def test_begin_and_end_can_be_chosen_for_each_text() -> None:
    tokenizer = Tokenizer.from_metadata(SPACED)
    inner = tokenizer.encode("ab", bos=False)
    assert tokenizer.encode("ab") == [1, *inner]
    assert tokenizer.encode("ab", bos=False, eos=True) == [*inner, 2]


def test_tokens_without_scores_are_all_alike() -> None:
    metadata = sentence_piece()
    del metadata["tokenizer.ggml.scores"]
    with pytest.warns(UserWarning, match=r"tokenizer\.ggml\.scores is missing: every token has 0"):
        tokenizer = Tokenizer.from_metadata(metadata)
    ids = tokenizer.encode("aba", bos=False)
    assert [tokenizer.spelling(i) for i in ids] == ["▁ab", "a"]  # of equals, the leftmost pair


@pytest.mark.parametrize("pre", sorted(PRE_TOKENIZERS.keys() - set(SPLITS)))
def test_pre_tokenizers_of_other_names_split_as_one_that_is_known(pre: str) -> None:
    base, bos = ALIKE[pre]
    tokenizer, known = (Tokenizer.from_metadata(byte_level(name)) for name in (pre, base))
    assert tokenizer.add_bos == bos
    for text in TEXTS:
        assert tokenizer.encode(text, bos=False) == known.encode(text, bos=False), text


@pytest.mark.parametrize("name", SPECIALS)
def test_special_tokens_and_ends_are_llama_cpps_whatever_their_types(name: str) -> None:
    tokenizer = Tokenizer.from_metadata(SPECIALS[name])
    *rows, ends = EXPECTED[name]
    for text, (parsed, plain) in zip(SPECIAL_TEXTS, rows, strict=True):
        assert tokenizer.encode(text, bos=False) == parsed, text
        assert tokenizer.encode(text, bos=False, parse_special=False) == plain, text
    assert sorted(tokenizer.eos_ids) == ends


@pytest.mark.parametrize(
    "pre", ["llama4", "gpt-4o", "tekken", "deepseek-llm", "superbpe", "viking"]
)
def test_pre_tokenizers_with_a_split_of_their_own_are_refused(pre: str) -> None:
    with pytest.raises(ValueError, match=f"tokenizer.ggml.pre is '{pre}', supported is 'default'"):
        Tokenizer.from_metadata(byte_level(pre))


def test_sentence_piece_ids_have_defaults() -> None:
    metadata = dict(SPACED)
    del metadata["tokenizer.ggml.bos_token_id"], metadata["tokenizer.ggml.eos_token_id"]
    tokenizer = Tokenizer.from_metadata(metadata)
    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)
    assert tokenizer.eos_ids == {2}


def test_a_streamed_continuation_keeps_the_space_that_a_whole_text_loses() -> None:
    tokenizer = Tokenizer.from_metadata(SPACED)
    ids = tokenizer.encode("ab", bos=False)
    assert tokenizer.decode(ids) == "ab"
    assert "".join(tokenizer.stream(ids)) == " ab"


def test_bytes_are_streamed_as_whole_characters() -> None:
    tokenizer = Tokenizer.from_metadata(sentence_piece(add_space_prefix=False))
    ids = tokenizer.encode("🙂a", bos=False)
    assert len(ids) == 5
    assert list(tokenizer.stream(ids)) == ["🙂", "a"]


def test_bytes_that_no_further_byte_makes_valid_are_streamed_at_once() -> None:
    tokenizer = Tokenizer.from_metadata(SPACED)
    a, wrong, lead, space = (
        SPACED["tokenizer.ggml.tokens"].index(t) for t in ("a", "<0xFF>", "<0xF0>", "<0x20>")
    )
    stream = tokenizer.stream(iter([wrong, a, lead, space]))
    assert [next(stream) for _ in range(3)] == ["\ufffd", "a", "\ufffd "]
    assert list(tokenizer.stream([a, lead])) == ["a", "\ufffd"]
    assert tokenizer.decode([wrong, a, lead]) == "\ufffda\ufffd"


def test_characters_without_a_token_become_the_unknown_one_where_bytes_are_missing() -> None:
    metadata = dict(SPACED)
    tokens = [t.replace("<0x", "<00x") for t in metadata["tokenizer.ggml.tokens"]]
    metadata["tokenizer.ggml.tokens"] = tokens
    assert Tokenizer.from_metadata(metadata).encode("q", bos=False)[-1] == 0
    metadata["tokenizer.ggml.token_type"] = [3, *metadata["tokenizer.ggml.token_type"][1:]]
    with pytest.raises(ValueError, match="no token for 'q', nor for its bytes"):
        Tokenizer.from_metadata(metadata).encode("q")


@pytest.mark.parametrize("metadata", [SPACED, byte_level("gpt-2")], ids=["llama", "gpt2"])
def test_a_lone_surrogate_is_no_text(metadata: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the text is not valid Unicode"):
        Tokenizer.from_metadata(metadata).encode("a\ud800b")


def test_an_end_that_does_not_exist_cannot_be_asked_for() -> None:
    metadata = byte_level("gpt-2")
    del metadata["tokenizer.ggml.eos_token_id"]
    with pytest.raises(ValueError, match="the vocabulary has no EOS"):
        Tokenizer.from_metadata(metadata).encode("a", eos=True)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scores", [], "tokenizer.ggml.scores is not a list with one number a token"),
        ("scores", [1.0], "tokenizer.ggml.scores is not a list with one number a token"),
        ("scores", "a", "tokenizer.ggml.scores is not a list with one number a token"),
        ("add_space_prefix", 1, "tokenizer.ggml.add_space_prefix is 1, expected true or false"),
        ("add_eos_token", "no", "tokenizer.ggml.add_eos_token is 'no', expected true or false"),
        ("eos_token_id", 2.0, "tokenizer.ggml.eos_token_id is 2.0, expected the id of a token"),
    ],
)
def test_bad_sentence_piece_metadata_is_named(key: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_metadata(sentence_piece(**{key: value}))
