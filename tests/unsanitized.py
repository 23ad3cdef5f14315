"""Which tests scripts/sanitized_tests.sh leaves out, and why sanitizers would see nothing new.

A test that stands nowhere here runs under them.
"""

from __future__ import annotations

import pytest

# Python alone, other programs, or commands over functions that tests of their own call.
ABOVE_THE_CORE = (
    "bench", "bench_calls", "bench_gates", "bench_llama", "bench_method", "bench_report",
    "bench_requantised", "chat", "cli", "cli_llama", "count_instructions", "cuda_check",
    "cuda_disassembly", "cuda_trace", "demo", "extract", "gates", "gates_cli", "gates_steps",
    "ggml_rules", "imports", "inspect", "inspect_docs", "instructions", "models", "notebooks",
    "performance_tables", "prompts", "quantize_command", "quantize_file", "quantize_llama_cpp",
    "quantize_refusals", "quantize_types", "readme", "reference", "requirements", "room",
    "special", "stream_command", "stream_instructions", "structure", "stubs", "template_limits",
    "tokenizer", "vocabularies", "whole_files",
)  # fmt: skip
# Numbers: tests/cpp and tests/cuda have the same kernels do the same work there, or one that is
# smaller; what a fused operator does besides is in test_fused_wrong.py and with every model. Every
# operator runs in test_exit.py, too.
NUMBERS = (
    "bitwise", "bounds", "cuda_products", "formats", "fp_environment", "fused", "llama_exact",
    "llama_k_quants", "load_packed", "nonfinite", "packed", "perplexity", "quantize_ggml",
)  # fmt: skip

# Bounds of memory: sanitizers keep what was freed. test_gguf_wrong.py reads such files, too.
LIMITS = ("gguf_limits",)

_FILES = {f"test_{name}.py" for name in (*ABOVE_THE_CORE, *NUMBERS, *LIMITS)}


def leave_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """Takes those tests out of `items`, and returns them."""
    left_out = [item for item in items if item.path.name in _FILES]
    items[:] = [item for item in items if item.path.name not in _FILES]
    return left_out
