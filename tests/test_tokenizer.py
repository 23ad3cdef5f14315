from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
        ("pre", None, "tokenizer.ggml.pre is missing, supported is 'default'"),
        ("tokens", None, "tokenizer.ggml.tokens is missing"),
        ("tokens", ["a", "b", "a"], "tokenizer.ggml.tokens holds 'a' more than once"),
        ("merges", ["ab"], "tokenizer.ggml.merges holds 'ab', expected two tokens"),
        ("merges", ["q zz"], "tokenizer.ggml.merges does not fit the tokens"),
        ("token_type", [1, 2], "tokenizer.ggml.token_type is not a list with one value a token"),
        ("add_bos_token", "yes", "tokenizer.ggml.add_bos_token is 'yes', expected true or false"),
        ("bos_token_id", 1 << 30, "bos_token_id is 1073741824, the vocabulary has"),
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
