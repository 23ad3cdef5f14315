"""GGUF files: read, written, copied."""
