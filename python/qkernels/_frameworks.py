"""Which library an array belongs to, told without importing any: torch in, torch out."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from ._base import WeightsBase

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
        from . import torch as _  # noqa: F401


def plain(x: Any, what: str) -> Any:
    """A torch tensor without its autograd history, dense and with memory of its own; else x.

    Raises:
        TypeError: a tensor that is not dense, not on the CPU, has no plain memory, or asks for a
            gradient.
    """
    if not is_torch(x):
        return x
    from . import torch as qk_torch

    return qk_torch.plain(x, what)


def floats_of(x: Any) -> Any:
    """A vector of weights, such as a file's bfloat16 gains, decoded; anything else as it is."""
    return x.dequantize() if isinstance(x, WeightsBase) and x.ndim == 1 else x


def real(x: object, what: str) -> float:
    """A number as a float; `what` names it in messages.

    Raises:
        TypeError: not a real number.
        ValueError: an integer that no float holds.
    """
    is_number = hasattr(x, "__float__") and not isinstance(x, (str, bytes, np.ma.MaskedArray))
    if not is_number or (isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind not in "fiub"):
        raise TypeError(f"{what} must be a number, not {type(x).__name__}")
    try:
        return float(x)  # type: ignore[arg-type]
    except OverflowError:
        from ._arrays import shown

        digits = shown(x) if isinstance(x, int) else str(x)
        raise ValueError(f"{what} is {digits}, which is past the floats") from None
    except Exception as error:  # an object's own: an array of two, a tensor without values
        raise TypeError(f"{what} must be a number: {error}") from error


def integer(x: object, what: str) -> int:
    """An integer as an int; `what` names it in messages.

    Raises:
        TypeError: anything else, True and False among it.
    """
    if not isinstance(x, (bool, np.bool_)):
        try:
            return operator.index(x)  # type: ignore[arg-type]
        except TypeError:
            pass
    raise TypeError(f"{what} must be an integer, not {type(x).__name__}") from None


def flag(x: object, what: str) -> bool:
    """A switch as a bool; `what` names it in messages.

    Raises:
        TypeError: anything else, such as a text that is "no".
    """
    if isinstance(x, (bool, np.bool_)):
        return bool(x)
    raise TypeError(f"{what} must be a bool, not {type(x).__name__}")


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
        from . import torch as qk_torch

        return qk_torch.empty(shape, dtype)
    return np.empty(shape, np.dtype(dtype))
