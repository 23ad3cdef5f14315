"""GGUF files as mappings of names to weights, opened without reading or converting them."""

from __future__ import annotations

import difflib
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from . import _core
from .tensor import QTensor

if TYPE_CHECKING:
    from types import TracebackType

NDArray = np.ndarray[Any, Any]
V = TypeVar("V")
T = TypeVar("T")

MATRIX_NDIMS = (2, 3)  # what a QTensor takes: a matrix, or a stack of one an expert
MOST_COMPARED = 2000  # names that a misspelt one is compared with
MOST_LISTED = 200  # keys in the text form of metadata
MOST_SHOWN = 100  # characters of a name in a message, bytes of a value in the text form


def load_gguf(path: str | os.PathLike[str], *, mmap: bool = True, pack: bool = False) -> GGUFFile:
    """Open a GGUF file (version 2 or 3, little-endian).

    Nothing is copied or converted: tensors are views into the mapped file, which stays mapped as
    long as one of them lives, and metadata values become Python objects when they are asked for.

    A mapped file must not be cut short while it is in use. Its size is compared before each tensor
    or value is handed out, and a file that shrank raises ValueError; but reading from an array
    whose bytes have gone from the file ends the process with a bus error, as with any map. Use
    `mmap=False` for files that others may change.

    Args:
        path: the file.
        mmap: map the file; False reads all of it into memory.
        pack: must be False: matrices are packed one by one, by `QTensor.pack()`.

    Raises:
        OSError: the system refuses to open or map the file, as in FileNotFoundError.
        ValueError: the file is no GGUF file, or one at fault; the message names what is wrong. Also
            a path with a null byte, and `pack=True`.
        TypeError: `path` is not a path.
    """
    if pack:
        raise ValueError("pack=True: a file is not packed whole; QTensor.pack() packs a matrix")
    return GGUFFile(path, mmap=mmap)


class _Source:
    """The open file that a GGUFFile and its metadata share, until it is closed."""

    __slots__ = ("core", "path", "values")

    def __init__(self, path: str, core: _core.GGUF) -> None:
        self.path = path
        self.core: _core.GGUF | None = core
        self.values: dict[str, object] = {}

    def opened(self) -> _core.GGUF:
        if self.core is None:
            raise ValueError(f"{self.path} is closed")
        return self.core


class _Names(Mapping[str, V]):
    """A mapping whose keys are names in the file, with near ones named where one is missing."""

    __slots__ = ("_source",)
    _what = "name"

    def __init__(self, source: _Source) -> None:
        self._source = source

    @abstractmethod
    def _find(self, name: str) -> int:
        """The index of a name, or -1."""

    def _index(self, name: str) -> int:
        if not isinstance(name, str):
            raise TypeError(f"a {self._what} is a str, not {type(name).__name__}")
        index = self._find(name)
        if index >= 0:
            return index
        message = f"{self._source.path} has no {self._what} {name[:MOST_SHOWN]!r}"
        if near := difflib.get_close_matches(name[:200], islice(self, MOST_COMPARED)):
            message += f"; near names: {', '.join(map(repr, near))}"
        raise KeyError(message)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) >= 0

    @overload
    def get(self, name: str, /) -> V | None: ...
    @overload
    def get(self, name: str, /, default: V) -> V: ...
    @overload
    def get(self, name: str, /, default: T) -> V | T: ...
    def get(self, name: str, /, default: object = None) -> object:
        """Return the value of `name`, or `default` where the file has none."""
        return self[name] if name in self else default  # noqa: SIM401 (this is get itself)


class Metadata(_Names[object]):
    """A file's key-value pairs. A value becomes a Python object when it is first asked for.

    Values are str, int, float, bool, or a list of one of them. Strings are UTF-8; bytes that are
    not become lone surrogates, so that `text.encode("utf-8", "surrogateescape")` is what the file
    holds.
    """

    __slots__ = ()
    _what = "key"

    def _find(self, name: str) -> int:
        return self._source.opened().find_key(name)

    def __getitem__(self, key: str) -> object:
        """Return a value.

        Raises:
            KeyError: the file has no such key; the message has near ones.
            ValueError: the file is closed, or has shrunk.
        """
        core = self._source.opened()
        values = self._source.values
        if key not in values:
            values[key] = core.value(self._index(key))
        return values[key]

    def __iter__(self) -> Iterator[str]:
        """Go through the keys in the file's order."""
        return iter(self._source.opened().keys())

    def __len__(self) -> int:
        """Count the keys."""
        return self._source.opened().key_count

    def __repr__(self) -> str:
        """List the keys with their values; arrays by type and length."""
        core = self._source.core
        if core is None:
            return f"Metadata of {self._source.path} (closed)"
        keys = core.keys()
        lines = [f"{key}: {_summary(core, i)}" for i, key in enumerate(keys[:MOST_LISTED])]
        if len(keys) > MOST_LISTED:
            lines.append(f"... and {len(keys) - MOST_LISTED} more")
        return "\n".join([f"Metadata of {self._source.path}, {len(keys)} keys", *lines])


class GGUFFile(_Names["QTensor | NDArray"]):
    """A GGUF file as a mapping of tensor names to weights.

    Tensors of two or three dimensions in one of `qkernels.formats()`, float ones included, are
    `QTensor`s, as are quantised vectors, which are matrices of one row. Everything else is a
    read-only NumPy array: float vectors and float tensors of four dimensions (bf16 converted to
    float32), integers and float64. All but the converted ones are views into the file.

    See `load_gguf`, which opens one.
    """

    __slots__ = ("_metadata", "_path")
    _what = "tensor"

    def __init__(self, path: str | os.PathLike[str], *, mmap: bool = True) -> None:
        """Open `path`; see `load_gguf` for what is raised."""
        name = os.fsdecode(path)
        super().__init__(_Source(name, _core.GGUF(name, mmap)))
        self._path = Path(name)
        self._metadata = Metadata(self._source)

    @property
    def path(self) -> Path:
        """The file's path."""
        return self._path

    @property
    def metadata(self) -> Metadata:
        """The key-value pairs, a mapping that converts a value when it is asked for."""
        return self._metadata

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._source.core is None

    def close(self) -> None:
        """Refuse further look-ups. Tensors that were handed out stay valid and keep the map."""
        self._source.core = None
        self._source.values.clear()

    def __enter__(self) -> GGUFFile:
        """Return the file itself."""
        self._source.opened()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _find(self, name: str) -> int:
        return self._source.opened().find_tensor(name)

    def __getitem__(self, name: str) -> QTensor | NDArray:
        """Return a tensor.

        Raises:
            KeyError: the file has no such tensor; the message has near names.
            ValueError: the tensor's type is not one that qkernels reads; the file is closed, or has
                shrunk.
        """
        index = self._index(name)
        core = self._source.opened()
        entry = core.tensor(index)
        ndim = len(entry.shape)
        if entry.fmt is None:
            return core.elements(index)
        is_float = _core.format_info(entry.fmt)[2] == 1
        if is_float and ndim not in MATRIX_NDIMS:
            array = core.elements(index)
            return _widen(array) if entry.fmt == "bf16" else array
        if ndim > MATRIX_NDIMS[-1]:
            raise ValueError(
                f"{self._source.path}: tensor {name!r} in {entry.fmt} has shape {entry.shape};"
                " qkernels reads quantised weights of at most 3 dimensions"
            )
        shape = entry.shape if ndim > 1 else (1, *entry.shape)
        return QTensor(core.rows(index), entry.fmt, shape)

    def __iter__(self) -> Iterator[str]:
        """Go through the tensors' names in the file's order."""
        return iter(self._source.opened().tensor_names())

    def __len__(self) -> int:
        """Count the tensors."""
        return self._source.opened().tensor_count

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        """Path, size and the number of tensors by type."""
        core = self._source.core
        if core is None:
            return f"GGUFFile({self._source.path!r}, closed)"
        types: dict[str, int] = {}
        for i in range(core.tensor_count):
            entry = core.tensor(i)
            type_name = entry.type_name or f"type {entry.type_id}"
            types[type_name] = types.get(type_name, 0) + 1
        counts = ", ".join(f"{count} {name}" for name, count in types.items()) or "none"
        return (
            f"GGUFFile({self._source.path!r}, {core.nbytes:,} bytes, "
            f"{core.key_count} metadata keys, {core.tensor_count} tensors: {counts})"
        )


def _summary(core: _core.GGUF, index: int) -> str:
    """A value in a few words."""
    type_name, length, nbytes = core.value_type(index)
    if length is not None:
        return f"{type_name}[{length}]"
    if nbytes > MOST_SHOWN:
        return f"{type_name} of {nbytes:,} bytes"
    return repr(core.value(index))


def _widen(bfloats: NDArray) -> NDArray:
    """bfloat16 bits as read-only float32."""
    floats: NDArray = (bfloats.astype(np.uint32) << 16).view(np.float32)
    floats.flags.writeable = False
    return floats
