"""What a test finds in an opened GGUF file, of the kind that it expects."""

from typing import Any

import numpy as np

import qkernels as qk

NDArray = np.ndarray[Any, Any]


def array_of(file: qk.GGUFFile, name: str) -> NDArray:
    tensor = file[name]
    assert isinstance(tensor, np.ndarray)
    return tensor


def matrix_of(file: qk.GGUFFile, name: str) -> qk.QTensor:
    tensor = file[name]
    assert isinstance(tensor, qk.QTensor)
    return tensor
