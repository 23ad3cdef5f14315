"""Which library an array belongs to, told without importing any: torch in, torch out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core

if TYPE_CHECKING:
    from typing import TypeAlias

    import torch

    Array: TypeAlias = np.ndarray[Any, Any] | torch.Tensor


def is_torch(x: object) -> bool:
    """Whether x is a torch tensor; False whenever nobody has imported torch."""
    if isinstance(x, np.ndarray):
        return False
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def wants_torch(x: object) -> bool:
    """Whether results computed from x are torch tensors."""
    return x.framework == "torch" if isinstance(x, _core.Activations) else is_torch(x)


def plain(x: Any, what: str) -> Any:
    """X as the core takes it: a torch tensor without its autograd history, anything else as is.

    Raises:
        TypeError: a tensor that is not dense, not on the CPU, or asks for a gradient.
    """
    if not is_torch(x):
        return x
    from . import torch as qk_torch

    return qk_torch.plain(x, what)


def real(x: object, what: str) -> float:
    """A number as a float; `what` names it in messages.

    Raises:
        TypeError: not a real number.
        ValueError: an integer that no float holds.
    """
    if isinstance(x, str) or not hasattr(x, "__float__"):
        raise TypeError(f"{what} must be a number, not {type(x).__name__}")
    try:
        return float(x)
    except OverflowError:
        raise ValueError(f"{what} is an integer past the floats") from None


def flag(x: object, what: str) -> bool:
    """A switch as a bool; `what` names it in messages.

    Raises:
        TypeError: anything else, such as a text that is "no".
    """
    if isinstance(x, (bool, np.bool_)):
        return bool(x)
    raise TypeError(f"{what} must be a bool, not {type(x).__name__}")


def empty(shape: tuple[int, ...], like_torch: bool, dtype: str = "float32") -> Array:
    """A new array of the framework asked for, uninitialised."""
    if like_torch:
        from . import torch as qk_torch

        return qk_torch.empty(shape, dtype)
    return np.empty(shape, np.dtype(dtype))
