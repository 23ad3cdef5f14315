"""What users hand in as text, as token ids and as numbers, made into plain Python objects."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Set
from typing import Any

Text = str | bytes | bytearray | memoryview

_BYTES = (bytes, bytearray, memoryview)
_BYTE_FORMATS = ("B", "b", "c")  # of a memoryview; any other is of numbers
_SHOWN = 40  # characters of a value in a message


def shown(value: object) -> str:
    """A value as a message has it, never longer than a line."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"{type(value).__name__} of many digits"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def is_text(value: object) -> bool:
    """Whether a value is text, or bytes of it."""
    if isinstance(value, memoryview):
        return value.format in _BYTE_FORMATS
    return isinstance(value, (str, *_BYTES))


def text_of(value: object, name: str) -> str:
    """A text; bytes are UTF-8.

    Raises:
        TypeError: it is neither.
        ValueError: it cannot be written as UTF-8, or is not UTF-8.
    """
    if isinstance(value, _BYTES) and is_text(value):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not valid UTF-8: {error}") from None
    if not isinstance(value, str):
        raise TypeError(f"{name} is text, or UTF-8 bytes of it, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} is not valid Unicode: {error}") from None
    return value


def ids_of(value: object, name: str) -> list[int]:
    """Token ids as a list: any iterable of integers, arrays and tensors among them.

    Raises:
        TypeError: it is none, or holds what is no integer; bools are none.
    """
    if is_text(value) or isinstance(value, (Mapping, Set)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} is a sequence of token ids, not {type(value).__name__}")
    # The numbers of an array at once, and of a tensor without one tensor each.
    as_list = getattr(value, "tolist", None)
    items = as_list() if callable(as_list) else value
    if not isinstance(items, Iterable):
        raise TypeError(f"{name} is a sequence of token ids, not {shown(items)}")
    return [id_of(token, name) for token in items]


def id_of(token: object, name: str) -> int:
    """One token id.

    Raises:
        TypeError: it is no integer.
    """
    if isinstance(token, bool):
        raise TypeError(f"{name} holds {token}, which is no token id")
    try:
        return operator.index(token)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} holds {shown(token)}, which is no token id") from None


def number_of(value: Any, name: str) -> float:
    """A finite number as a float64.

    Raises:
        TypeError: it is no number.
        ValueError: it is not finite as a float64.
    """
    if isinstance(value, (bool, complex)) or is_text(value):
        raise TypeError(f"{name} is a number, not {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name}={shown(value)} is too large for a float64") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} is a number, not {type(value).__name__}") from None
    if number - number != 0:  # a NaN or an infinity
        raise ValueError(f"{name}={shown(value)} is not finite")
    return number


def count_of(value: Any, name: str) -> int:
    """An integer that is not negative.

    Raises:
        TypeError: it is no integer.
        ValueError: it is below 0.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} is an integer, not {value}")
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is an integer, not {type(value).__name__}") from None
    if count < 0:
        raise ValueError(f"{name}={shown(count)} is below 0")
    return count
