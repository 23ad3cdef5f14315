"""Files with a vocabulary and nothing else, small enough to see through, and texts to encode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf_files import array_key, image, key

UNDEFINED, NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(7)
SPECIAL = {"<s>": CONTROL, "</s>": CONTROL, "<|im_start|>": CONTROL, "<tool>": USER_DEFINED}
# Merges over every border at which some pre-tokenizer splits. `Ġ` is a space, `Ċ` a line's end.
MERGES = [
    *("1 2", "12 3", "123 4", "4 5", "Ġ 1", "Ġ a", "Ġa b", "a b", "b '", "' s", "' S", "'S a"),
    *("s a", "b (", "( a", "( (", "! Ċ", "! !", "Ġ !", "Ċ Ċ", "Ċ Ġ", "Ġ Ġ", "ĠĠ Ġ", "Ġ Ċ"),
    *("ĉ a", "Ã ©", "Ã© a", "Ġ Ã©", "$ 1", "- a", "_ a", "' l", "'l l", "Ċ a", ") Ċ", "Ġ ("),
    *("a 1", "1 a"),
]
# Without merges: only where merges are ignored is it one token.
UNMERGED = "Ġbaba"
PIECES = {
    **{"▁": -5.0, "a": -1.0, "b": -2.0, "é": -3.0, "日": -4.0, "1": -1.0, "\n": -9.0},
    **{"▁a": -1.0, "ab": -1.0, "▁▁": -0.5, "ba": -1.0, "▁ab": -0.25, "aba": -0.25, "11": -2.0},
    **{"bab": -0.25, "日x": -0.5, "a▁": -0.75, "▁▁▁▁": -3.0},
}
TEXTS = [
    "",
    "ab",
    " ab  ab   ab",
    "ab's ab'Sa ab'll 'sa",
    "1234512 12 1a1 123",
    "ab(a) ((a)\n\n (ab)\n",
    "!!\n ab!\n\n  \n ab \t\ta",
    "éa é ééa",
    "日本 日x ab日",
    "🙂 ab\u00a0ab\u3000a",
    "$1 -a _a $12",
    "<s>ab<|im_start|> ab</s>",
    "a<tool> b<tool>ab",
    " baba baba",
    "ababab  abba\n",
    "½ ²1 ٣4 ⅷ1",
    "\r\n\r\na\r\n",
    "    ",
]


def byte_level(pre: str) -> dict[str, Any]:
    """The metadata of a GPT-2 vocabulary with a pre-tokenizer."""
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*SPECIAL, *alphabet, *(merge.replace(" ", "") for merge in MERGES), UNMERGED]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [SPECIAL.get(token, NORMAL) for token in tokens],
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
    }


def sentence_piece(**changes: Any) -> dict[str, Any]:
    """The metadata of a SentencePiece vocabulary; `changes` are further keys."""
    raw = [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = {"<unk>": UNKNOWN, **SPECIAL, **dict.fromkeys(raw, BYTE)}
    tokens = [*kinds, *PIECES]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [PIECES.get(token, 0.0) for token in tokens],
        "tokenizer.ggml.token_type": [kinds.get(token, NORMAL) for token in tokens],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        **{f"tokenizer.ggml.{name}": value for name, value in changes.items()},
    }


# Spellings of special tokens, and types that do not say so.
ODD_TYPES = {
    **{"<|im_end|>": NORMAL, "<|eot_id|>": USER_DEFINED, "<EOT>": UNUSED, "<|end|>": UNDEFINED},
    **{"[EOS]": BYTE, "<turn|>": NORMAL, "<|fim_prefix|>": NORMAL, "<|fim_pad|>": NORMAL},
    **{"<a>": CONTROL, "a>b1": USER_DEFINED, "<a>bb": UNKNOWN, "<|channel|>": CONTROL},
    **{"<c>": NORMAL, "<|return|>": CONTROL, "<|call|>": NORMAL, "bab<a>": CONTROL},
}
SPECIAL_TEXTS = [
    "ab<|im_end|>ab<|eot_id|>",
    "<EOT><|end|>[EOS]",
    "<turn|> ab <|fim_prefix|>ab<|fim_pad|>",
    "<a>bb a>b1 <a>b1 bab<a>bb",
    "a<a><a>b11bab<a>b1",
    "<|channel|>a<|return|><|call|><c>",
    "<|im_end|",
    "<<a>><s></s> <s>",
]


def with_odd_types(metadata: dict[str, Any], *, typed: bool = True) -> dict[str, Any]:
    """A vocabulary with special tokens of the wrong types, or of none."""
    found = dict(metadata)
    found["tokenizer.ggml.tokens"] = [*metadata["tokenizer.ggml.tokens"], *ODD_TYPES]
    kinds = found.pop("tokenizer.ggml.token_type")
    if typed:
        found["tokenizer.ggml.token_type"] = [*kinds, *ODD_TYPES.values()]
    if "tokenizer.ggml.scores" in found:
        scores = metadata["tokenizer.ggml.scores"]
        found["tokenizer.ggml.scores"] = [*scores, *(0.0 for _ in ODD_TYPES)]
    return found


# What is encoded in tests/data/tokenizer_ids.json, by name.
SPLITS = ("default", "gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2")
VOCABULARIES = {
    **{pre: byte_level(pre) for pre in SPLITS},
    "sentence-piece": sentence_piece(),
    "sentence-piece without a space before": sentence_piece(add_space_prefix=False),
    "sentence-piece with both ends": sentence_piece(add_bos_token=True, add_eos_token=True),
}
# Beside SPECIAL_TEXTS, in the same file.
SPECIALS = {
    "gpt-2, odd types": with_odd_types(byte_level("gpt-2")),
    "gpt-2, no types": with_odd_types(byte_level("gpt-2"), typed=False),
    "llama-bpe, odd types": with_odd_types(byte_level("llama-bpe")),
    "sentence-piece, odd types": with_odd_types(sentence_piece()),
    "sentence-piece, no types": with_odd_types(sentence_piece(), typed=False),
}
KINDS = {str: "string", int: "int32", float: "float32", bool: "bool"}


def write(path: Path, metadata: dict[str, Any]) -> Path:
    """Write a file with this metadata, and what llama.cpp asks for beside it."""
    sizes = {
        "block_count": 1,
        "context_length": 64,
        "embedding_length": 32,
        "feed_forward_length": 1,
    }
    keys = [key("general.architecture", "string", "llama")]
    keys += [key(f"llama.{name}", "uint32", size) for name, size in sizes.items()]
    keys.append(key("llama.attention.head_count", "uint32", 1))
    keys.append(key("llama.attention.layer_norm_rms_epsilon", "float32", 1e-5))
    for name, value in metadata.items():
        if isinstance(value, list):
            keys.append(array_key(name, KINDS[type(value[0])], value))
        else:
            kind = "uint32" if name.endswith("_id") else KINDS[type(value)]
            keys.append(key(name, kind, value))
    path.write_bytes(image(keys))
    return path
