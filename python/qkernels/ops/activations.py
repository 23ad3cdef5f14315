"""Activations that are quantised once, for several products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qkernels import _core
from qkernels._base.threads import thread_count

if TYPE_CHECKING:
    from qkernels._base.frameworks import Array


def quantize_activations(
    x: Array, act: str = "int16", *, threads: int | None = None
) -> _core.Activations:
    """Quantise x once, for several products with it.

    Args:
        x: shape (..., k), of real numbers as for `gemv`.
        act: as for `gemv`. Float weights take only "float32".
        threads: as for `gemv`.

    Returns:
        An object that every product accepts as its x, for as long as the ISA stays the same.

    Raises:
        TypeError: x is not an array of real numbers.
        ValueError: x has no dimensions or k = 0, or act is unknown.
    """
    return _core.quantize_activations(x, act, thread_count(threads))
