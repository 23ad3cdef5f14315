"""The products on a device, and the decoding: each checks that its weights are there."""

from __future__ import annotations

from typing import Any

from qkernels.cuda._elementwise import decode
from qkernels.cuda._product import product
from qkernels.cuda.tensor import CudaTensor


def gemv(
    weights: CudaTensor,
    x: Any,
    *,
    bias: Any = None,
    act: str = "int16",
    function: str | None = None,
    out: Any = None,
    stream: Any = None,
) -> Any:
    """Multiply one vector: y = function(weights @ x + bias). Asynchronous: two launches.

    It neither waits nor uses another stream than `stream`, so that a graph can capture it. For
    torch tensors all memory comes from torch's allocator. For other arrays the call allocates a
    DeviceArray unless `out` is given, and, the first time that a stream sees so large an x, memory
    for the quantised x: make one call before capturing.

    Args:
        weights: (n, k), from `QTensor.to("cuda")`.
        x: (k,) in float32, float16 or bfloat16, on the same device: a torch tensor, or an object
            with `__cuda_array_interface__` or `__dlpack__`. Those of other libraries than torch
            must be contiguous.
        bias: (n,) in float32; of torch in the other two dtypes too.
        act: how x enters the product: "int16", "float32" or "int8", as for `qkernels.gemv`.
        function: None, "silu", "gelu" (by the error function), "gelu_tanh" or "gelu_sigmoid".
        out: where the result goes: (n,) in those dtypes, contiguous, apart from x and bias. It is
            returned.
        stream: a stream or its number (a `cudaStream_t`); torch's current one for torch tensors,
            otherwise the default one. It waits for the stream that x names.

    Returns:
        (n,) in float32 unless `out` says otherwise: a torch tensor where x is one, or a
        DeviceArray.

    Raises:
        TypeError: an argument of the wrong kind or dtype, or in the host's memory.
        ValueError: a wrong shape, name or device; null; weights that were freed.
    """
    check_weights(weights, "weights")
    return product(
        weights, x, bias=bias, act=act, function=function, out=out, stream=stream, vector=True
    )


def gemm(
    weights: CudaTensor,
    x: Any,
    *,
    bias: Any = None,
    act: str = "int16",
    function: str | None = None,
    out: Any = None,
    stream: Any = None,
) -> Any:
    """Multiply any number of vectors: y = function(x @ weights.T + bias).

    Up to 8 rows of x are one product of two launches. More are multiplied 8 at a time, or for torch
    tensors by `torch.mm`, with weights decoded a tile at a time: to float32, which is
    split into parts where torch may take TF32, because that and bfloat16 miss the bound of "int16",
    or for act="int8" to bfloat16.

    Args:
        weights: as for `gemv`.
        x: (..., k): every leading dimension is a batch dimension. One may be 0. Rows of other
            libraries' arrays must be contiguous and equally far apart.
        bias: as for `gemv`.
        act: as for `gemv`.
        function: as for `gemv`.
        out: (..., n), otherwise as for `gemv`; rows may be apart.
        stream: as for `gemv`.

    Returns:
        (..., n), otherwise as for `gemv`.

    Raises:
        TypeError: as for `gemv`.
        ValueError: as for `gemv`.
    """
    check_weights(weights, "weights")
    return product(
        weights, x, bias=bias, act=act, function=function, out=out, stream=stream, vector=False
    )


def swiglu_proj(
    x: Any,
    gate: CudaTensor,
    up: CudaTensor,
    *,
    bias: Any = None,
    up_bias: Any = None,
    act: str = "int16",
    function: str | None = "silu",
    out: Any = None,
    stream: Any = None,
) -> Any:
    """The gated projection: function(x @ gate.T + bias) * (x @ up.T + up_bias), as one product.

    Args:
        x: (..., k), as for `gemm`.
        gate: (n, k).
        up: of the same shape, format, layout and device.
        bias: (n,), of gate's product.
        up_bias: (n,), of up's product.
        act: as for `gemv`.
        function: as for `gemv`, of gate's product: "silu" for SwiGLU, "gelu" for GeGLU.
        out: as for `gemm`.
        stream: as for `gemv`.

    Returns:
        (..., n), otherwise as for `gemv`.

    Raises:
        TypeError: as for `gemv`.
        ValueError: as for `gemv`, or gate and up differ.
    """
    check_weights(gate, "weights")
    check_weights(up, "up")
    return product(
        gate, x, up=up, bias=bias, up_bias=up_bias, act=act, function=function, out=out,
        stream=stream, vector=False,
    )  # fmt: skip


def dequantize(
    weights: CudaTensor, *, dtype: str = "float32", out: Any = None, stream: Any = None
) -> Any:
    """Decode weights to floats on their device, bit for bit as on the CPU. One launch.

    Args:
        weights: (n, k), from `QTensor.to("cuda")`.
        dtype: "float32", "float16" or "bfloat16". Ignored with `out`.
        out: where the result goes: (n, k) in those dtypes; rows may be apart. It is returned.
        stream: as for `gemv`.

    Returns:
        (n, k): `out`, or a torch tensor if the program has imported torch, else a DeviceArray.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape, dtype's name or device; weights that were freed.
    """
    check_weights(weights, "weights")
    return decode(weights, dtype, out, stream)


def check_weights(weights: object, what: str) -> None:
    """Refuse what is not weights on a device.

    Raises:
        TypeError: something else.
    """
    if not isinstance(weights, CudaTensor):
        raise TypeError(
            f"{what} must be a CudaTensor, such as QTensor.to('cuda') gives, not "
            f"{type(weights).__name__}"
        )
