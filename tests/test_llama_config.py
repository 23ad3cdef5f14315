"""What a model's metadata and tensors have to be, and what is said where they are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import qkernels as qk
from model_variants import VARIANTS, Altered
from qkernels.demo.random_model import random_llama
from qkernels.llama import LlamaConfig, Reference
from qkernels.llama.tensors import collect

Array = NDArray[Any]

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
        ({"general.architecture": "gpt2"}, "general.architecture is 'gpt2', supported"),
        ({"general.architecture": ["llama"]}, r"general.architecture is \['llama'\], supported"),
        ({"llama.rope.scaling.type": "yarn"}, "llama.rope.scaling.type is 'yarn', supported"),
        ({"llama.rope.scaling.factor": -2.0}, "llama.rope.scaling.factor is -2.0, expected"),
        ({"llama.rope.scaling.attn_factor": 1.5}, "llama.rope.scaling.attn_factor is 1.5, supp"),
        ({"llama.attention.sliding_window": -1}, "llama.attention.sliding_window is -1, expected"),
        ({"llama.attention.causal": False}, "llama.attention.causal is False: attention in both"),
        ({"llama.attention.causal": 1}, "llama.attention.causal is 1: attention in both"),
        ({"llama.expert_count": 8}, "llama.expert_count is 8, supported is 0"),
        ({"llama.nextn_predict_layers": 1}, "llama.nextn_predict_layers is 1, supported is 0"),
        (
            {"llama.attention.head_count_kv": [2, 2, 1, 2]},
            r"kv is \[2, 2, 1, 2\], supported is one",
        ),
        ({"llama.attention.head_count_kv": [2, 2]}, r"kv is \[2, 2\], supported is one value"),
        ({"llama.attention.head_count": [4] * 99}, r"count is \[4, 4, .*\.\.\., supported is one"),
        ({"llama.feed_forward_length": [0] * 4}, "feed_forward_length is 0, expected a positive"),
        ({"split.count": 3, "split.no": 0}, r"the file is part 1 of 3: merge the parts first"),
        ({"split.count": 3}, r"the file is part 1 of 3: merge the parts first"),
        ({"llama.attention.key_length": 63}, "the head size is 63, which RoPE cannot split"),
        ({"llama.attention.key_length": 32}, "llama.rope.dimension_count is 64, supported is"),
        ({"llama.attention.value_length": 32}, "llama.attention.value_length is 32, supported is"),
        ({"llama.block_count": 0}, "llama.block_count is 0, expected a positive integer"),
        ({"llama.block_count": "4"}, "llama.block_count is '4', expected a positive integer"),
        ({"llama.block_count": 1 << 31}, r"llama.block_count is 2147483648, the file has \d+"),
        ({"llama.block_count": 5}, "the file has no tensor blk.4.attn_q.weight"),
        ({"llama.block_count": 3}, "tensor blk.3.attn_k.weight is not part of a plain llama"),
        (
            {"llama.attention.head_count": 6, "llama.attention.head_count_kv": 3},
            "=256 does not split",
        ),
        ({"llama.attention.head_count_kv": 3}, "head_count=4 is not a multiple of .*kv=3"),
        ({"llama.attention.head_count_kv": 4}, r"attn_k.weight has shape \(128, 256\), expected"),
        ({"llama.rope.dimension_count": 32}, "llama.rope.dimension_count is 32, supported"),
        ({"llama.rope.freq_base": float("nan")}, "llama.rope.freq_base is nan, expected"),
        ({"llama.rope.freq_base": 0.0}, r"llama.rope.freq_base is 0\.0, expected a positive"),
        ({"llama.attention.layer_norm_rms_epsilon": -1e-5}, "rms_epsilon is -1e-05, expected"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    random_model: qk.GGUFFile, change: Mapping[str, object], message: str
) -> None:
    altered = Altered(random_model)
    altered.metadata.update(change)
    with pytest.raises(ValueError, match=message):
        Reference(cast(qk.GGUFFile, altered))


@pytest.mark.parametrize(
    "change",
    [
        {"llama.attention.causal": True},
        {"llama.attention.head_count_kv": [2] * 4},
        {"llama.attention.head_count": [4] * 4, "llama.feed_forward_length": [768] * 4},
        {"llama.attention.sliding_window": 512},
        {"llama.attention.sliding_window": 1 << 17},
        {"split.count": 1, "split.no": 0},
    ],
)
def test_what_changes_nothing_is_no_fault(
    random_model: qk.GGUFFile, change: Mapping[str, object]
) -> None:
    expected = LlamaConfig.from_metadata(random_model.metadata)
    assert LlamaConfig.from_metadata({**random_model.metadata, **change}) == expected


def test_norms_may_have_no_epsilon(random_model: qk.GGUFFile) -> None:
    metadata = {**random_model.metadata, "llama.attention.layer_norm_rms_epsilon": 0.0}
    assert LlamaConfig.from_metadata(metadata).rms_epsilon == 0


def test_a_window_that_is_not_heard_is_a_warning(random_model: qk.GGUFFile) -> None:
    metadata = {**random_model.metadata, "llama.attention.sliding_window": 64}
    with pytest.warns(UserWarning, match=r"llama.attention.sliding_window is 64, and is ignored"):
        LlamaConfig.from_metadata(metadata)


@pytest.mark.parametrize(
    ("metadata", "scale"),
    [
        ({"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0}, 1.0),
        ({"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}, 4.0),
        ({"llama.rope.scaling.type": "linear"}, 1.0),
        ({"llama.rope.scaling.factor": 4.0}, 4.0),
        ({"llama.rope.scale_linear": 2.0}, 2.0),
        ({"llama.rope.scaling.factor": 0.0, "llama.rope.scale_linear": 2.0}, 1.0),
    ],
)
def test_positions_are_divided_by_a_linear_factor(
    random_model: qk.GGUFFile, metadata: Mapping[str, object], scale: float
) -> None:
    config = LlamaConfig.from_metadata({**random_model.metadata, **metadata})
    assert config.rope_scale == scale


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("blk.0.attn_q.bias", np.zeros(256, "f4"), r"tensor blk\.0\.attn_q\.bias is not part of"),
        ("blk.0.attn_norm.weight", None, r"the file has no tensor blk\.0\.attn_norm\.weight"),
        (
            "blk.0.attn_norm.weight",
            np.zeros(9, "f4"),
            r"attn_norm.weight has shape \(9,\), expected",
        ),
        ("output_norm.weight", np.zeros(256, "i4"), "output_norm.weight is not a vector of floats"),
        ("blk.1.ffn_up.weight", np.zeros((768, 256), "f4"), "ffn_up.weight is a plain array, exp"),
        ("rope_freqs.weight", np.ones(64, "f4"), r"rope_freqs.weight has shape \(64,\), expected"),
        ("rope_freqs.weight", np.zeros(32, "f4"), "rope_freqs.weight holds values that are not"),
        ("rope_freqs.weight", np.full(32, np.nan, "f4"), "rope_freqs.weight holds values that"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    random_model: qk.GGUFFile, name: str, tensor: Array | None, message: str
) -> None:
    altered = Altered(random_model)
    altered[name] = tensor
    if tensor is None:
        del altered[name]
    with pytest.raises(ValueError, match=message):
        Reference(cast(qk.GGUFFile, altered))


@pytest.mark.parametrize("name", ["blk.2.attn_k.bias", "blk.2.attn_q_norm.weight"])
def test_what_an_architecture_adds_is_required(tmp_path: Path, name: str) -> None:
    architecture = "qwen2" if name.endswith("bias") else "qwen3"
    with qk.load_gguf(random_llama(tmp_path / "x.gguf", architecture=architecture)) as file:
        altered = Altered(file)
        del altered[name]
        with pytest.raises(ValueError, match=f"the file has no tensor {name}"):
            Reference(cast(qk.GGUFFile, altered))


GAINS = np.random.default_rng(0).standard_normal(256).astype("f4")


@pytest.mark.parametrize(
    "stored",
    [
        GAINS.astype("f2"),
        GAINS.astype("f8"),
        GAINS[None],
        GAINS[None, None, None],
        qk.quantize(GAINS[None], "q8_0"),
        qk.quantize(GAINS[None], "bf16"),
        qk.quantize(GAINS[None], "f16").pack(),
        qk.QTensor(qk.quantize(GAINS[None], "q8_0").data[None], "q8_0", (1, 1, 256)),
        GAINS.astype(ml_dtypes.bfloat16),
    ],
    ids=["f16", "f64", "row", "4-D", "q8_0", "bf16", "packed", "stack", "bfloat16"],
)
def test_a_vector_may_be_stored_in_any_float_type_and_as_a_row(
    random_model: qk.GGUFFile, stored: Any
) -> None:
    altered = Altered(random_model)
    altered["blk.1.ffn_norm.weight"] = stored
    config = LlamaConfig.from_metadata(random_model.metadata)
    found = collect(cast(qk.GGUFFile, altered), config).vectors["blk.1.ffn_norm.weight"]
    assert (found.dtype.name, found.shape) == ("float32", (256,))
    np.testing.assert_allclose(found, GAINS, rtol=0.02, atol=0.02)
    assert not np.shares_memory(found, GAINS)


def test_a_matrix_may_be_a_stack_of_one(random_model: qk.GGUFFile) -> None:
    expected = Reference(random_model).forward([1, 2, 3])
    altered = Altered(random_model)
    embedding = altered["token_embd.weight"]
    for name in ("token_embd.weight", "blk.0.attn_q.weight"):
        w = altered[name]
        altered[name] = qk.QTensor(w.data[None], w.fmt, (1, *w.shape))
    for precision in ("qkernels", "float64"):
        found = Reference(cast(qk.GGUFFile, altered), precision).forward([1, 2, 3])
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    altered["token_embd.weight"] = embedding.dequantize()[None, None]
    found = Reference(cast(qk.GGUFFile, altered)).forward([1, 2, 3])
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.05)
    altered[name] = qk.QTensor(np.repeat(w.data[None], 2, axis=0), w.fmt, (2, *w.shape))
    with pytest.raises(ValueError, match=r"attn_q.weight has shape \(2, 256, 256\), expected"):
        Reference(cast(qk.GGUFFile, altered))


def test_rope_factors_are_llamas(tmp_path: Path) -> None:
    path = random_llama(tmp_path / "x.gguf", architecture="qwen2", rope_factors=True)
    with (
        qk.load_gguf(path) as file,
        pytest.raises(ValueError, match=r"rope_freqs\.weight is not part of a plain qwen2"),
    ):
        Reference(file)


def test_a_random_model_is_the_same_each_time(tmp_path: Path) -> None:
    for options in VARIANTS.values():
        one, two = (random_llama(tmp_path / name, **options) for name in "ab")
        assert one.read_bytes() == two.read_bytes()


def test_a_file_without_an_embedding_is_refused(random_model: qk.GGUFFile) -> None:
    altered = Altered(random_model)
    del altered["token_embd.weight"]
    with pytest.raises(ValueError, match=r"token_embd\.weight is missing or is no matrix"):
        Reference(cast(qk.GGUFFile, altered))
