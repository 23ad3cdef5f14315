"""Llama models over `qkernels` products: configuration, tokenizer and a reference forward pass."""

from qkernels.llama.config import LlamaConfig
from qkernels.llama.reference import Reference
from qkernels.llama.tokenizer import Tokenizer

__all__ = ["LlamaConfig", "Reference", "Tokenizer"]
