"""Metadata values in the types of GGUF, as bytes.

Which type a value takes is decided by what is known of its key, in this order: the type that the
key has in the file it comes from, the type that GGUF gives the key, the value's own where it is
NumPy's, and else the smallest of a few that holds it. A type that does not hold the value is passed
over.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from qkernels.files.key_types import ARRAYS, SCALARS
from qkernels.files.metadata import Key

NDArray = np.ndarray[Any, Any]

VALUE_TYPES = {  # a type's id, and NumPy's name for it
    "uint8": (0, "<u1"),
    "int8": (1, "<i1"),
    "uint16": (2, "<u2"),
    "int16": (3, "<i2"),
    "uint32": (4, "<u4"),
    "int32": (5, "<i4"),
    "float32": (6, "<f4"),
    "bool": (7, "?"),
    "string": (8, ""),
    "uint64": (10, "<u8"),
    "int64": (11, "<i8"),
    "float64": (12, "<f8"),
}
ARRAY = 9
WHOLE = ("uint32", "int32", "uint64", "int64")  # the first that holds an int is taken
WHOLE_ARRAY = ("int32", "uint32", "int64", "uint64")  # as the gguf package has it, for arrays
MOST_KEY_BYTES = 65535
OF_READERS = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count")  # the gguf package's own


def text_bytes(text: str, what: str) -> bytes:
    """A text as a file has it: its length, and its UTF-8.

    Raises:
        ValueError: a surrogate that no byte of a file turns into.
    """
    try:
        raw = str.encode(text, "utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} holds {text[error.start]!r}, which is no text") from None
    return struct.pack("<Q", len(raw)) + raw


def check_key(key: object) -> str:
    """A key that every reader of GGUF files takes.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty, longer than 65,535 bytes, holds a null character or what is no
            UTF-8, or is a name that the gguf package has for itself.
    """
    if not isinstance(key, str):
        raise TypeError(f"a metadata key is a str, not {type(key).__name__}: {key!r}"[:200])
    raw = text_bytes(key, "a metadata key")[8:]
    if not raw:
        raise ValueError("a metadata key is empty, which ggml does not read")
    if len(raw) > MOST_KEY_BYTES:
        raise ValueError(
            f"metadata key {key[:40]!r}... has {len(raw)} bytes; GGUF allows {MOST_KEY_BYTES}"
        )
    if b"\0" in raw:
        raise ValueError(f"metadata key {key!r} holds a null character, where ggml ends it")
    if key in OF_READERS:
        raise ValueError(f"metadata key {key!r} is one that the gguf package does not read")
    _check_utf8(raw, f"metadata key {key!r}")
    return key


def _check_utf8(raw: bytes, what: str) -> None:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{what} is no UTF-8, which the gguf package does not read") from None


def known_kind(key: str, *, is_array: bool) -> str | None:
    """The type that GGUF gives a key of its own, or the elements of its array; None for others."""
    table = ARRAYS if is_array else SCALARS
    for name in (key, key.partition(".")[2]):
        for kind, keys in table.items():
            if name in keys:
                return kind
    return None


def encode_value(key: str, value: object, kind: str | None = None) -> bytes:
    """A key with its value. `kind` names the value's type, or that of an array's elements.

    Raises:
        TypeError: a value that metadata cannot hold.
        ValueError: a number that no type holds, or not the one of `kind`.
    """
    values, own_kind, is_array = _plain(key, value)
    group = _group(key, values) if len(values) else None
    if kind is None:
        guesses = [getattr(key, "kind", None) if isinstance(key, Key) else None]
        guesses += [known_kind(key, is_array=is_array), own_kind]
        kind = next((k for k in guesses if k in VALUE_TYPES and _holds(k, group, values)), None)
    if kind is None:
        kind = _guess(key, group, values, is_array=is_array)
    elif not _holds(kind, group, values):
        raise ValueError(f"metadata {key!r} holds {_shown(values)}, and is a {kind}")
    raw = _elements(key, kind, values)
    type_id = VALUE_TYPES[kind][0]
    count = struct.pack("<IIQ", ARRAY, type_id, len(values))
    return (
        text_bytes(key, "a metadata key")
        + (count if is_array else struct.pack("<I", type_id))
        + raw
    )


def _plain(key: str, value: object) -> tuple[Sequence[Any] | NDArray, str | None, bool]:
    """The elements of a value, the type that NumPy says they have, and whether it is an array."""
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"metadata {key!r} is a masked array; fill it first")
        if array.ndim > 1:
            raise TypeError(f"metadata {key!r} has {array.ndim} dimensions; an array has one")
        kind = "float32" if array.dtype == np.float16 else array.dtype.name
        if array.dtype.kind in "UO":
            values: list[Any] = array.reshape(-1).tolist()
            return values, "string" if array.dtype.kind == "U" else None, array.ndim == 1
        if kind not in VALUE_TYPES:
            raise TypeError(f"metadata {key!r} is {array.dtype}, which GGUF does not have")
        return array.reshape(-1), kind, array.ndim == 1
    is_text = isinstance(value, (str, bytes, bytearray, memoryview))
    if isinstance(value, Sequence) and not is_text:
        return list(value), None, True
    return [value], None, False


# What a value's type says of it, and the types that can hold that.
_GROUPS = {
    "bool": ("bool",),
    "string": ("string",),
    "int": tuple(kind for kind in VALUE_TYPES if kind not in ("bool", "string")),
    "float": ("float32", "float64"),
}


def _group(key: str, values: Sequence[Any] | NDArray) -> str:
    """bool, int, float or string: what all of some values are.

    Raises:
        TypeError: a value that metadata cannot hold, or values of several kinds.
    """
    if isinstance(values, np.ndarray):
        return {"b": "bool", "f": "float"}.get(values.dtype.kind, "int")
    types = set(map(type, values))
    groups = {_group_of(kind) for kind in types}
    if groups == {"int", "float"}:
        return "float"
    if len(groups) == 1 and (group := groups.pop()) is not None:
        return group
    names = ", ".join(sorted(t.__name__ for t in types))
    nested = any(issubclass(t, (list, tuple, np.ndarray)) for t in types)
    why = "; ggml reads no arrays of arrays" if nested else ""
    raise TypeError(
        f"metadata {key!r} holds {names}; a value is a str, int, float or bool, or a list of one of"
        f" those{why}"
    )


def _group_of(kind: type) -> str | None:
    for group, bases in (
        ("bool", (bool, np.bool_)),
        ("string", (str,)),
        ("int", (int, np.integer)),
        ("float", (float, np.floating)),
    ):
        if issubclass(kind, bases):
            return group
    return None


def _holds(kind: str, group: str | None, values: Sequence[Any] | NDArray) -> bool:
    """Whether a type holds some values; numbers past a float's are another matter."""
    if group is None:  # no values at all
        return True
    if kind not in _GROUPS[group]:
        return False
    if group != "int" or kind.startswith("float"):
        return True
    bounds = np.iinfo(VALUE_TYPES[kind][1])
    if isinstance(values, np.ndarray):
        least, most = values.min(), values.max()
    else:
        least, most = min(values), max(values)
    return bool(least >= bounds.min and most <= bounds.max)


def _guess(key: str, group: str | None, values: Sequence[Any] | NDArray, *, is_array: bool) -> str:
    if group is None:
        raise TypeError(
            f"metadata {key!r} holds nothing, and its type is not known;"
            " an empty NumPy array has one"
        )
    if group != "int":
        return "float32" if group == "float" else group
    for kind in WHOLE_ARRAY if is_array else WHOLE:
        if _holds(kind, group, values):
            return kind
    raise ValueError(f"metadata {key!r} holds an integer past 64 bits")


def _elements(key: str, kind: str, values: Sequence[Any] | NDArray) -> bytes:
    if kind == "string":
        return b"".join(text_bytes(value, f"metadata {key!r}") for value in values)
    dtype = VALUE_TYPES[kind][1]
    if not kind.startswith("float"):
        return np.asarray(values, dtype).tobytes()
    try:
        exact = np.asarray(values, np.float64)
    except OverflowError:
        raise ValueError(f"metadata {key!r} holds an integer past the floats") from None
    with np.errstate(all="ignore"):
        floats = exact.astype(dtype)
    lost = np.isinf(floats) & np.isfinite(exact)
    if lost.any():
        raise ValueError(f"metadata {key!r} holds {exact[lost][0]!s}, which is past a {kind}")
    return floats.tobytes()


def _shown(values: Sequence[Any] | NDArray) -> str:
    return repr(list(values[:3]))[1:-1][:60] or "nothing"
