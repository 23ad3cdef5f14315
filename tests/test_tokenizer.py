from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import qkernels as qk
from qkernels.llama import Tokenizer

TEXTS = [
    "The capital of France is Paris.",
    "Größe, façade, naïveté",
    "日本語のテキスト",
    "emoji 🙂 and a family 👨‍👩‍👧",
    "  leading, trailing and   inner spaces  ",
    "tabs\tand\nlines\r\n",
    "",
]


@pytest.fixture
def metadata(random_model: qk.GGUFFile) -> dict[str, object]:
    return dict(random_model.metadata)


@pytest.fixture
def tokenizer(metadata: dict[str, object]) -> Tokenizer:
    return Tokenizer.from_metadata(metadata)


@pytest.mark.parametrize("text", TEXTS)
def test_text_survives_the_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_digits_are_encoded_one_by_one(tokenizer: Tokenizer) -> None:
    digits = [tokenizer.encode(digit) for digit in "2024"]
    assert tokenizer.encode("2024") == [token for one in digits for token in one]
    assert len(tokenizer.encode("2024")) == 4


def test_digits_are_split_although_a_merge_could_join_them(metadata: dict[str, object]) -> None:
    tokens, types = list_of(metadata, "tokens"), list_of(metadata, "token_type")
    metadata["tokenizer.ggml.tokens"] = [*tokens, "42"]
    metadata["tokenizer.ggml.token_type"] = [*types, 1]
    metadata["tokenizer.ggml.merges"] = [*list_of(metadata, "merges"), "4 2"]
    assert len(Tokenizer.from_metadata(metadata).encode("42")) == 2


def test_merges_make_a_word_one_token(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("The capital of France is")) == 5


def test_special_tokens_are_matched_whole_and_left_out_of_the_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<|im_start|>the<|im_end|>")
    assert (ids[0], ids[-1]) == (1, 2)
    assert tokenizer.decode(ids) == "the"


def test_user_defined_tokens_are_matched_whole_and_kept(metadata: dict[str, object]) -> None:
    metadata["tokenizer.ggml.tokens"] = [*list_of(metadata, "tokens"), "<tool>"]
    metadata["tokenizer.ggml.token_type"] = [*list_of(metadata, "token_type"), 4]
    tokenizer = Tokenizer.from_metadata(metadata)
    ids = tokenizer.encode("a<tool>b")
    assert ids[1] == len(tokenizer) - 1
    assert tokenizer.decode(ids) == "a<tool>b"


def test_begin_and_end_come_from_the_metadata(metadata: dict[str, object]) -> None:
    metadata["tokenizer.ggml.add_bos_token"] = True
    metadata["tokenizer.ggml.eot_token_id"] = 7
    tokenizer = Tokenizer.from_metadata(metadata)
    assert tokenizer.encode("a")[0] == tokenizer.bos_id == 1
    # <|endoftext|> is an end by its spelling.
    assert tokenizer.eos_ids == {0, 2, 7}


def test_a_stream_never_breaks_a_character(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("é🙂x")
    assert len(ids) == 7
    assert list(tokenizer.stream(ids)) == ["é", "🙂", "x"]


def test_a_stream_that_ends_inside_a_character_shows_it(tokenizer: Tokenizer) -> None:
    assert list(tokenizer.stream(tokenizer.encode("a🙂")[:-1])) == [
        "a",
        "\N{REPLACEMENT CHARACTER}",
    ]


@pytest.mark.parametrize("token", [-1, 1 << 20])
def test_decoding_refuses_an_unknown_id(tokenizer: Tokenizer, token: int) -> None:
    with pytest.raises(ValueError, match=f"token id {token} is outside the vocabulary of"):
        tokenizer.decode([token])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", "bert", "tokenizer.ggml.model is 'bert', supported is 'gpt2', 'llama'"),
        ("pre", "tekken", "tokenizer.ggml.pre is 'tekken', supported is 'default', 'gpt-2', "),
        ("tokens", None, "tokenizer.ggml.tokens is missing"),
        ("tokens", ["a", "b", "a"], "tokenizer.ggml.tokens holds 'a' more than once"),
        ("merges", None, "tokenizer.ggml.merges is missing"),
        ("token_type", [1, 2], "tokenizer.ggml.token_type is not a list with one value a token"),
        ("add_bos_token", "yes", "tokenizer.ggml.add_bos_token is 'yes', expected true or false"),
        ("bos_token_id", "1", "bos_token_id is '1', expected the id of a token"),
        ("eos_token_id", True, "eos_token_id is True, expected the id of a token"),
    ],
)
def test_bad_metadata_is_named(
    metadata: dict[str, object], key: str, value: object, message: str
) -> None:
    del metadata[f"tokenizer.ggml.{key}"]
    if value is not None:
        metadata[f"tokenizer.ggml.{key}"] = value
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_metadata(metadata)


@pytest.mark.parametrize(
    ("key", "value", "note"),
    [
        ("pre", None, "tokenizer.ggml.pre is missing: texts are split as by 'default'"),
        ("pre", "", "tokenizer.ggml.pre is missing: texts are split as by 'default'"),
        ("merges", ["ab", "q ", " q"], "tokenizer.ggml.merges holds 'ab', which is no two tokens"),
        ("bos_token_id", 1 << 30, "bos_token_id is 1073741824, and the vocabulary has 290 tokens"),
        ("eos_token_id", (1 << 32) - 1, "eos_token_id is 4294967295, and the vocabulary has 290"),
        ("eos_token_id", -1, "eos_token_id is -1, and the vocabulary has 290 tokens"),
        ("fim_pad_token_id", 290, "fim_pad_token_id is 290, and the vocabulary has 290 tokens"),
        ("token_type", [1] * 300, "token_type has 300 values for 290 tokens; the rest is ignored"),
    ],
)
def test_what_llama_cpp_passes_over_is_a_warning(
    metadata: dict[str, object], key: str, value: object, note: str
) -> None:
    metadata[f"tokenizer.ggml.{key}"] = value
    with pytest.warns(UserWarning, match=note):
        tokenizer = Tokenizer.from_metadata(metadata)
    assert tokenizer.decode(tokenizer.encode("The capital")) == "The capital"


def test_a_begin_that_the_file_does_not_name_is_llama_cpps(metadata: dict[str, object]) -> None:
    metadata |= {"tokenizer.ggml.bos_token_id": None, "tokenizer.ggml.add_bos_token": True}
    with pytest.warns(UserWarning, match="there is no tokenizer.ggml.bos_token_id: it is taken to"):
        assert Tokenizer.from_metadata(metadata).encode("The") == [11, 260]
    metadata["tokenizer.ggml.pre"] = "chatglm-bpe"
    with pytest.warns(UserWarning, match="there is no tokenizer.ggml.bos_token_id: they have none"):
        assert Tokenizer.from_metadata(metadata).encode("The") == [260]


def test_tokens_without_a_spelling_are_told_apart(metadata: dict[str, object]) -> None:
    tokens = list_of(metadata, "tokens")
    metadata["tokenizer.ggml.tokens"] = [*tokens[:250], "", "", *tokens[252:]]
    tokenizer = Tokenizer.from_metadata(metadata)
    assert [tokenizer.spelling(i) for i in (250, 251)] == ["[EMPTY_250]", "[EMPTY_251]"]
    assert tokenizer.encode("The") == [260]


def test_a_token_that_is_not_utf_8_spoils_nothing(metadata: dict[str, object]) -> None:
    expected = Tokenizer.from_metadata(metadata).encode("The capital of")
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    metadata["tokenizer.ggml.tokens"] = [*list_of(metadata, "tokens"), odd]
    metadata["tokenizer.ggml.token_type"] = [*list_of(metadata, "token_type"), 1]
    metadata["tokenizer.ggml.merges"] = [*list_of(metadata, "merges"), f"a {odd}"]
    tokenizer = Tokenizer.from_metadata(metadata)
    assert tokenizer.encode("The capital of") == expected
    assert list(tokenizer._bytes_of(len(tokenizer) - 1)) == [0xFF, 0xFE]


def test_merges_may_pass_through_what_is_no_token(metadata: dict[str, object]) -> None:
    plain = Tokenizer.from_metadata(metadata)
    x, y, z = (plain.encode(letter)[0] for letter in "xyz")
    metadata["tokenizer.ggml.tokens"] = [*list_of(metadata, "tokens"), "xyz", "yz"]
    metadata["tokenizer.ggml.token_type"] = [*list_of(metadata, "token_type"), 1, 1]
    merges = [*list_of(metadata, "merges"), "x y", "y z", "xy z", "Ġ q"]
    metadata["tokenizer.ggml.merges"] = merges
    tokenizer = Tokenizer.from_metadata(metadata)
    assert tokenizer.encode("xyz") == [290]
    assert tokenizer.encode("yz") == [291]
    # As in llama.cpp, what is left and is no token is spelled by its bytes, if those are tokens.
    assert tokenizer.encode("xyx z") == [x, y, x, *plain.encode(" "), z]
    assert tokenizer.encode(" q") == plain.encode("q")


def test_bytes_are_utf_8(tokenizer: Tokenizer) -> None:
    expected = tokenizer.encode("façade")
    for value in (b"fa\xc3\xa7ade", bytearray(b"fa\xc3\xa7ade"), memoryview(b"fa\xc3\xa7ade")):
        assert tokenizer.encode(value) == expected
    with pytest.raises(ValueError, match="the text is not valid UTF-8"):
        tokenizer.encode(b"fa\xe7ade")


@pytest.mark.parametrize("ids", ["12", b"12", 12, [True], [1.0], ["1"], {1: 2}, {1, 2}, [[1]]])
def test_what_is_no_sequence_of_ids_is_not_decoded(tokenizer: Tokenizer, ids: Any) -> None:
    with pytest.raises(TypeError, match="ids "):
        tokenizer.decode(ids)


@pytest.mark.parametrize("text", [3, None, ["a"], True])
def test_what_is_no_text_is_not_encoded(tokenizer: Tokenizer, text: Any) -> None:
    with pytest.raises(TypeError, match="the text is text, or UTF-8 bytes of it, not "):
        tokenizer.encode(text)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_tokenizer_is_copied_and_pickled(tokenizer: Tokenizer, how: Any) -> None:
    text = "<|im_start|>The capital<|im_end|>"
    assert how(tokenizer).encode(text) == tokenizer.encode(text)


@pytest.fixture(scope="module")
def real(model_path: Path) -> Iterator[Tokenizer]:
    with qk.load_gguf(model_path) as file:
        yield Tokenizer.from_metadata(file.metadata)


@pytest.mark.model
@pytest.mark.parametrize("text", TEXTS)
def test_the_real_vocabulary_survives_the_round_trip(real: Tokenizer, text: str) -> None:
    assert real.decode(real.encode(text)) == text


@pytest.mark.model
def test_the_real_vocabulary_gives_the_ids_of_hugging_faces_tokenizer(real: Tokenizer) -> None:
    assert real.encode("The capital of France is") == [504, 3575, 282, 4649, 314]
    assert real.encode("Hello, world!") == [19556, 28, 905, 17]
    question = "<|im_start|>user\nWhat is the capital of France?"
    assert real.encode(question) == [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47]


def list_of(metadata: dict[str, object], key: str) -> list[object]:
    value = metadata[f"tokenizer.ggml.{key}"]
    assert isinstance(value, list)
    return value
