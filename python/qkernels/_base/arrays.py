"""What a caller hands in, as the core takes it: NumPy's rules for all that is no plain array.

The core views float32, float16 and bfloat16 arrays and plain tensors where they lie, and asks this
module for all else: what can be converted is, what cannot is refused by the argument's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels._base.frameworks import is_torch
from qkernels._base.made import MatmulOperand
from qkernels._base.numbers import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from numpy.typing import NDArray

    Plain = NDArray[Any] | torch.Tensor

_PLAIN = (str, bytes, bytearray, memoryview, range)  # sequences that hold no arrays
_DEEPEST = 64  # NumPy's own bound on dimensions, and so on lists in lists


def floats(x: Any, what: str) -> Plain:
    """An input of real numbers in float32, float16 or bfloat16.

    float64 and integers become float32 as by `astype`: rounded to nearest, and infinite past its
    range.

    Args:
        x: an array of any real dtype and byte order, a dense CPU tensor, numbers in lists, or a
            QTensor that is a vector, which is decoded.
        what: names the argument in messages.

    Raises:
        TypeError: complex numbers, objects, text, dates; masked arrays; tensors without plain
            memory, or from which a gradient is expected.
        ValueError: lists of different lengths.
        MemoryError: there is no room for the converted copy.
    """
    x = floats_of(x)
    if is_torch(x):
        from qkernels import torch as qk_torch

        numbers = qk_torch.floats(x, what)
        if not isinstance(numbers, np.ndarray):
            return numbers
        x = numbers
    array = as_array(x, what)
    listed = isinstance(x, (int, Sequence))  # an array of objects is refused, whatever they are
    if listed and array.dtype.kind == "O" and all(map(_is_int, array.flat)):
        array = _of_large_integers(array, what)
    if not _is_real(array.dtype):
        raise TypeError(f"{what} has dtype {array.dtype.str}, which qkernels does not take")
    return array.astype(np.float32)


def reals(x: Any, what: str) -> NDArray[Any]:
    """Real numbers as a NumPy array at their own precision.

    Raises:
        TypeError, ValueError, MemoryError: as `floats`.
    """
    if is_torch(x):
        from qkernels import torch as qk_torch

        x = qk_torch.reals(x, what)
    array = as_array(x, what)
    if not _is_real(array.dtype):
        raise TypeError(f"{what} must hold real numbers, not {array.dtype}")
    return array if array.dtype.kind != "V" else array.astype(np.float32)


def memory(x: Any, what: str) -> Plain:
    """An argument whose very memory is used, such as raw weights.

    Raises:
        TypeError: no array, or a tensor without plain memory.
    """
    if is_torch(x):
        from qkernels import torch as qk_torch

        return qk_torch.detached(x, what)
    raise TypeError(_no_array(x, what))


def fixed(x: torch.Tensor, what: str) -> NDArray[Any]:
    """What keeps a tensor's memory as it is: torch resizes no storage that NumPy has a view of."""
    from qkernels import torch as qk_torch

    return qk_torch.integers(x, what)


def target(x: Any, what: str) -> Plain:
    """Where results are written to.

    Raises:
        TypeError: no array, a tensor without plain memory, or one that autograd protects.
    """
    if is_torch(x):
        from qkernels import torch as qk_torch

        return qk_torch.writable(x, what)
    raise TypeError(_no_array(x, what))


def integers(x: Any, what: str, past: Callable[[str], Exception]) -> NDArray[np.int64]:
    """Integers of any shape, in C order.

    Args:
        x: an array or tensor of integers, integers in lists, or one.
        what: names the argument in messages.
        past: the exception for an integer outside int64, made of its digits.

    Raises:
        TypeError: other numbers than integers, bools, masked arrays.
    """
    if is_torch(x):
        from qkernels import torch as qk_torch

        x = qk_torch.integers(x, what)
    array = as_array(x, what)
    if array.dtype.kind in "Of" and isinstance(x, (int, list, tuple)):
        array = np.array(x, dtype=object)  # integers past 64 bits, unless they are none
    is_whole = array.dtype.kind in "iu" or (
        array.dtype.kind == "O" and all(map(_is_int, array.flat))
    )
    if array.size and not is_whole:
        raise TypeError(f"{what} must be integers, not {as_array(x, what).dtype}")
    if array.size and array.dtype.kind in "uO":
        for value in (array.max(), array.min()):
            if not -(2**63) <= int(value) < 2**63:
                raise past(shown(int(value)))
    return array.astype(np.int64, order="C")


def _is_int(x: object) -> bool:
    return isinstance(x, (int, np.integer)) and not isinstance(x, bool)


def as_array(x: Any, what: str) -> NDArray[Any]:
    """`numpy.asarray`, whose errors name the argument.

    Raises:
        TypeError: what is no array, or a masked one, whose mask would be lost.
        ValueError: lists of different lengths.
    """
    _refuse_inside(x, what)
    if isinstance(x, np.ndarray):
        return x
    if x is None or isinstance(x, (str, bytes, bytearray)):
        raise TypeError(_no_array(x, what))
    speaks_dlpack = hasattr(x, "__dlpack__") and not hasattr(x, "__array__")
    try:
        # A conversion of the object's own may return a masked array.
        array = np.from_dlpack(x) if speaks_dlpack else np.asanyarray(x)
    except MemoryError:
        raise
    except Exception as error:  # whatever an object's own conversion raises
        kind = (
            ValueError if isinstance(x, (list, tuple)) and type(error) is ValueError else TypeError
        )
        raise kind(f"{what}: {error}") from error
    _refuse_inside(array, what)
    array = np.asarray(array)
    if array.dtype.kind == "O" and array.ndim == 0 and not isinstance(x, int):
        raise TypeError(_no_array(x, what))
    return array


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of x; () where it has none, or where the core will refuse x."""
    try:
        return tuple(int(extent) for extent in (x.shape if hasattr(x, "shape") else np.shape(x)))
    except Exception:  # an object's own, which is told better by what takes x
        return ()


def depth(x: Any) -> int | None:
    """The last dimension of x, if it has one."""
    shape = shape_of(x)
    return shape[-1] if shape else None


def floats_of(x: Any) -> Any:
    """A vector of weights, such as a file's bfloat16 gains, decoded; anything else as it is."""
    return x.dequantize() if isinstance(x, MatmulOperand) and x.ndim == 1 else x


def _of_large_integers(array: NDArray[Any], what: str) -> NDArray[np.float64]:
    """Integers past 64 bits as floats; ValueError where one is past these, too."""
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{what} holds an integer past the floats") from None


def _refuse_inside(x: Any, what: str, level: int = 0) -> None:
    """TypeError for masks and for derivatives that NumPy's conversion would drop."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array; fill it first, as in {what}.filled(0)")
    if level > 0 and is_torch(x):
        from qkernels import torch as qk_torch

        qk_torch.detached(x, what)
    elif isinstance(x, Sequence) and not isinstance(x, _PLAIN) and level <= _DEEPEST:
        for value in x:
            if not isinstance(value, (int, float)):
                _refuse_inside(value, what, level + 1)


def _is_real(dtype: np.dtype[Any]) -> bool:
    """Whether its numbers are real: NumPy's own, or an extension's such as ml_dtypes'."""
    if dtype.kind in "fiub":
        return True
    return dtype.kind == "V" and dtype.type is not np.void and np.can_cast(dtype, np.float32)


def _no_array(x: object, what: str) -> str:
    return f"{what} must be a NumPy array or a torch tensor, not {type(x).__name__}"
