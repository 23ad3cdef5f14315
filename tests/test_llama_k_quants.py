"""SmolLM2 in K-quants: 576 is no multiple of 256, so that rows are completed to whole blocks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import qkernels as qk
from k_quants import encode_q4_k, encode_q6_k, pad_rows
from qkernels.llama import Model, Reference

if TYPE_CHECKING:
    from gguf import GGUFWriter

pytestmark = [pytest.mark.slow, pytest.mark.model]

TEXT = "The capital of France is Paris. The capital of Italy is Rome, and the capital of Spain is"


def _copy_metadata(metadata: Any, writer: GGUFWriter) -> None:
    from gguf import GGUFValueType as Type

    types = {str: Type.STRING, bool: Type.BOOL, int: Type.UINT32, float: Type.FLOAT32}
    for key, value in metadata.items():
        if key == "general.architecture":  # the writer has written it
            continue
        if isinstance(value, list):
            writer.add_array(key, value)
        else:
            writer.add_key_value(key, value, types[type(value)])


@pytest.fixture(scope="module")
def k_quants_path(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the model with q6_k for what matters most and q4_k for the rest."""
    from gguf import GGMLQuantizationType as Format
    from gguf import GGUFWriter

    path = tmp_path_factory.mktemp("k-quants") / "smollm2-k-quants.gguf"
    with qk.load_gguf(model_path) as file:
        writer = GGUFWriter(path, "llama")
        _copy_metadata(file.metadata, writer)
        for name, weights in file.items():
            if isinstance(weights, np.ndarray):
                writer.add_tensor(name, np.array(weights))
                continue
            fine = name.endswith(("attn_v.weight", "ffn_down.weight", "token_embd.weight"))
            dense = pad_rows(qk.dequantize(weights))
            blocks = encode_q6_k(dense) if fine else encode_q4_k(dense)
            writer.add_tensor(name, blocks, raw_dtype=Format.Q6_K if fine else Format.Q4_K)
            if dense.shape[1] != weights.shape[1]:
                writer.add_uint32(f"qkernels.k.{name}", weights.shape[1])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return path


@pytest.mark.timeout(600)
def test_a_copy_in_k_quants_with_padded_rows_agrees_with_its_own_float64_reference(
    k_quants_path: Path,
) -> None:
    with qk.load_gguf(k_quants_path) as file:
        assert file["blk.0.attn_q.weight"].shape == (576, 576)
        matrices = [w for w in file.values() if isinstance(w, qk.QTensor)]
        assert {w.fmt for w in matrices} == {"q4_k", "q6_k"}
        reference = Reference(file, "float64")
        for pack in (True, False):
            with Model(
                k_quants_path, pack=pack, act="float32", cache_dtype="float32", max_context=64
            ) as model:
                tokens = model.tokenizer.encode(TEXT)
                logits = model.logits(tokens)
                reference.reset()
                exact = reference.forward(tokens)
                error = np.linalg.norm(logits - exact) / np.linalg.norm(exact)
                print(f"pack={pack}: {error:.1e}")
                assert error <= 1e-5, f"pack={pack}"
                text = "".join(model.generate("The capital of France is", 3))
                assert "Paris" in text, text
