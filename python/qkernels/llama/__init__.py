"""Language models of the Llama family: `Model` runs them, over fused kernels in the core.

    model = qkernels.llama.Model("model.gguf")
    for piece in model.generate("The capital of France is"):
        print(piece, end="", flush=True)

`Reference` is the same forward pass written to be read, and `perplexity` says how well a model
foretells a text. Importing this imports neither torch, nor tokenizers, nor jinja2.
"""

from qkernels.llama.chat import ChatTemplate
from qkernels.llama.config import LlamaConfig
from qkernels.llama.model import Model
from qkernels.llama.reference import Reference
from qkernels.llama.scoring import Perplexity, perplexity
from qkernels.llama.stats import Stats
from qkernels.llama.tokenizer import Tokenizer

__all__ = [
    "ChatTemplate",
    "LlamaConfig",
    "Model",
    "Perplexity",
    "Reference",
    "Stats",
    "Tokenizer",
    "perplexity",
]
