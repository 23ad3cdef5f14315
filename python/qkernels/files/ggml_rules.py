"""What ggml and llama.cpp refuse of a file that is read here: the notes of `qkernels verify`.

The rules are those of ggml's own reader: it takes the tensors' data for one piece, in the order of
the table, with nothing between but what alignment asks for; it knows four dimensions, names of 63
bytes that end at a null character, keys that are not empty, and no arrays of arrays.
"""

from __future__ import annotations

from collections.abc import Iterator

from qkernels import _core
from qkernels.files import parts
from qkernels.files.gguf import GGUFFile
from qkernels.files.save_tensors import MOST_DIMS, MOST_NAME_BYTES

MOST_SHOWN = 3  # names in a note


def notes_on(file: GGUFFile) -> list[str]:
    """What others would refuse of a file, a sentence each; none of it is a fault here."""
    core = file._source.opened()
    names = core.tensor_names()
    entries = [core.tensor(i) for i in range(len(names))]
    found = [*_on_keys(core), *_on_names(names, entries), *_on_places(core, names, entries)]
    return [*found, *parts.notes_on(file.metadata, file.path)]


def _on_keys(core: _core.GGUF) -> Iterator[str]:
    keys = core.keys()
    if "" in keys:
        yield "a key is empty, which ggml refuses"
    if cut := [key for key in keys if "\0" in key]:
        yield f"{_some(cut, 'key')} with a null character, where ggml ends names"
    if nested := [key for i, key in enumerate(keys) if core.value_type(i)[0] == "array"]:
        yield f"{_some(nested, 'key')} with arrays of arrays, which ggml refuses"
    if core.alignment % 8:
        yield f"the alignment {core.alignment} is no multiple of 8, as GGUF's specification asks"


def _on_names(names: list[str], entries: list[_core.GGUFTensor]) -> Iterator[str]:
    if long := [name for name in names if len(_raw(name)) > MOST_NAME_BYTES]:
        yield f"{_some(long, 'tensor')} with a name of 64 bytes or more, which ggml refuses"
    if cut := [name for name in names if "\0" in name]:
        yield f"{_some(cut, 'tensor')} with a null character, where ggml ends names"
    many = [n for n, e in zip(names, entries, strict=True) if len(e.stored) > MOST_DIMS]
    if many:
        yield f"{_some(many, 'tensor')} with over {MOST_DIMS} dimensions, which ggml refuses"


def _on_places(
    core: _core.GGUF, names: list[str], entries: list[_core.GGUFTensor]
) -> Iterator[str]:
    placed = [
        (entry.offset, entry.nbytes or 0, name)
        for name, entry in zip(names, entries, strict=True)
        if entry.fault is None and entry.nbytes != 0
    ]
    overlapping: list[tuple[str, str]] = []
    end, last = 0, ""
    for begin, nbytes, name in sorted(placed):
        if begin < end:
            overlapping.append((name, last))
        if begin + nbytes > end:
            end, last = begin + nbytes, name
    if overlapping:
        first, second = overlapping[0]
        more = f", and {len(overlapping) - 1} more" if len(overlapping) > 1 else ""
        yield f"tensor {first!r} overlaps {second!r}{more}, which ggml refuses"
    expected = core.data_begin
    for name, entry in zip(names, entries, strict=True):
        if entry.offset != expected:
            yield (
                f"tensor {name!r} is at byte {entry.offset:,}, and ggml expects it at"
                f" {expected:,}, behind the one before it"
            )
            return
        if entry.nbytes is None:
            return
        expected += entry.nbytes + -entry.nbytes % core.alignment


def _some(names: list[str], what: str) -> str:
    """The first of some names, and how many there are."""
    shown = ", ".join(repr(name[:MOST_NAME_BYTES]) for name in names[:MOST_SHOWN])
    more = ", ..." if len(names) > MOST_SHOWN else ""
    return f"{len(names)} {what}{'s' * (len(names) != 1)} ({shown}{more})"


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
