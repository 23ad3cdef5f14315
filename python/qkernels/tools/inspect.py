"""What a GGUF file holds, read from its head alone: what `qkernels inspect` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from qkernels.files.gguf import GGUFFile
from qkernels.files.parts import notes_on

MOST_VALUES = 8  # elements of an array that are kept, unless all are asked for


@dataclass(frozen=True)
class TensorEntry:
    """A line of the tensor table."""

    name: str
    type: str
    """The type's name, or "type 777" for an unknown one."""
    shape: list[int]
    """NumPy's order: (n, k), (experts, n, k) and so on, with the true k."""
    nbytes: int | None
    """Of the data; None where the size of the type is unknown."""
    offset: int
    """From the start of the file."""
    readable: bool
    """Whether qkernels reads the type."""
    fault: str | None = None
    """What is wrong with the entry, so that the tensor cannot be had."""


@dataclass(frozen=True)
class KeyEntry:
    """A key-value pair."""

    key: str
    type: str
    length: int | None
    """Of an array; None for one value."""
    value: object
    """The value; of an array, a list of its first elements."""


@dataclass(frozen=True)
class TypeTotal:
    """All tensors of one type."""

    type: str
    tensors: int
    weights: int
    nbytes: int


@dataclass(frozen=True)
class FileReport:
    """A file, its keys and its tensors."""

    path: str
    nbytes: int
    version: int
    alignment: int
    metadata: list[KeyEntry]
    tensors: list[TensorEntry]
    notes: list[str] = field(default_factory=list)
    """What there is to say of a file that is one part of a model."""

    def totals(self) -> list[TypeTotal]:
        """The tensors by type, the largest share of the file first."""
        by_type: dict[str, list[TensorEntry]] = {}
        for entry in self.tensors:
            by_type.setdefault(entry.type, []).append(entry)
        found = [
            TypeTotal(
                name,
                len(entries),
                sum(count(entry.shape) for entry in entries),
                sum(entry.nbytes or 0 for entry in entries),
            )
            for name, entries in by_type.items()
        ]
        return sorted(found, key=lambda total: -total.nbytes)


def count(shape: list[int]) -> int:
    """The elements of an array of this shape."""
    elements = 1
    for extent in shape:
        elements *= extent
    return elements


def inspect(file: GGUFFile, match: str | None = None, *, whole: bool = False) -> FileReport:
    """Describe a file. Nothing of the tensors' data is read.

    Args:
        file: an open file.
        match: only tensors of this name, or whose names fit a pattern such as "blk.0.*".
        whole: keep arrays of the metadata in full, not their first 8 elements.

    Raises:
        KeyError: no tensor is of that name or pattern; the message has near names.
        ValueError: the file is closed, or has shrunk.
    """
    core = file._source.opened()
    metadata = []
    for index, key in enumerate(core.keys()):
        kind, length, _ = core.value_type(index)
        value = core.value(index, None if whole else MOST_VALUES)
        metadata.append(KeyEntry(key, kind, length, value))
    tensors = []
    for index, name in enumerate(core.tensor_names()):
        entry = core.tensor(index)
        kind = entry.type_name or f"type {entry.type_id}"
        readable = entry.unread is None
        place = (entry.nbytes, entry.offset, readable, entry.fault)
        tensors.append(TensorEntry(name, kind, list(entry.shape), *place))
    wanted = set(chosen_names(file, match))
    tensors = [entry for entry in tensors if entry.name in wanted]
    facts = (core.nbytes, core.version, core.alignment, metadata, tensors)
    return FileReport(str(file.path), *facts, notes_on(file.metadata, file.path))


def chosen_names(file: GGUFFile, match: str | None) -> list[str]:
    """The names of the tensors that fit a pattern, in the file's order; all without one.

    Raises:
        KeyError: there is none; the message has near names.
    """
    if match is None:
        return list(file)
    if match in file:
        return [match]
    chosen = [name for name in file if fnmatchcase(name, match)]
    if not chosen:
        file._index(match)  # whose KeyError has near names
    return chosen
