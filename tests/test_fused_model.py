"""A model made of the public operators has the logits of the runtime, to the last bit."""

from dataclasses import asdict
from typing import Any

import numpy as np

import qkernels as qk
from qkernels import _core
from qkernels.llama.config import LlamaConfig

NDArray = np.ndarray[Any, Any]


def runtime_logits(file: qk.GGUFFile, config: LlamaConfig, tokens: list[int]) -> NDArray:
    tensors: dict[str, Any] = {}
    for name in file:
        tensor = file[name]
        is_matrix = isinstance(tensor, (qk.QTensor, qk.PackedTensor))
        tensors[name] = tensor._weights if is_matrix else tensor  # type: ignore[union-attr]
    model = _core.Llama(asdict(config), tensors, "float16", 64, "int16", 2)
    return np.asarray(model.forward(tokens, "all"))


def operator_logits(file: qk.GGUFFile, config: LlamaConfig, tokens: list[int]) -> NDArray:
    tensors: Any = file
    base, eps = config.rope_base, config.rms_epsilon

    def heads(y: NDArray) -> NDArray:
        return y.reshape(len(y), -1, config.head_dim).transpose(1, 0, 2)

    x = qk.get_rows(tensors["token_embd.weight"], tokens)
    for layer in range(config.layers):
        w = {n[len(f"blk.{layer}.") : -7]: tensors[n] for n in file if f"blk.{layer}." in n}
        q, k, v = (
            heads(qk.rmsnorm_linear(x, w["attn_norm"], w[f"attn_{n}"], eps=eps)) for n in "qkv"
        )
        cache = qk.KVCache(config.kv_heads, config.head_dim, len(tokens))
        cache.append(qk.rope(k, 0, base=base), v)
        y = qk.attention(qk.rope(q, 0, base=base), cache, causal=True)
        x += qk.gemm(w["attn_output"], y.transpose(1, 0, 2).reshape(len(tokens), -1))
        qk.swiglu_ffn(
            x, w["ffn_gate"], w["ffn_up"], w["ffn_down"],
            gains=w["ffn_norm"], eps=eps, residual=x, out=x,
        )  # fmt: skip
    head = tensors["output.weight" if "output.weight" in file else "token_embd.weight"]
    return np.asarray(qk.rmsnorm_linear(x, tensors["output_norm.weight"], head, eps=eps))


def test_operators_and_runtime_have_the_same_logits(random_model: qk.GGUFFile, isa: str) -> None:
    config = LlamaConfig.from_metadata(random_model.metadata)
    for count in (1, 5, 20):
        tokens = [*range(3, 3 + count)]
        np.testing.assert_array_equal(
            operator_logits(random_model, config, tokens),
            runtime_logits(random_model, config, tokens),
        )
