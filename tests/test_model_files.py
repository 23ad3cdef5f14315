"""Files that a model is made of or cannot be made of, and what is said of them."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from generating import PROMPT, text_of
from gguf_contents import array_of
from gguf_files import key
from qkernels.demo.random_model import random_llama
from qkernels.llama import Model, Tokenizer


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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("options", [{}, {"tied": False}, {"rope_factors": True}], ids=str)
@pytest.mark.parametrize("pack", [True, False])
def test_a_packed_model_keeps_no_map_of_its_file(
    tmp_path: Path, options: dict[str, Any], pack: bool
) -> None:
    path = random_llama(tmp_path / "mapped.gguf", **options)
    model = Model(path, pack=pack)
    assert str(path) in Path("/proc/self/maps").read_text() or pack
    assert str(path) not in Path("/proc/self/maps").read_text() or not pack
    assert text_of(model, PROMPT, 2)


def test_a_model_whose_tensors_are_stored_oddly_runs(
    random_model: qk.GGUFFile, tmp_path: Path
) -> None:
    """Norms as a row, in blocks, or in half precision; the embedding as a stack of one."""
    tensors: dict[str, Any] = dict(random_model.items())
    embedding = tensors["token_embd.weight"]
    stack = qk.QTensor(embedding.data[None], embedding.fmt, (1, *embedding.shape))
    gains = {
        name: array_of(random_model, f"blk.{name}.weight")
        for name in ("0.attn_norm", "1.ffn_norm", "2.attn_norm", "3.ffn_norm")
    }
    stored = (
        qk.quantize(gains["0.attn_norm"][None], "q8_0"),
        gains["1.ffn_norm"].astype(np.float16),
        gains["2.attn_norm"][None],
        qk.quantize(gains["3.ffn_norm"][None], "bf16"),
    )
    tensors |= {"token_embd.weight": stack}
    tensors |= {f"blk.{name}.weight": odd for name, odd in zip(gains, stored, strict=True)}
    qk.save_gguf(tmp_path / "odd.gguf", tensors, random_model.metadata)
    with Model(random_model.path) as plain:
        expected = plain.logits(PROMPT)
    for pack in (True, False):
        with Model(tmp_path / "odd.gguf", pack=pack) as model:
            found = model.logits(PROMPT)
            assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


def test_parts_of_a_model_are_refused_as_what_they_are(
    random_model: qk.GGUFFile, tmp_path: Path
) -> None:
    half = len(random_model) // 2
    kinds = {"tokenizer.ggml.token_type": random_model.metadata["tokenizer.ggml.token_type"]}
    items = list(random_model.items())
    for number, part in enumerate((items[:half], items[half:])):
        metadata = dict(random_model.metadata) | kinds if number == 0 else {}
        split = {"split.no": number, "split.count": 2, "split.tensors.count": len(items)}
        path = tmp_path / f"m-0000{number + 1}-of-00002.gguf"
        qk.save_gguf(path, dict(part), {**metadata, **split})
        message = rf"the file is part {number + 1} of 2: merge the parts first \(llama-gguf-split"
        with pytest.raises(ValueError, match=message):
            Model(path)
        with qk.load_gguf(path) as file, pytest.raises(ValueError, match=message):
            Tokenizer.from_metadata(file.metadata)


def test_what_is_guessed_is_said_where_the_model_is_made(
    random_model: qk.GGUFFile, tmp_path: Path
) -> None:
    kinds = {"tokenizer.ggml.token_type": random_model.metadata["tokenizer.ggml.token_type"]}
    metadata = {**random_model.metadata, **kinds, "llama.attention.sliding_window": 64}
    del metadata["tokenizer.ggml.pre"]
    qk.save_gguf(tmp_path / "old.gguf", random_model, metadata)
    with pytest.warns(UserWarning, match=r"^\S+ is ") as found:
        Model(tmp_path / "old.gguf").close()
    assert [str(warning.message).split(" is ")[0] for warning in found] == [
        "llama.attention.sliding_window",
        "tokenizer.ggml.pre",
    ]
    assert {warning.filename for warning in found} == {__file__}


def test_weights_that_are_not_finite_are_said(random_model_path: Path, tmp_path: Path) -> None:
    with qk.load_gguf(random_model_path) as file:
        gains = array_of(file, "blk.1.ffn_norm.weight").tobytes()
    raw = random_model_path.read_bytes()
    assert raw.count(gains) == 1
    path = tmp_path / "infinite.gguf"
    path.write_bytes(raw.replace(gains, np.full(256, np.inf, "<f4").tobytes()))
    with Model(path) as model, pytest.raises(ValueError, match="NaN"):
        list(model.generate(PROMPT, 4))
