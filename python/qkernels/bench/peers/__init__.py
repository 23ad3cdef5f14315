"""The other ways to the same product: nothing fused, or other libraries where installed."""

from __future__ import annotations

from qkernels.bench.peers.base import Peer, UnsuitedError, candidates_of
from qkernels.bench.peers.dense import DecodeNumpy, GgufNumpy, TorchDense
from qkernels.bench.peers.ggml import Ggml
from qkernels.bench.peers.onnx_runtime import OnnxRuntime
from qkernels.bench.peers.torch_int4 import TorchInt4

__all__ = ["Peer", "UnsuitedError", "all_peers", "candidates_of"]


def all_peers() -> list[Peer]:
    """Every peer that there is, whether it is installed or not."""
    return [
        DecodeNumpy(),
        GgufNumpy(),
        TorchDense("float32"),
        TorchDense("bfloat16"),
        TorchInt4(),
        OnnxRuntime(),
        Ggml(),
    ]
