"""ggml's own quantisers, of the library that `llama-cpp-python` brings, called by ctypes."""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_int64, c_size_t, c_void_p
from functools import lru_cache
from typing import Any

import numpy as np

from qkernels import _core
from qkernels.bench.peers import ggml_library

NDArray = np.ndarray[Any, Any]

# Forms that ggml keeps activations in; its function for weights does not take them.
OF_ACTIVATIONS = {"q8_1": "quantize_row_q8_1_ref", "q8_k": "quantize_row_q8_K_ref"}


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The library.

    Raises:
        RuntimeError: llama-cpp-python is not installed.
    """
    folder = ggml_library.folder()
    if folder is None:
        raise RuntimeError("needs llama-cpp-python, of the bench extra")
    loaded = ctypes.CDLL(str(folder / "libggml-base.so"))
    loaded.ggml_quantize_chunk.restype = c_size_t
    loaded.ggml_quantize_chunk.argtypes = (
        *(c_int, c_void_p, c_void_p),
        *(c_int64, c_int64, c_int64, c_void_p),
    )
    for name in OF_ACTIVATIONS.values():
        getattr(loaded, name).restype = None
        getattr(loaded, name).argtypes = (c_void_p, c_void_p, c_int64)
    return loaded


def by_ggml(weights: NDArray, fmt: str, imatrix: NDArray | None = None) -> NDArray:
    """Quantise weights on the calling thread.

    Args:
        weights: float32 (n, k), C-contiguous, k whole blocks.
        fmt: a format's name.
        imatrix: float32 (k,).

    Returns:
        uint8 (n, row_bytes).
    """
    n, k = weights.shape
    info = _core.format_info(fmt)
    block, nbytes = info.block, info.block_bytes
    out = np.zeros((n, k // block * nbytes), np.uint8)  # sums of q8_k's zeros are not written
    if fmt in OF_ACTIVATIONS:
        row = getattr(library(), OF_ACTIVATIONS[fmt])
        row(weights.ctypes.data, out.ctypes.data, weights.size)
        return out
    factors = None if imatrix is None else imatrix.ctypes.data
    written = library().ggml_quantize_chunk(
        info.gguf_id, weights.ctypes.data, out.ctypes.data, 0, n, k, factors
    )
    if written != out.nbytes:
        raise RuntimeError(f"ggml wrote {written} bytes of {fmt}, not {out.nbytes}")
    return out
