"""GGUF files as mappings: `qkernels.files.gguf`, by its public name."""

from qkernels.files.gguf import GGUFFile, load_gguf

__all__ = ["GGUFFile", "load_gguf"]
