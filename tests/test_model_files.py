"""Files that a model cannot be made of, and what is said of them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gguf_files import key
from qkernels.llama import Model


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            key("general.architecture", "string", "llama"),
            key("general.architecture", "string", "mamba"),
            "general.architecture is 'mamba', supported are 'llama', 'qwen2', 'qwen3'",
        ),
        (b"blk.3.ffn_up.weight", b"blk.7.ffn_up.weight", "no tensor blk.3.ffn_up.weight"),
        (b"output_norm.weight", b"output_nerm.weight", "no tensor output_norm.weight"),
        (
            key("llama.feed_forward_length", "uint32", 768),
            key("llama.feed_forward_length", "uint32", 512),
            r"blk.0.ffn_gate.weight has shape \(768, 256\), expected \(512, 256\)",
        ),
        (
            key("tokenizer.ggml.pre", "string", "smollm"),
            key("tokenizer.ggml.pre", "string", "smallm"),
            "tokenizer.ggml.pre is 'smallm', supported is",
        ),
        (b"tokenizer.ggml.model", b"tokenizer.ggml.modes", "tokenizer.ggml.model is missing"),
    ],
)
def test_a_file_that_is_no_supported_model_is_named(
    random_model_path: Path, tmp_path: Path, old: bytes, new: bytes, message: str
) -> None:
    raw = random_model_path.read_bytes()
    assert raw.count(old) == 1
    path = tmp_path / "other.gguf"
    path.write_bytes(raw.replace(old, new))
    with pytest.raises(ValueError, match=message):
        Model(path)


def test_a_vocabulary_of_another_size_is_refused(random_model_path: Path, tmp_path: Path) -> None:
    raw = random_model_path.read_bytes()
    table = b"token_embd.weight" + struct.pack("<IQQ", 2, 256, 290)
    assert raw.count(table) == 1
    path = tmp_path / "other.gguf"
    path.write_bytes(raw.replace(table, table[:-8] + struct.pack("<Q", 288)))
    with pytest.raises(ValueError, match=r"ggml.tokens has 290 tokens, token_embd.weight 288 rows"):
        Model(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Model(tmp_path / "missing.gguf")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model" * 100])
def test_what_is_no_gguf_file_is_a_value_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.gguf"):
        Model(path)
