"""What a GGUF file's mappings share: the open file, look-ups by name, and the metadata."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TypeVar, overload

from . import _core

V = TypeVar("V")
T = TypeVar("T")

MOST_COMPARED = 2000  # names that a misspelt one is compared with
MOST_LISTED = 200  # keys in the text form of metadata
MOST_SHOWN = 100  # characters of a name in a message, bytes of a value in the text form


class Source:
    """The open file that a GGUFFile and its metadata share, until it is closed."""

    __slots__ = ("core", "path", "values")

    def __init__(self, path: str, core: _core.GGUF) -> None:
        self.path = path
        self.core: _core.GGUF | None = core
        self.values: dict[str, object] = {}

    def opened(self) -> _core.GGUF:
        """The file.

        Raises:
            ValueError: it is closed.
        """
        if self.core is None:
            raise ValueError(f"{self.path} is closed")
        return self.core


class Names(Mapping[str, V]):
    """A mapping whose keys are names in the file, with near ones named where one is missing."""

    __slots__ = ("_source",)
    _what = "name"

    def __init__(self, source: Source) -> None:
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
        """Whether the file has such a name."""
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


class Metadata(Names[object]):
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


def _summary(core: _core.GGUF, index: int) -> str:
    """A value in a few words."""
    type_name, length, nbytes = core.value_type(index)
    if length is not None:
        return f"{type_name}[{length}]"
    if nbytes > MOST_SHOWN:
        return f"{type_name} of {nbytes:,} bytes"
    return repr(core.value(index))
