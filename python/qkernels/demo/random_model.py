"""A small model with random weights, as a GGUF file: for tests and where no network is.

Its text is gibberish, yet everything else is a real model's: grouped-query heads, q4_1 matrices, a
q8_0 token embedding that is the output head too, and a byte-level BPE tokenizer. Any of that, and
the architecture, can be chosen.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels._base.extras import require
from qkernels._base.files import replacing
from qkernels.llama.config import ARCHITECTURES, LlamaConfig
from qkernels.llama.tensors import EMBEDDING, OUTPUT, ROPE_FACTORS

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from numpy.typing import NDArray

CONFIG = LlamaConfig(
    architecture="llama",
    layers=4,
    width=256,
    hidden=768,
    heads=4,
    kv_heads=2,
    head_dim=64,
    context=512,
    rms_epsilon=1e-5,
    rope_base=10000.0,
)
# qwen3's heads are together wider than its tokens, as in most of the real ones.
CONFIGS = {
    name: replace(CONFIG, architecture=name, head_dim=96 if name == "qwen3" else 64)
    for name in ARCHITECTURES
}
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Words of more than one byte get tokens, so that merges matter. `Ġ` is a space in byte spelling.
WORDS = ["The", "Paris", "Ġthe", "Ġcapital", "Ġof", "ĠFrance", "Ġis", "Ġa", "Ġand", "Ġto", "Ġin"]
# Where a K-quant's block of 256 keeps its scale and its min, both float16, and what the min has to
# be of the scale for weights of random bits to be around 0: the mean of the quants.
K_QUANTS: dict[str, tuple[int, int | None, float]] = {
    "q2_k": (80, 82, 1.5),
    "q3_k": (108, None, 0.0),
    "q4_k": (0, 2, 7.5),
    "q5_k": (0, 2, 15.5),
    "q6_k": (208, None, 0.0),
}


def random_llama(
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    architecture: str = "llama",
    tied: bool = True,
    rope_factors: bool = False,
    fmt: str = "q4_1",
    embedding_fmt: str = "q8_0",
    chat_template: str | None = None,
    **changes: Any,
) -> Path:
    """Write the model, by default about 2 MB, and return `path`; equal arguments give equal bytes.

    Args:
        path: the file to write.
        seed: for the weights.
        architecture: "llama", "qwen2" or "qwen3".
        tied: whether the embedding is the head too; otherwise the head is a matrix in `fmt`.
        rope_factors: whether there is a `rope_freqs.weight`.
        fmt: of the layers' matrices: a K-quant, or one that `gguf.quantize` writes, such as f32.
            Rows that are no whole number of blocks are padded, and `qkernels.k.<tensor>` says so.
        embedding_fmt: of the token embedding.
        chat_template: the file's `tokenizer.chat_template`.
        changes: other values for fields of the architecture's `LlamaConfig`, such as `width=320`.

    Raises:
        KeyError: an unknown architecture or format.
        OSError: `path` cannot be written.
    """
    require("a random model", "gguf", "cli")
    from gguf import GGUFWriter

    path = Path(path)
    config = replace(CONFIGS[architecture], **changes)
    with replacing(path) as unfinished:
        writer = GGUFWriter(unfinished, architecture)
        _write_config(writer, config)
        tokens = _write_tokenizer(writer)
        if chat_template is not None:
            writer.add_chat_template(chat_template)
        shapes = config.tensors(len(tokens))
        if tied:
            del shapes[OUTPUT]
        shapes.pop(ROPE_FACTORS, None)
        rng = np.random.default_rng(seed)
        for name, shape in sorted(shapes.items(), key=lambda tensor: -len(tensor[1])):
            if len(shape) == 2:
                _write_matrix(writer, name, shape, embedding_fmt if name == EMBEDDING else fmt, rng)
            else:
                _write_vector(writer, name, shape, rng)
        if rope_factors:
            factors = np.linspace(1, 8, config.head_dim // 2, dtype=np.float32)
            writer.add_tensor(ROPE_FACTORS, factors)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return path


def _write_config(writer: GGUFWriter, config: LlamaConfig) -> None:
    from gguf import RopeScalingType

    writer.add_name("random")
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.rms_epsilon)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_rope_dimension_count(config.head_dim)
    if config.heads * config.head_dim != config.width:
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if config.rope_scale != 1.0:
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_scale)


def _write_tokenizer(writer: GGUFWriter) -> list[str]:
    from gguf import TokenType
    from tokenizers.pre_tokenizers import ByteLevel

    merges: dict[str, str] = {}
    for word in WORDS:
        # Each word grows by a character a merge; words with a common beginning share merges.
        for end in range(1, len(word)):
            merges[f"{word[:end]} {word[end]}"] = word[: end + 1]
    tokens = [*SPECIAL_TOKENS, *sorted(ByteLevel.alphabet()), *merges.values()]
    types = [TokenType.CONTROL] * len(SPECIAL_TOKENS)
    types += [TokenType.NORMAL] * (len(tokens) - len(types))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(list(merges))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    return tokens


def _write_matrix(
    writer: GGUFWriter, name: str, shape: tuple[int, ...], fmt: str, rng: np.random.Generator
) -> None:
    """Weights with which a product keeps the size of its input, so that no layer drowns another."""
    from gguf import GGML_QUANT_SIZES, quantize
    from gguf import GGMLQuantizationType as Format

    n, k = shape
    kind = Format[fmt.upper()]
    block, _ = GGML_QUANT_SIZES[kind]
    if fmt in K_QUANTS:
        data = random_k_quants(fmt, n, k, rng)
    else:
        weights = rng.standard_normal((n, k), dtype=np.float32) / np.float32(np.sqrt(k))
        data = quantize(np.pad(weights, ((0, 0), (0, -k % block))), kind)
    writer.add_tensor(name, data, raw_dtype=kind)
    if k % block:
        writer.add_uint32(f"qkernels.k.{name}", k)


def _write_vector(
    writer: GGUFWriter, name: str, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    noise = 0.1 * rng.standard_normal(shape, dtype=np.float32)
    values = noise if name.endswith(".bias") else 1 + noise
    writer.add_tensor(name, values.astype(np.float32))


def random_k_quants(fmt: str, n: int, k: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blocks of random bits whose weights have a mean square of about 1 / k.

    Args:
        fmt: one of `K_QUANTS`.
        n: rows.
        k: depth; rows are completed to whole blocks.
        rng: where the bits come from.

    Returns:
        uint8 (n, ceil(k / 256) * bytes of a block).
    """
    from gguf import GGML_QUANT_SIZES
    from gguf import GGMLQuantizationType as Format
    from gguf.quants import dequantize

    kind = Format[fmt.upper()]
    block, nbytes = GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (n, -(-k // block), nbytes), dtype=np.uint8)
    scale_at, min_at, ratio = K_QUANTS[fmt]

    def set_scale(scale: float) -> None:
        raw[..., scale_at : scale_at + 2] = np.array([scale], "<f2").view(np.uint8)
        if min_at is not None:
            raw[..., min_at : min_at + 2] = np.array([scale * ratio], "<f2").view(np.uint8)

    set_scale(1.0)
    size = float(np.sqrt(np.mean(dequantize(raw.reshape(n, -1), kind).astype(np.float64) ** 2)))
    set_scale(1 / (size * np.sqrt(k)))
    return raw.reshape(n, -1)
