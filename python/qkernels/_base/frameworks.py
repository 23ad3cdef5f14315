"""Which library an array belongs to, told without importing any: torch in, torch out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    import torch

    Array: TypeAlias = np.ndarray[Any, Any] | torch.Tensor


def is_torch(x: object) -> bool:
    """Whether x is a torch tensor; False whenever nobody has imported torch."""
    if isinstance(x, np.ndarray):
        return False
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor is not None and isinstance(x, tensor)


def _is_torch_dtype(x: object) -> bool:
    """Whether x is a dtype of torch's; False whenever nobody has imported torch."""
    kind = getattr(sys.modules.get("torch"), "dtype", None)
    return kind is not None and isinstance(x, kind)


def know_torch() -> None:
    """Let the core know torch, once a program has imported it."""
    if getattr(sys.modules.get("torch"), "Tensor", None) is not None:
        from qkernels import torch as _  # noqa: F401


def detached(x: Any, what: str) -> Any:
    """A torch tensor without its autograd history, dense and with memory of its own; else x.

    Raises:
        TypeError: a tensor that is not dense, not on the CPU, has no plain memory, or asks for a
            gradient.
    """
    if not is_torch(x):
        return x
    from qkernels import torch as qk_torch

    return qk_torch.detached(x, what)


def dtype_name(dtype: Any, torch_out: bool) -> str:
    """The name of a dtype that weights are decoded to; NumPy has one for each name.

    Raises:
        TypeError: no dtype.
        ValueError: another dtype.
    """
    allowed = ["float32", "float16"]
    if torch_out or _has_bfloat16():
        allowed.append("bfloat16")
    name = str(dtype).removeprefix("torch.")
    if not _is_torch_dtype(dtype) and name not in allowed:
        try:
            parsed = np.dtype(dtype)
        except TypeError as error:
            if not isinstance(dtype, str):
                raise TypeError(f"dtype must be a name or a dtype, not {dtype!r}") from error
        except ValueError:
            pass  # a name that no dtype can have
        else:
            name = parsed.name if parsed.isnative else parsed.str
    if name not in allowed:
        raise ValueError(f"dtype={dtype!r} is not one of {', '.join(allowed)}")
    return name


def _has_bfloat16() -> bool:
    """Whether NumPy has one, which ml_dtypes brings."""
    try:
        np.dtype("bfloat16")
    except TypeError:
        return False
    return True


def empty(shape: tuple[int, ...], like_torch: bool, dtype: Any = "float32") -> Array:
    """A new CPU array of the framework asked for, uninitialised.

    Raises:
        MemoryError: there is no room for it.
    """
    if like_torch:
        from qkernels import torch as qk_torch

        return qk_torch.empty(shape, dtype)
    return np.empty(shape, np.dtype(dtype))
