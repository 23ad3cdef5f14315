"""A small Llama model with random weights, as a GGUF file: for tests and where no network is.

Its text is gibberish, yet everything else is a real model's: grouped-query heads, q4_1 matrices, a
q8_0 token embedding that is the output head too, and a byte-level BPE tokenizer.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qkernels.llama.config import LlamaConfig

if TYPE_CHECKING:
    from gguf import GGUFWriter

CONFIG = LlamaConfig(
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
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Words of more than one byte get tokens, so that merges matter. `Ġ` is a space in byte spelling.
WORDS = ["The", "Paris", "Ġthe", "Ġcapital", "Ġof", "ĠFrance", "Ġis", "Ġa", "Ġand", "Ġto", "Ġin"]


def random_llama(path: str | os.PathLike[str], *, seed: int = 0) -> Path:
    """Write the model, about 2 MB, to `path` and return it; the same seed gives the same bytes.

    Raises:
        OSError: `path` cannot be written.
    """
    from gguf import GGUFWriter

    path = Path(path)
    # The file appears whole or not at all.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".random-llama-") as folder:
        unfinished = Path(folder) / path.name
        writer = GGUFWriter(unfinished, "llama")
        _write_config(writer)
        tokens = _write_tokenizer(writer)
        _write_tensors(writer, len(tokens), np.random.default_rng(seed))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.replace(unfinished, path)
    return path


def _write_config(writer: GGUFWriter) -> None:
    writer.add_name("random")
    writer.add_block_count(CONFIG.layers)
    writer.add_context_length(CONFIG.context)
    writer.add_embedding_length(CONFIG.width)
    writer.add_feed_forward_length(CONFIG.hidden)
    writer.add_head_count(CONFIG.heads)
    writer.add_head_count_kv(CONFIG.kv_heads)
    writer.add_layer_norm_rms_eps(CONFIG.rms_epsilon)
    writer.add_rope_freq_base(CONFIG.rope_base)
    writer.add_rope_dimension_count(CONFIG.head_dim)


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


def _write_tensors(writer: GGUFWriter, vocabulary: int, rng: np.random.Generator) -> None:
    from gguf import GGMLQuantizationType as Format
    from gguf import quantize

    matrices = {"token_embd.weight": (vocabulary, CONFIG.width), **CONFIG.matrix_shapes()}
    for name, (n, k) in matrices.items():
        fmt = Format.Q8_0 if name == "token_embd.weight" else Format.Q4_1
        # A product with these keeps the size of its input, so that no layer drowns another.
        weights = rng.standard_normal((n, k), dtype=np.float32) / np.float32(np.sqrt(k))
        writer.add_tensor(name, quantize(weights, fmt), raw_dtype=fmt)
    for name in CONFIG.vector_names():
        gains = 1 + 0.1 * rng.standard_normal(CONFIG.width, dtype=np.float32)
        writer.add_tensor(name, gains.astype(np.float32))
