"""Writing the integers of tensors to files: `qkernels.tools.extract`, by its public name."""

from qkernels.tools.extract import Extracted, Selection, extract, parse_rows

__all__ = ["Extracted", "Selection", "extract", "parse_rows"]
