from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
from numpy.typing import NDArray

import qkernels as qk
from qkernels.llama import LlamaConfig, Reference, Tokenizer

Array = NDArray[Any]
PROMPT = [260, 274, 276, 282, 284, 22, 20, 33]


class Altered(dict[str, Any]):
    """A file with other tensors or metadata than the one it was made from."""

    def __init__(self, file: qk.GGUFFile) -> None:
        super().__init__(file)
        self.metadata = dict(file.metadata)

    def unpacked(self, name: str) -> Any:
        return self[name]


def relative_error(y: Array, exact: Array) -> float:
    return float(np.linalg.norm(y - exact) / np.linalg.norm(exact))


def straightforward_logits(file: qk.GGUFFile, tokens: list[int]) -> Array:
    """The model again, in float64, head by head and token by token, without a cache."""
    c = LlamaConfig.from_metadata(file.metadata)

    def w(name: str) -> Array:
        tensor = file.unpacked(f"{name}.weight")
        decoded = qk.dequantize(tensor) if isinstance(tensor, qk.QTensor) else tensor
        return cast(Array, decoded.astype(np.float64))

    def norm(x: Array, name: str) -> Array:
        return np.array([row / np.sqrt(row @ row / row.size + c.rms_epsilon) for row in x]) * w(
            name
        )

    def turned(head: Array, position: int) -> Array:
        pairs = head[0::2] + 1j * head[1::2]
        rates = c.rope_base ** (-2.0 * np.arange(pairs.size) / head.size)
        pairs = pairs * np.exp(1j * position * rates)
        return np.stack([pairs.real, pairs.imag], axis=1).reshape(-1)

    x = w("token_embd")[tokens]
    for layer in range(c.layers):
        block = f"blk.{layer}."
        h = norm(x, block + "attn_norm")
        q, k, v = (h @ w(f"{block}attn_{name}").T for name in "qkv")
        mixed = np.zeros_like(q)
        for head in range(c.heads):
            own = slice(head * c.head_dim, (head + 1) * c.head_dim)
            key_head = head * c.kv_heads // c.heads
            shared = slice(key_head * c.head_dim, (key_head + 1) * c.head_dim)
            for i in range(len(tokens)):
                query = turned(q[i, own], i)
                past = range(i + 1)
                scores = np.array([query @ turned(k[j, shared], j) for j in past])
                chances = np.exp(scores / np.sqrt(c.head_dim))
                mixed[i, own] = chances / chances.sum() @ v[: i + 1, shared]
        x = x + mixed @ w(block + "attn_output").T
        h = norm(x, block + "ffn_norm")
        gate = h @ w(block + "ffn_gate").T
        inner = gate / (1 + np.exp(-gate)) * (h @ w(block + "ffn_up").T)
        x = x + inner @ w(block + "ffn_down").T
    logits: Array = norm(x, "output_norm") @ w("token_embd").T
    return logits


def test_float64_is_the_straightforward_computation(random_model: qk.GGUFFile) -> None:
    logits = Reference(random_model, "float64").forward(PROMPT)
    assert logits.dtype == np.float64
    assert relative_error(logits, straightforward_logits(random_model, PROMPT)) < 1e-12


@pytest.mark.parametrize(("act", "bound"), [("float32", 1e-5), ("int16", 1e-3), ("int8", 0.1)])
def test_quantised_products_stay_close_to_float64(
    random_model: qk.GGUFFile, act: str, bound: float
) -> None:
    exact = Reference(random_model, "float64").forward(PROMPT)
    logits = Reference(random_model, act=act).forward(PROMPT)
    assert logits.dtype == np.float32
    assert relative_error(logits, exact) < bound


def test_quantised_products_choose_the_same_tokens_as_float64(random_model: qk.GGUFFile) -> None:
    exact = Reference(random_model, "float64").greedy(PROMPT, 24)
    assert list(Reference(random_model).greedy(PROMPT, 24)) == list(exact)


@pytest.mark.parametrize(("precision", "bound"), [("float64", 1e-12), ("qkernels", 1e-3)])
def test_a_prompt_at_once_equals_token_by_token(
    random_model: qk.GGUFFile, precision: Literal["float64", "qkernels"], bound: float
) -> None:
    llama = Reference(random_model, precision)
    at_once = llama.forward(PROMPT)
    llama.reset()
    one_by_one = np.concatenate([llama.forward([token]) for token in PROMPT])
    assert relative_error(one_by_one, at_once) < bound
    llama.reset()
    in_two = np.concatenate([llama.forward(PROMPT[:3]), llama.forward(PROMPT[3:])])
    assert relative_error(in_two, at_once) < bound


def test_a_packed_model_chooses_the_same_tokens(
    random_model: qk.GGUFFile, random_model_path: Path
) -> None:
    expected = list(Reference(random_model).greedy(PROMPT, 8))
    assert len(set(expected)) > 1
    with qk.load_gguf(random_model_path, pack=True) as packed:
        assert isinstance(packed["token_embd.weight"], qk.PackedTensor)
        assert list(Reference(packed).greedy(PROMPT, 8)) == expected
        exact = Reference(random_model, "float64").forward(PROMPT)
        np.testing.assert_array_equal(Reference(packed, "float64").forward(PROMPT), exact)
        assert relative_error(Reference(packed).forward(PROMPT), exact) < 2e-3


def test_reset_forgets(random_model: qk.GGUFFile) -> None:
    llama = Reference(random_model)
    first = llama.forward(PROMPT)
    llama.reset()
    np.testing.assert_array_equal(llama.forward(PROMPT), first)


def test_greedy_ends_before_a_stop_token(random_model: qk.GGUFFile) -> None:
    tokens = list(Reference(random_model).greedy(PROMPT, 8))
    last = next(i for i, token in enumerate(tokens) if i > 0 and token not in tokens[:i])
    stopped = Reference(random_model).greedy(PROMPT, 8, stop={tokens[last]})
    assert list(stopped) == tokens[:last]


@pytest.mark.parametrize("tokens", [[], [-1], [1 << 20]])
def test_only_ids_of_the_vocabulary_are_taken(random_model: qk.GGUFFile, tokens: list[int]) -> None:
    with pytest.raises(ValueError, match=r"are not ids below"):
        Reference(random_model).forward(tokens)


def test_the_context_is_a_limit(random_model: qk.GGUFFile) -> None:
    altered = Altered(random_model)
    altered.metadata["llama.context_length"] = 4
    llama = Reference(cast(qk.GGUFFile, altered))
    llama.forward([1, 2, 3])
    with pytest.raises(ValueError, match=r"3 \+ 2 tokens exceed the context 4"):
        llama.forward([4, 5])


def test_an_output_matrix_of_its_own_is_the_head(random_model: qk.GGUFFile) -> None:
    tied = Reference(random_model).forward(PROMPT)
    altered = Altered(random_model)
    embedding = random_model["token_embd.weight"]
    assert isinstance(embedding, qk.QTensor)
    # The same rows in another order give the same logits in that order.
    altered["output.weight"] = qk.QTensor(
        np.asarray(embedding.data)[::-1].copy(), "q8_0", embedding.shape
    )
    untied = Reference(cast(qk.GGUFFile, altered)).forward(PROMPT)
    np.testing.assert_array_equal(untied, tied[:, ::-1])


REQUIRED = [
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "context_length",
    "attention.head_count",
    "attention.layer_norm_rms_epsilon",
]


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named(random_model: qk.GGUFFile, key: str) -> None:
    metadata = dict(random_model.metadata)
    del metadata[f"llama.{key}"]
    with pytest.raises(ValueError, match=rf"the metadata has no llama\.{key}"):
        LlamaConfig.from_metadata(metadata)


def test_keys_with_a_default_may_be_missing(random_model: qk.GGUFFile) -> None:
    metadata = dict(random_model.metadata)
    del metadata["llama.attention.head_count_kv"], metadata["llama.rope.freq_base"]
    config = LlamaConfig.from_metadata(metadata)
    assert (config.kv_heads, config.rope_base) == (config.heads, 10000.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"general.architecture": "qwen2"}, "general.architecture is 'qwen2', supported"),
        ({"llama.rope.scaling.type": "yarn"}, "llama.rope.scaling.type is 'yarn', supported"),
        ({"llama.block_count": 0}, "llama.block_count is 0, expected a positive integer"),
        ({"llama.block_count": "4"}, "llama.block_count is '4', expected a positive integer"),
        ({"llama.block_count": 1 << 31}, r"llama.block_count is 2147483648, the file has \d+"),
        ({"llama.block_count": 5}, "the file has no tensor blk.4.attn_q.weight"),
        ({"llama.block_count": 3}, "tensor blk.3.attn_k.weight is not part of a plain Llama"),
        ({"llama.attention.head_count": 3}, "llama.embedding_length=256 does not split"),
        ({"llama.attention.head_count_kv": 3}, "head_count=4 is not a multiple of .*kv=3"),
        ({"llama.attention.head_count_kv": 4}, r"attn_k.weight has shape \(128, 256\), expected"),
        ({"llama.rope.dimension_count": 32}, "llama.rope.dimension_count is 32, supported"),
        ({"llama.rope.freq_base": float("nan")}, "llama.rope.freq_base is nan, expected"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    random_model: qk.GGUFFile, change: Mapping[str, object], message: str
) -> None:
    altered = Altered(random_model)
    altered.metadata.update(change)
    with pytest.raises(ValueError, match=message):
        Reference(cast(qk.GGUFFile, altered))


def test_a_tensor_that_would_be_ignored_is_refused(random_model: qk.GGUFFile) -> None:
    altered = Altered(random_model)
    altered["blk.0.attn_q.bias"] = np.zeros(256, np.float32)
    with pytest.raises(ValueError, match=r"tensor blk\.0\.attn_q\.bias is not part of"):
        Reference(cast(qk.GGUFFile, altered))


@pytest.mark.parametrize("precision", ["qkernels", "float64"])
def test_weights_that_are_not_finite_are_said(
    random_model: qk.GGUFFile, precision: Literal["float64", "qkernels"]
) -> None:
    altered = Altered(random_model)
    altered["blk.1.ffn_norm.weight"] = np.full(256, np.inf, np.float32)
    with pytest.raises(ValueError, match="the logits hold NaN"):
        list(Reference(cast(qk.GGUFFile, altered), precision).greedy(PROMPT, 2))


def test_a_file_without_an_embedding_is_refused(random_model: qk.GGUFFile) -> None:
    altered = Altered(random_model)
    del altered["token_embd.weight"]
    with pytest.raises(ValueError, match=r"token_embd\.weight is missing or is no matrix"):
        Reference(cast(qk.GGUFFile, altered))


def test_the_precision_is_one_of_two(random_model: qk.GGUFFile) -> None:
    with pytest.raises(ValueError, match="precision is 'float16'"):
        Reference(random_model, cast(Any, "float16"))


@pytest.mark.model
@pytest.mark.parametrize("precision", ["qkernels", pytest.param("float64", marks=pytest.mark.slow)])
def test_the_capital_of_france_is_paris(
    model_path: Path, precision: Literal["float64", "qkernels"]
) -> None:
    with qk.load_gguf(model_path) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata)
        prompt = tokenizer.encode("The capital of France is")
        ids = Reference(file, precision).greedy(prompt, 4, tokenizer.eos_ids)
        assert "Paris" in tokenizer.decode(ids)


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_agrees_with_float64(model_path: Path) -> None:
    with qk.load_gguf(model_path) as file:
        prompt = Tokenizer.from_metadata(file.metadata).encode("Water boils at 100 degrees")
        exact = Reference(file, "float64").forward(prompt)
        assert relative_error(Reference(file).forward(prompt), exact) < 2e-3
