"""The part of qkernels that knows torch. Importing it imports torch; nothing else does.

The functions of the package take CPU tensors and return tensors: this module holds what they need
for that, and nothing has to be imported from here by hand. The core reads plain tensors by
itself; what is no plain tensor comes here, to be made one or refused by name.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.autograd import forward_ad

from qkernels import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_NUMPY_HAS = {
    torch.float64, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip


def empty(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    """A new CPU tensor, uninitialised.

    Args:
        shape: its dimensions.
        dtype: "float32", "float16" or "bfloat16".

    Raises:
        MemoryError: there is no room for it.
    """
    if dtype == "bfloat16":  # which NumPy, whose allocator says what is wrong, does not have
        return as_tensor(np.empty(shape, np.int16)).view(torch.bfloat16)
    return as_tensor(np.empty(shape, dtype))


def as_tensor(array: NDArray[Any]) -> torch.Tensor:
    """A tensor over an array's memory.

    Raises:
        TypeError: torch makes no real tensors here, as inside a FakeTensorMode.
    """
    tensor: torch.Tensor = _core.as_tensor(array)
    return tensor


def detached(x: torch.Tensor, what: str) -> torch.Tensor:
    """A dense CPU tensor with memory of its own and no autograd history, to be read.

    It shares x's memory, but for a lazily negated x, which is copied.

    Args:
        x: any tensor.
        what: names it in messages.

    Raises:
        TypeError: x is not dense, not on the CPU or without plain memory, or autograd would expect
            a derivative from it.
        MemoryError: there is no room for a copy.
    """
    with _errors_named(what):
        x = _dense(x, what)
        if x.requires_grad:
            if torch.is_grad_enabled():
                raise TypeError(
                    f"{what} requires a gradient, and qkernels computes none: "
                    f"pass {what}.detach(), or call under torch.no_grad()"
                )
            x = x.detach()
        x = x.resolve_neg()
        _require_memory(x, what)
    return x


def floats(x: torch.Tensor, what: str) -> torch.Tensor | NDArray[Any]:
    """The numbers of a tensor: itself where the core takes its dtype, else what NumPy converts.

    Raises:
        TypeError: as `plain`; or complex numbers.
        MemoryError: there is no room for a copy.
    """
    x = detached(x, what)
    if x.dtype in (torch.float32, torch.float16, torch.bfloat16):
        return x
    if x.dtype.is_complex:
        raise TypeError(f"{what} has dtype {x.dtype}, which qkernels does not take")
    with _errors_named(what):
        return x.numpy() if x.dtype in _NUMPY_HAS else x.to(torch.float32)


def reals(x: torch.Tensor, what: str) -> NDArray[Any]:
    """The numbers of a tensor as an array, at their own precision.

    Raises:
        TypeError, MemoryError: as `floats`.
    """
    numbers = floats(x, what)
    if isinstance(numbers, np.ndarray):
        return numbers
    with _errors_named(what):
        return (numbers.float() if numbers.dtype == torch.bfloat16 else numbers).numpy()


def integers(x: torch.Tensor, what: str) -> NDArray[Any]:
    """A tensor of integers as an array.

    Raises:
        TypeError: as `plain`; or other numbers.
    """
    x = detached(x, what)
    if x.is_floating_point() or x.dtype == torch.bool or x.dtype.is_complex:
        raise TypeError(f"{what} must be integers, not {x.dtype}")
    with _errors_named(what):
        return x.numpy()


def writable(x: torch.Tensor, what: str) -> torch.Tensor:
    """A dense CPU tensor with memory of its own, to be written behind autograd's back.

    Raises:
        TypeError: as `plain`; or x is lazily negated, requires a gradient as do views of what
            does, or is an inference tensor outside inference mode. torch's own functions refuse
            the last two as `out`.
    """
    with _errors_named(what):
        x = _dense(x, what)
        if x.is_neg():
            raise TypeError(f"{what} is lazily negated; pass {what}.resolve_neg()")
        if x.requires_grad and torch.is_grad_enabled():
            raise TypeError(f"{what} requires a gradient, and qkernels computes none")
        if x.is_inference() and not torch.is_inference_mode_enabled():
            raise TypeError(f"{what} is an inference tensor, written in inference mode only")
        _require_memory(x, what)
        return x.detach() if x.requires_grad else x


def _dense(x: torch.Tensor, what: str) -> torch.Tensor:
    """A strided CPU tensor of no subclass, without a tangent.

    Raises:
        TypeError: x is none, and none is behind it.
    """
    x = _of_no_subclass(x, what)
    if torch._C._functorch.is_functorch_wrapped_tensor(x):
        raise TypeError(
            f"{what} is inside a torch.func transform (vmap, grad, jvp ...), "
            "which goes through no function of qkernels"
        )
    if x.is_nested:
        raise TypeError(f"{what} is a nested tensor; pass its parts one by one")
    if x.layout != torch.strided:
        raise TypeError(f"{what} is a {x.layout} tensor; pass {what}.to_dense()")
    if x.device.type != "cpu":
        raise TypeError(f"{what} is on {x.device}; only CPU tensors are supported")
    if x.is_quantized:
        raise TypeError(f"{what} is a quantised tensor; pass {what}.dequantize()")
    if forward_ad._current_level >= 0 and _has_tangent(x):
        raise TypeError(
            f"{what} has a tangent of forward-mode differentiation, and qkernels computes none: "
            f"pass torch.autograd.forward_ad.unpack_dual({what}).primal"
        )
    return x


def _has_tangent(x: torch.Tensor) -> bool:
    return forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]


def _of_no_subclass(x: torch.Tensor, what: str) -> torch.Tensor:
    """The tensor itself, of a subclass that only adds to its methods."""
    kind = type(x)
    if kind in (torch.Tensor, torch.nn.Parameter):
        return x
    if torch.nn.parameter.is_lazy(x):
        raise TypeError(f"{what} is a {kind.__name__}: it has no values yet")
    dispatch = getattr(kind, "__torch_dispatch__", None)
    if dispatch is not torch.Tensor.__torch_dispatch__:
        raise TypeError(
            f"{what} is a {kind.__name__}, which stands for other tensors and has no plain "
            "memory; pass a torch.Tensor with its values"
        )
    with torch._C.DisableTorchFunctionSubclass():
        return x.as_subclass(torch.Tensor)


def _require_memory(x: torch.Tensor, what: str) -> None:
    """Refuse a tensor whose elements do not all lie in memory that is there."""
    if x.numel() == 0:
        return
    steps = zip(x.shape, x.stride(), strict=True)
    last = x.storage_offset() + sum((extent - 1) * stride for extent, stride in steps)
    has, needs = x.untyped_storage().nbytes(), (last + 1) * x.element_size()
    if x.data_ptr() == 0:
        raise TypeError(f"{what} is a tensor without memory of its own")
    if has < needs:
        raise TypeError(f"{what} has a storage of {has} bytes, and elements up to byte {needs}")


@contextmanager
def _errors_named(what: str) -> Iterator[None]:
    """torch's own errors as those of an argument: MemoryError for no room, else TypeError."""
    try:
        yield
    except (TypeError, MemoryError):
        raise
    except Exception as error:
        if "allocate" in str(error) or "overflow" in str(error):
            raise MemoryError(f"{what}: {error}") from error
        raise TypeError(f"{what} is no plain tensor: {error}") from error


_core.know_torch(
    tensor=torch.Tensor,
    parameter=torch.nn.Parameter,
    dtypes={
        getattr(torch, name): name
        for name in ("float32", "float16", "bfloat16", "float64", "uint8", "int8", "int16")
    },
    forward_ad=forward_ad,
    is_grad_enabled=torch.is_grad_enabled,
    from_numpy=torch.from_numpy,
    count_write=torch.autograd.graph.increment_version,
)
