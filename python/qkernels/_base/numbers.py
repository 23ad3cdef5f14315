"""Single numbers that a caller hands in: reals, integers and switches, refused by their names."""

from __future__ import annotations

import operator

import numpy as np


def to_float(x: object, what: str) -> float:
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
        digits = shown(x) if isinstance(x, int) else str(x)
        raise ValueError(f"{what} is {digits}, which is past the floats") from None
    except Exception as error:  # an object's own: an array of two, a tensor without values
        raise TypeError(f"{what} must be a number: {error}") from error


def to_int(x: object, what: str) -> int:
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


def to_bool(x: object, what: str) -> bool:
    """A switch as a bool; `what` names it in messages.

    Raises:
        TypeError: anything else, such as a text that is "no".
    """
    if isinstance(x, (bool, np.bool_)):
        return bool(x)
    raise TypeError(f"{what} must be a bool, not {type(x).__name__}")


def shown(value: int) -> str:
    """An integer's digits, or how many there are where they would fill the screen."""
    return str(value) if value.bit_length() < 2048 else f"an integer of {value.bit_length()} bits"
