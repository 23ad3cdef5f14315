"""Which tests scripts/sanitized_tests.sh leaves out, and why sanitizers would see nothing new.

A test that stands nowhere here runs under them.
"""

from __future__ import annotations

import pytest

# Python alone, other programs, or commands over functions that tests of their own call.
ABOVE_THE_CORE = (
    "bench", "bench_calls", "bench_gates", "bench_llama", "bench_method", "bench_report",
    "bench_requantised", "chat", "cli", "cli_llama", "count_instructions", "demo", "extract",
    "gates", "gates_cli", "gates_steps", "ggml_rules", "imports", "inspect", "inspect_docs",
    "instructions", "models", "notebooks", "performance_tables", "prompts", "quantize_command",
    "quantize_file", "quantize_llama_cpp", "quantize_refusals", "quantize_types", "readme",
    "reference", "requirements", "room", "special", "stream_command", "stream_instructions",
    "structure", "stubs", "template_limits", "tokenizer", "vocabularies", "whole_files",
)  # fmt: skip
# Numbers: tests/cpp, and the fuzzers, have the same kernels do the same work there, and what a
# fused operator does besides is in test_fused_wrong.py and with every model.
NUMBERS = (
    "bitwise", "bounds", "formats", "fused", "llama_exact", "llama_k_quants", "load_packed",
    "nonfinite", "packed", "perplexity", "quantize", "quantize_ggml", "quantize_limits",
)  # fmt: skip

# The library that they load is not of this build; tests/cuda has its kernels under sanitizers.
CUDA = (
    "cuda_arrays", "cuda_capture", "cuda_check", "cuda_disassembly", "cuda_executor",
    "cuda_library", "cuda_products", "cuda_torch", "cuda_trace", "cuda_weights", "cuda_wrong_calls",
)  # fmt: skip

# Bounds of memory: sanitizers keep what was freed. test_gguf_wrong.py reads such files, too.
LIMITS = ("gguf_limits",)

_FILES = {f"test_{name}.py" for name in (*ABOVE_THE_CORE, *NUMBERS, *CUDA, *LIMITS)}


def leave_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """Takes those tests out of `items`, and returns them."""
    left_out = [item for item in items if item.path.name in _FILES]
    items[:] = [item for item in items if item.path.name not in _FILES]
    return left_out
