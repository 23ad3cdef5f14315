"""The public operators: arguments are brought into the core's form, and the core does the work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import _core, _threads
from ._arrays import depth, integers
from ._frameworks import dtype_name, empty, is_torch
from .packed import PackedTensor
from .tensor import QTensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from gguf import GGMLQuantizationType
    from typing_extensions import TypeIs

    from ._frameworks import Array
    from .cuda import CudaTensor

    Format = str | GGMLQuantizationType | None
    NDArray = np.ndarray[Any, Any]


def _resolve(weights: object, fmt: Format, x: Any = None, *, k: int | None = None) -> _core.Weights:
    """The core's view of a QTensor, or of raw bytes in `fmt` of depth k, x's, or all rows hold."""
    if isinstance(weights, (QTensor, PackedTensor)):
        if fmt is not None and _core.format_info(fmt).name != weights.fmt:
            raise ValueError(f"fmt={fmt!r} disagrees with the weights, which are {weights.fmt}")
        return weights._weights
    if fmt is None:
        if isinstance(weights, np.ndarray) or is_torch(weights):
            raise TypeError("raw weights need fmt, the name of their format, such as 'q4_k'")
        raise TypeError(
            f"weights must be a QTensor, or uint8 blocks with fmt, not {type(weights).__name__}"
        )
    return _core.Weights(weights, fmt, k if x is None else depth(x))


def _on_device(weights: object, fmt: Format, threads: int | None) -> TypeIs[CudaTensor]:
    """Whether weights are on a CUDA device, where there are no threads to choose.

    Raises:
        TypeError: `threads` is given.
        ValueError: `fmt` is given and another than the weights'.
    """
    module = sys.modules.get("qkernels.cuda.tensor")
    if module is None or not isinstance(weights, module.CudaTensor):
        return False
    if fmt is not None and _core.format_info(fmt).name != weights.fmt:
        raise ValueError(f"fmt={fmt!r} disagrees with the weights, which are {weights.fmt}")
    if threads is not None:
        raise TypeError(f"threads={threads} is for weights on the CPU, these are {weights!r}")
    return True


def _linear(
    weights: object,
    x: Any,
    fmt: Format,
    bias: Array | None,
    act: str,
    out: Array | None,
    threads: int | None,
    vector: bool,
) -> Any:
    if _on_device(weights, fmt, threads):
        from .cuda.products import product

        return product(weights, x, bias=bias, act=act, out=out, stream=None, vector=vector)
    view = _resolve(weights, fmt, x)
    return _core.linear(view, x, bias, act, out, _threads.resolve(threads), vector)


@overload
def gemv(
    weights: QTensor | PackedTensor | Array,
    x: torch.Tensor,
    fmt: Format = None,
    *,
    bias: Array | None = None,
    act: str = "int16",
    out: torch.Tensor | None = None,
    threads: int | None = None,
) -> torch.Tensor: ...
@overload
def gemv(
    weights: QTensor | PackedTensor | Array,
    x: NDArray | _core.Activations,
    fmt: Format = None,
    *,
    bias: Array | None = None,
    act: str = "int16",
    out: NDArray | None = None,
    threads: int | None = None,
) -> NDArray: ...
@overload
def gemv(
    weights: CudaTensor,
    x: Any,
    fmt: Format = None,
    *,
    bias: Any = None,
    act: str = "int16",
    out: Any = None,
    threads: None = None,
) -> Any: ...
def gemv(
    weights: QTensor | PackedTensor | CudaTensor | Array,
    x: Any,
    fmt: Format = None,
    *,
    bias: Array | None = None,
    act: str = "int16",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Multiply one vector by quantised weights: y = weights @ x + bias.

    Args:
        weights: a QTensor or PackedTensor of shape (n, k), or raw uint8 blocks (n, row_bytes) with
            `fmt`. A CudaTensor takes arrays on its device: see `qkernels.cuda.gemv`.
        x: shape (k,), of real numbers, with any strides: a NumPy array, a CPU torch tensor,
            numbers in a list, or `Activations`. float32, float16 and bfloat16 are read where they
            lie; other dtypes are converted to float32 first, as by `astype`.
        fmt: the format of raw weights: a name such as "q4_k", or a `gguf.GGMLQuantizationType`.
        bias: shape (n,), of real numbers as x, added to the result.
        act: how x enters the product. "int16": 16 bits per 32 values, relative error ~2e-5;
            "float32": not quantised, 2e-6; "int8": 8 bits per 32 values, ~6e-3. Float weights
            are multiplied in float32 whatever it says; `Activations` bring their own.
        out: where the result goes: shape (n,), float32, float16 or bfloat16, not overlapping any
            input. It is returned. In float16 what is past 65504 is infinite.
        threads: 1 to 256, instead of the default (`set_num_threads`, `num_threads`).

    Returns:
        shape (n,), float32 unless `out` says otherwise; torch where x is.

    Raises:
        TypeError: an argument of the wrong kind or dtype; a tensor without plain memory, or that
            autograd expects a gradient from.
        ValueError: a wrong shape, format or range. `out` keeps its contents.
        MemoryError: there is no room for the result.
    """
    return _linear(weights, x, fmt, bias, act, out, threads, vector=True)


@overload
def gemm(
    weights: QTensor | PackedTensor | Array,
    x: torch.Tensor,
    fmt: Format = None,
    *,
    bias: Array | None = None,
    act: str = "int16",
    out: torch.Tensor | None = None,
    threads: int | None = None,
) -> torch.Tensor: ...
@overload
def gemm(
    weights: QTensor | PackedTensor | Array,
    x: NDArray | _core.Activations,
    fmt: Format = None,
    *,
    bias: Array | None = None,
    act: str = "int16",
    out: NDArray | None = None,
    threads: int | None = None,
) -> NDArray: ...
@overload
def gemm(
    weights: CudaTensor,
    x: Any,
    fmt: Format = None,
    *,
    bias: Any = None,
    act: str = "int16",
    out: Any = None,
    threads: None = None,
) -> Any: ...
def gemm(
    weights: QTensor | PackedTensor | CudaTensor | Array,
    x: Any,
    fmt: Format = None,
    *,
    bias: Array | None = None,
    act: str = "int16",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Multiply any number of vectors by quantised weights: y = x @ weights.T + bias.

    Args:
        weights: as for `gemv`.
        x: shape (..., k): every leading dimension is a batch dimension. One may be 0.
        fmt: as for `gemv`.
        bias: shape (n,), added to every row of the result.
        act: as for `gemv`.
        out: shape (..., n); otherwise as for `gemv`.
        threads: as for `gemv`.

    Returns:
        shape (..., n), float32 unless `out` says otherwise; torch where x is.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape, format or range. `out` keeps its contents.
    """
    return _linear(weights, x, fmt, bias, act, out, threads, vector=False)


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
    return _core.quantize_activations(x, act, _threads.resolve(threads))


def dequantize(
    weights: QTensor | PackedTensor | CudaTensor | Array,
    fmt: Format = None,
    *,
    rows: slice | None = None,
    dtype: Any = "float32",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Decode weights to floats, bit for bit as the format defines them.

    Args:
        weights: a QTensor, a PackedTensor, or raw uint8 blocks (n, row_bytes) with `fmt`, whose k
            is all that their rows hold. Of a CudaTensor see `qkernels.cuda.dequantize`.
        fmt: the format of raw weights.
        rows: a slice of the first dimension; all of it when None. Not for a
            PackedTensor, of which `get_rows` decodes some.
        dtype: float32, float16 or, for torch weights, bfloat16: a name, or a dtype of NumPy or
            torch. NumPy has a bfloat16 where ml_dtypes is imported. In float16, weights past
            65504 are infinite. Ignored with `out`.
        out: where the result goes, in float32, float16 or bfloat16. It is returned.
        threads: as for `gemv`.

    Returns:
        the weights' shape; torch where the weights' bytes are a torch tensor.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape, format or range.
    """
    if _on_device(weights, fmt, threads):
        from .cuda import dequantize as on_device

        if rows is not None:
            raise TypeError("weights on a device have no slices; slice the QTensor")
        return on_device(weights, dtype=dtype, out=out)
    view = _resolve(weights, fmt)
    if rows is not None:
        if not isinstance(rows, slice):
            raise TypeError(f"rows must be a slice, not {type(rows).__name__}")
        if isinstance(weights, PackedTensor):
            raise TypeError("packed weights have no slices; get_rows decodes some of their rows")
        tensor = weights if isinstance(weights, QTensor) else QTensor(weights, view.fmt, view.shape)
        view = tensor[rows]._weights
    count = _threads.resolve(threads)
    if out is None:
        torch_out = is_torch(weights.data if isinstance(weights, QTensor) else weights)
        out = empty(view.shape, torch_out, dtype_name(dtype, torch_out))
    _core.dequantize(view, out, count)
    return out


def get_rows(
    weights: QTensor | PackedTensor | Array,
    ids: int | Sequence[int] | Array,
    fmt: Format = None,
    *,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Decode chosen rows of a matrix, as an embedding look-up does; no others are decoded.

    Args:
        weights: a QTensor or PackedTensor of shape (n, k), or raw uint8 blocks (n, row_bytes)
            with `fmt`. The result is the same; of packed weights the panel that a row lies in is
            read, 4 to 16 times its bytes.
        ids: integers in [0, n), of any shape.
        fmt: the format of raw weights.
        out: where the result goes, in float32, float16 or bfloat16. It is returned.
        threads: as for `gemv`.

    Returns:
        shape (*ids.shape, k), float32 unless `out` says otherwise; torch where ids is.

    Raises:
        TypeError: ids are not integers.
        IndexError: an id outside [0, n). `out` keeps its contents.
        ValueError: a wrong shape or format, or weights that were packed for another ISA.
    """
    view = _resolve(weights, fmt)
    count = _threads.resolve(threads)

    def outside(id_: str) -> IndexError:
        return IndexError(f"an id of {id_} is outside the {view.n} rows of the weights")

    array = integers(ids, "ids", outside)
    if out is None:
        out = empty((*array.shape, view.k), is_torch(ids))
    _core.get_rows(view, array, out, count)
    return out
