"""Products with what a layer does around them: a norm before, gates, a residual after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qkernels import _core
from qkernels._base.numbers import to_float
from qkernels._base.threads import thread_count
from qkernels.ops.linear import core_view

if TYPE_CHECKING:
    from typing import TypeAlias, TypeVar

    import numpy as np
    import torch

    from qkernels._base.frameworks import Array
    from qkernels.weights.blocks import Format
    from qkernels.weights.packed import PackedTensor
    from qkernels.weights.qtensor import QTensor

    Weights: TypeAlias = QTensor | PackedTensor | Array
    A = TypeVar("A", "np.ndarray[Any, Any]", "torch.Tensor")


def rmsnorm_linear(
    x: A,
    gains: Array,
    weights: Weights,
    fmt: Format = None,
    *,
    eps: float = 1e-5,
    bias: Array | None = None,
    residual: Array | None = None,
    act: str = "int16",
    out: A | None = None,
    threads: int | None = None,
) -> A:
    """Normalise x, multiply it by quantised weights, and add: what begins and ends a layer.

        y = (x / sqrt(mean(x^2) + eps) * gains) @ weights.T + bias + residual

    which is RMSNorm (Zhang and Sennrich 2019, equation 4) before a product. The normalised x is
    quantised as it is made and never stored.

    Args:
        x: shape (..., k), of real numbers, with any strides: a NumPy array or a CPU torch tensor,
            as for `gemv`. The mean is over k.
        gains: shape (k,), of real numbers.
        weights: a QTensor or PackedTensor of shape (n, k), or raw uint8 blocks (n, row_bytes) with
            `fmt`.
        fmt: the format of raw weights: a name such as "q4_k", or a `gguf.GGMLQuantizationType`.
        eps: what is added to the mean square; 0 or more.
        bias: shape (n,), added to every row.
        residual: shape (..., n), added to the result.
        act: how the normalised x enters the product, as for `gemv`: "int16", "float32" or "int8".
        out: where the result goes: shape (..., n), in float32, float16 or bfloat16. It may be
            `residual` or x itself, and overlap no input otherwise. It is returned.
        threads: 1 to 256, instead of the default (`set_num_threads`, `num_threads`).

    Returns:
        shape (..., n), float32 unless `out` says otherwise; torch where x is.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape, format or range. `out` keeps its contents.
    """
    view = core_view(weights, fmt, x)
    count = thread_count(threads)
    if gains is None:
        raise TypeError("gains must be a NumPy array or a torch tensor, not None; see gemm")
    result: A = _core.rmsnorm_linear(
        view, x, gains, to_float(eps, "eps"), bias, residual, act, out, count
    )
    return result


def swiglu_proj(
    x: A,
    gate: Weights,
    up: Weights,
    fmt: Format = None,
    *,
    act: str = "int16",
    out: A | None = None,
    threads: int | None = None,
) -> A:
    """Project x twice, the one through the gate of the other: silu(x @ gate.T) * (x @ up.T).

    With silu(g) = g / (1 + e^-g) this is SwiGLU (Shazeer 2020, equation 6, without biases). x is
    quantised once and both products are made in one pass over it. silu(-infinity) is 0.

    Args:
        x: shape (..., k), of real numbers, with any strides: a NumPy array or a CPU torch tensor,
            as for `gemv`.
        gate: a QTensor or PackedTensor of shape (hidden, k), or raw uint8 blocks with `fmt`.
        up: the same; its format may be another. Where one of both is of floats, both are
            multiplied in float32.
        fmt: the format of raw weights.
        act: as for `gemv`.
        out: shape (..., hidden), as for `rmsnorm_linear`.
        threads: as for `gemv`.

    Returns:
        shape (..., hidden), float32 unless `out` says otherwise; torch where x is.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape, format or range. `out` keeps its contents.
    """
    gates, ups = core_view(gate, fmt, x), core_view(up, fmt, x)
    result: A = _core.swiglu_proj(gates, ups, x, act, out, thread_count(threads))
    return result


def swiglu_ffn(
    x: A,
    gate: Weights,
    up: Weights,
    down: Weights,
    fmt: Format = None,
    *,
    gains: Array | None = None,
    eps: float = 1e-5,
    residual: Array | None = None,
    act: str = "int16",
    out: A | None = None,
    threads: int | None = None,
) -> A:
    """A feed-forward block as Llama has it: swiglu_proj(norm(x), gate, up) @ down.T + residual.

    The product of the gates is quantised where it lies; nothing else of it is kept. The norm is
    that of `rmsnorm_linear`.

    Args:
        x: shape (..., k), of real numbers, with any strides: a NumPy array or a CPU torch tensor,
            as for `gemv`.
        gate: a QTensor or PackedTensor of shape (hidden, k), or raw uint8 blocks with `fmt`.
        up: the same.
        down: shape (n, hidden); all formats may differ.
        fmt: the format of raw weights.
        gains: shape (k,), of the norm of x; None for no norm.
        eps: of the norm.
        residual: shape (..., n), added to the result.
        act: as for `gemv`, for x and for the product of the gates.
        out: shape (..., n). It may be `residual` or x itself: `out=x, residual=x` adds in place.
        threads: as for `gemv`.

    Returns:
        shape (..., n), float32 unless `out` says otherwise; torch where x is.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape, format or range. `out` keeps its contents.
    """
    gates, ups = core_view(gate, fmt, x), core_view(up, fmt, x)
    downs = core_view(down, fmt, k=gates.n)
    count = thread_count(threads)
    result: A = _core.swiglu_ffn(
        gates, ups, downs, x, gains, to_float(eps, "eps"), residual, act, out, count
    )
    return result
