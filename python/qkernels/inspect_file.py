"""What is in a file: `qkernels.tools.inspect`, by its public name."""

from qkernels.tools.inspect import (
    FileReport,
    KeyEntry,
    TensorEntry,
    TypeTotal,
    chosen_names,
    count,
    inspect,
)

__all__ = ["FileReport", "KeyEntry", "TensorEntry", "TypeTotal", "chosen_names", "count", "inspect"]
