"""Which format a tensor takes: `qkernels.tools.quantize_types`, by its public name."""

from qkernels.files.file_types import FILE_TYPES
from qkernels.tools.quantize_types import (
    FALLBACKS,
    FLOATS,
    KEPT,
    KEPT_NAMES,
    LAST_FALLBACK,
    Choice,
    Rule,
    block_of,
    check_format,
    check_keep,
    check_rules,
    choose,
    deciding_rule,
    is_matrix,
    parse_keep,
)

__all__ = [
    "FALLBACKS",
    "FILE_TYPES",
    "FLOATS",
    "KEPT",
    "KEPT_NAMES",
    "LAST_FALLBACK",
    "Choice",
    "Rule",
    "block_of",
    "check_format",
    "check_keep",
    "check_rules",
    "choose",
    "deciding_rule",
    "is_matrix",
    "parse_keep",
]
