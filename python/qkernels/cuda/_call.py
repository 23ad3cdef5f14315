"""A product, checked and viewed, and the kernels' way to it: eight columns at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from ctypes import byref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qkernels.cuda import _abi
from qkernels.cuda._library import activation_bytes, library

if TYPE_CHECKING:
    from collections.abc import Callable

    from qkernels.cuda._view import View
    from qkernels.cuda.tensor import CudaTensor

    # (nbytes, device, stream): memory for that long, by its address
    Scratch = Callable[[int, int, int], AbstractContextManager[int]]


@dataclass(frozen=True, slots=True)
class Call:
    """y = function(x W^T + bias), or with `up` function(x W^T + bias) * (x up^T + up_bias).

    Attributes:
        weights: (n, k), and `up` of the same shape, format and layout.
        x: (..., k).
        y: (..., n).
        bias: (n,) in float32, as up_bias.
        act: "int16", "float32" or "int8".
        function: None, or "silu", "gelu", "gelu_tanh" or "gelu_sigmoid".
        device: the device of all of them.
        stream: where the work goes.
    """

    weights: CudaTensor
    up: CudaTensor | None
    x: View
    y: View
    bias: View | None
    up_bias: View | None
    act: str
    function: str | None
    device: int
    stream: int

    def structure(self) -> _abi.Product:
        """The call in the interface's form, without its activations and columns."""
        product = _abi.Product()
        product.device = self.device
        product.stream = self.stream
        product.act = _abi.ACTS.index(self.act)
        product.weights = self.weights.structure()
        product.up = None if self.up is None else self.up.pointer
        product.y = self.y.matrix()
        product.bias = None if self.bias is None else self.bias.pointer
        product.up_bias = None if self.up_bias is None else self.up_bias.pointer
        product.function = _abi.FUNCTIONS.index(self.function)
        return product


def multiply_by_columns(call: Call, scratch: Scratch) -> None:
    """The product by the kernels: two launches for each eight rows of x.

    Args:
        call: of any number of rows.
        scratch: where the quantised rows go.
    """
    product = call.structure()
    x = call.x.matrix()
    rows = x.rows
    nbytes = activation_bytes(product.act, min(rows, _abi.MOST_COLUMNS), x.columns)
    with scratch(nbytes, call.device, call.stream) as activations:
        product.activations = activations
        for first in range(0, rows, _abi.MOST_COLUMNS):
            count = min(_abi.MOST_COLUMNS, rows - first)
            product.columns = count
            _move(product.y, call.y.matrix().data, first, count)
            _move(x, call.x.pointer, first, count)
            library().call("quantize_and_multiply", byref(x), byref(product))


def multiply_quantized(call: Call, activations: int) -> None:
    """The product with int8 activations that are quantised already: one launch.

    Args:
        call: of at most eight rows; its x is not read.
        activations: the address of the quantised rows.
    """
    product = call.structure()
    product.activations = activations
    product.columns = product.y.rows
    library().call("multiply", byref(product))


def _move(matrix: Any, begin: int | None, first: int, count: int) -> None:
    """Rows [first, first + count) of a matrix that begins at an address."""
    size = _abi.ITEM_BYTES[_abi.DTYPES[matrix.dtype]]
    matrix.data = (begin or 0) + first * matrix.stride * size
    matrix.rows = count
