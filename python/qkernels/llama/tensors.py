"""The tensors of a model of the Llama family: that they are all there, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qkernels as qk
from qkernels.llama.config import TENSORS, LlamaConfig

# By role: the names of what a model has one of.
NAMES = {tensor.role: tensor.name for tensor in TENSORS if not tensor.of_layers}
EMBEDDING, OUTPUT, ROPE_FACTORS = NAMES["embedding"], NAMES["head"], NAMES["rope_factors"]
_OPTIONAL = {tensor.name for tensor in TENSORS if tensor.optional}

Matrix = qk.QTensor | qk.PackedTensor
_FLOATS = {"float32": "f32", "float16": "f16"}


@dataclass(frozen=True)
class Tensors:
    """The checked tensors of a model.

    Attributes:
        matrices: (n, k), by name, the embedding and the head among them.
        vectors: float32, by name: gains of norms, biases, and `rope_freqs.weight` where the file
            has it, whose values the frequencies of RoPE are divided by.
        head: the name of the matrix that makes logits: the embedding where the two are tied.
    """

    matrices: dict[str, Matrix]
    vectors: dict[str, NDArray[np.float32]]
    head: str

    @property
    def vocabulary(self) -> int:
        """The number of tokens that there are embeddings for."""
        return self.matrices[EMBEDDING].shape[0]

    def core(self) -> dict[str, Any]:
        """All of them by name, as `_core.Llama` takes them."""
        matrices = {name: weights._weights for name, weights in self.matrices.items()}
        return {**matrices, **self.vectors}


def collect(file: qk.GGUFFile, config: LlamaConfig) -> Tensors:
    """Look up every tensor that the forward pass of `config` reads.

    Raises:
        ValueError: a tensor is missing or misshapen, RoPE factors are not positive, or the file has
            a tensor that is not known here (a mixture's router, another bias), which would change
            the result if it was used.
    """
    # Before the names of so many layers are made: the number may be anything.
    if config.layers > len(file):
        raise ValueError(
            f"{config.architecture}.block_count is {config.layers},"
            f" the file has {len(file)} tensors"
        )
    embedding = as_matrix(file.get(EMBEDDING))
    if not isinstance(embedding, Matrix) or not embedding.shape[0]:
        raise ValueError(f"{EMBEDDING} is missing or is no matrix with rows")
    known = config.tensors(int(embedding.shape[0]))
    shapes = {n: shape for n, shape in known.items() if n in file or n not in _OPTIONAL}
    # Matrices first: those are what a file for another model lacks or has in other shapes.
    matrices = {n: _matrix(file, n, shape) for n, shape in shapes.items() if len(shape) == 2}
    vectors = {n: _vector(file, n, *shape) for n, shape in shapes.items() if len(shape) == 1}
    if unknown := sorted(set(file) - set(shapes)):
        raise ValueError(f"tensor {unknown[0]} is not part of a plain {config.architecture} model")
    _check_factors(vectors.get(ROPE_FACTORS))
    return Tensors(matrices, vectors, OUTPUT if OUTPUT in matrices else EMBEDDING)


def as_matrix(tensor: Any) -> Any:
    """A tensor without leading dimensions of 1 past two, which say nothing; or None."""
    stacked = tensor is not None and len(tensor.shape) > 2
    while stacked and len(tensor.shape) > 2 and tensor.shape[0] == 1:
        tensor = tensor[0]
    # Floats come as arrays where they have more dimensions than weights do.
    is_array = stacked and isinstance(tensor, np.ndarray) and tensor.ndim == 2
    if is_array and (fmt := _FLOATS.get(tensor.dtype.name)) is not None:
        rows = np.ascontiguousarray(tensor).view(np.uint8)
        return qk.QTensor(rows, fmt, tensor.shape)
    return tensor


def _matrix(file: qk.GGUFFile, name: str, shape: tuple[int, ...]) -> Matrix:
    tensor = _look_up(file, name)
    found = tuple(tensor.shape)
    tensor = as_matrix(tensor)
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {found}, expected {shape}")
    if not isinstance(tensor, Matrix):
        raise ValueError(f"{name} is a plain array, expected weights of shape {shape}")
    return tensor


def _vector(file: qk.GGUFFile, name: str, length: int) -> NDArray[np.float32]:
    """A copy, so that the file need not stay open: blocks are decoded, other floats converted."""
    tensor = _look_up(file, name)
    found = tuple(tensor.shape)
    # A quantised vector may come as the matrix of one row that its blocks are.
    if found[-1:] != (length,) or any(extent != 1 for extent in found[:-1]):
        raise ValueError(f"{name} has shape {found}, expected {(length,)}")
    if isinstance(tensor, qk.PackedTensor):
        tensor = tensor.unpack()
    if isinstance(tensor, qk.QTensor):
        tensor = tensor.dequantize()
    if not isinstance(tensor, np.ndarray) or not _is_float(tensor.dtype):
        raise ValueError(f"{name} is not a vector of floats")
    # Values past float32 become infinities, as everything that is computed with them would.
    with np.errstate(over="ignore"):
        return np.array(tensor, np.float32, order="C").reshape(length)


def _is_float(dtype: np.dtype[Any]) -> bool:
    """Also of the types that ml_dtypes brings, whose kind is "V"."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _look_up(file: qk.GGUFFile, name: str) -> Any:
    if name not in file:
        raise ValueError(f"the file has no tensor {name}")
    tensor = file[name]
    if isinstance(tensor, qk.UnreadTensor):
        raise ValueError(tensor.reason)
    return tensor


def _check_factors(factors: NDArray[np.float32] | None) -> None:
    # The comparison is false for a NaN.
    if factors is not None and not np.all((factors > 0) & np.isfinite(factors)):
        raise ValueError(f"{ROPE_FACTORS} holds values that are not positive numbers")
