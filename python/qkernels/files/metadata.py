"""What a GGUF file's mappings share: the open file, look-ups by name, and the metadata."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TypeVar, overload

from qkernels import _core
from qkernels.files.source import Identity, Source, reopen

V = TypeVar("V")
T = TypeVar("T")

MOST_COMPARED = 2000  # names that a misspelt one is compared with
MOST_LISTED = 200  # keys in the text form of metadata
MOST_SHOWN = 100  # characters of a name in a message, bytes of a value in the text form


# Keys that say something of the file's tensors, and nothing of others.
DEPTH_KEY = "qkernels.k."  # and a tensor's name: the k of rows that are filled up with zeros
SPLIT_KEYS = "split."
FILE_TYPE_KEY = "general.file_type"


class Key(str):
    """A key of a file, which knows the type that its value has there.

    It is the same text as any other str. Where it is a dict's key, as in `dict(file.metadata)` and
    `{**file.metadata, ...}`, what is written for it has the type that it had, whatever becomes of
    the value.
    """

    __slots__ = ("kind", "was")

    kind: str
    """The type's name, such as "uint32"; of an array, that of its elements."""
    was: object
    """The value of a key that says something of the file's tensors; None for others."""

    def __new__(cls, text: str, kind: str, was: object = None) -> Key:
        """Make a key of its text."""
        key = super().__new__(cls, text)
        key.kind = kind
        key.was = was
        return key

    def __getnewargs__(self) -> tuple[str, str, object]:  # type: ignore[override]
        """What copies and pickles are made of."""
        return str(self), self.kind, self.was


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
        raise KeyError(message + self._elsewhere())

    def _elsewhere(self) -> str:
        """Where a missing name may be, as the end of a message."""
        return ""

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

    Values are str, int, float, bool, or a list of one of them, or of lists. Strings are UTF-8;
    bytes that are not become lone surrogates, so that `text.encode("utf-8", "surrogateescape")` is
    what the file holds.

    The keys remember the types of their values: a dict that is made of this one keeps them, and
    `save_gguf` writes the values in them. `|` makes such a dict.

    Pickles and copies are as those of a GGUFFile.
    """

    __slots__ = ()
    _what = "key"

    def _find(self, name: str) -> int:
        return self._source.opened().find_key(name)

    def __getitem__(self, key: str) -> object:
        """Return a value.

        Raises:
            KeyError: the file has no such key; the message has near ones.
            ValueError: the file is closed, or has shrunk; arrays in arrays past 64 deep.
        """
        core = self._source.opened()
        values = self._source.values
        if key not in values:
            values[key] = core.value(self._index(key))
        return values[key]

    def __iter__(self) -> Iterator[str]:
        """Go through the keys in the file's order."""
        core = self._source.opened()
        return (_key(core, i, text) for i, text in enumerate(core.keys()))

    def __or__(self, other: Mapping[str, object]) -> dict[str, object]:
        """A dict of these pairs, and of the other's where it has more or others."""
        return {**self, **other} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, object]) -> dict[str, object]:
        """A dict of the other's pairs, and of these where there are more or others."""
        return {**other, **self} if isinstance(other, Mapping) else NotImplemented

    def __copy__(self) -> Metadata:
        """The same pairs; closing the file leaves them."""
        return Metadata(self._source.again())

    def __deepcopy__(self, memo: dict[int, object]) -> Metadata:
        """The same pairs; closing the file leaves them."""
        return self.__copy__()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle where the file is, not what is in it."""
        self._source.opened()
        return _reopened, (self._source.identity, self._source.mmap)

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


def _key(core: _core.GGUF, index: int, text: str) -> Key:
    kind, length, _ = core.value_type(index)
    of_tensors = text.startswith((DEPTH_KEY, SPLIT_KEYS)) or text == FILE_TYPE_KEY
    return Key(text, kind, core.value(index) if of_tensors and length is None else None)


def _summary(core: _core.GGUF, index: int) -> str:
    """A value in a few words."""
    type_name, length, nbytes = core.value_type(index)
    if length is not None:
        return f"{type_name}[{length}]"
    if nbytes > MOST_SHOWN:
        return f"{type_name} of {nbytes:,} bytes"
    return repr(core.value(index))


def _reopened(identity: Identity, mmap: bool) -> Metadata:
    """What a pickle becomes."""
    return Metadata(reopen(identity, mmap))
