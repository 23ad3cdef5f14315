"""Products with vectors and batches of them: `gemv` and `gemm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from qkernels import _core
from qkernels._base.threads import thread_count
from qkernels.weights.base import WeightsBase
from qkernels.weights.blocks import check_format, raw_view

if TYPE_CHECKING:
    import torch

    from qkernels._base.frameworks import Array
    from qkernels.cuda import CudaTensor
    from qkernels.weights.blocks import Format
    from qkernels.weights.gated import GatedTensor
    from qkernels.weights.packed import PackedTensor
    from qkernels.weights.qtensor import QTensor

    NDArray = np.ndarray[Any, Any]


def core_view(
    weights: object, fmt: Format, x: Any = None, *, k: int | None = None
) -> _core.Weights:
    """The core's view of weights, or of raw blocks in `fmt` of depth k, x's, or all they hold.

    Raises:
        TypeError: weights that are not in the host's memory, or are none.
        ValueError: `fmt` is unknown, or another than the weights'.
    """
    if not isinstance(weights, WeightsBase):
        return raw_view(weights, fmt, x, k=k)
    view = weights._core_view()
    check_format(fmt, weights)
    return view


def _linear(
    weights: object,
    x: Any,
    fmt: Format,
    bias: Any,
    act: str,
    out: Any,
    threads: int | None,
    vector: bool,
) -> Any:
    if isinstance(weights, WeightsBase):
        check_format(fmt, weights)
        return weights._product(x, bias=bias, act=act, out=out, threads=threads, vector=vector)
    view = raw_view(weights, fmt, x)
    return _core.linear(view, x, bias, act, out, thread_count(threads), vector)


@overload
def gemv(
    weights: QTensor | PackedTensor | GatedTensor | Array,
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
    weights: QTensor | PackedTensor | GatedTensor | Array,
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
    weights: QTensor | PackedTensor | GatedTensor | CudaTensor | Array,
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
            `fmt`. A CudaTensor takes arrays on its device: see `qkernels.cuda.gemv`; a GatedTensor
            leaves columns out: see `gated_gemv`.
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
