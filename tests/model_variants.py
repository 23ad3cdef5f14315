"""Random models of every kind that the runtime knows, and files with parts exchanged."""

from __future__ import annotations

from typing import Any

import qkernels as qk
from qkernels.llama.config import ARCHITECTURES

# Arguments of random_llama, by what is special: every architecture is one of them.
VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"architecture": name} for name in ARCHITECTURES},
    "untied head": {"architecture": "qwen3", "tied": False},
    "RoPE factors": {"rope_factors": True},
    "linear RoPE": {"rope_scale": 4.0},
    "wide heads": {"head_dim": 96},
    "one key head": {"kv_heads": 1},
    "f32": {"fmt": "f32", "embedding_fmt": "f32"},
    "f16": {"fmt": "f16", "embedding_fmt": "f16", "tied": False},
    "padded q4_k": {"fmt": "q4_k", "width": 320, "hidden": 700, "embedding_fmt": "q6_k"},
    "padded q5_k": {"fmt": "q5_k", "width": 320, "hidden": 700, "architecture": "qwen3"},
}


class Altered(dict[str, Any]):
    """A file with other tensors or metadata than the one it was made from."""

    def __init__(self, file: qk.GGUFFile) -> None:
        super().__init__(file)
        self.metadata = dict(file.metadata)

    def unpacked(self, name: str) -> Any:
        return self[name]
