"""Writing GGUF files: `qkernels.files.save`, by its public name."""

from qkernels.files.save import save_gguf

__all__ = ["save_gguf"]
