"""The keys of a file that is written: those that say something of other tensors are left out.

A key that came with the metadata of an older file (a `Key`, with the value that it had there) and
describes that file's tensors is true of new ones by chance only:

qkernels.k.NAME     is written anew where a tensor is padded, and nowhere else
split.*             stays where a part is copied as it is
general.file_type   stays where the tensors' formats are still what it says
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import _core
from .gguf_file import GGUFFile
from .gguf_metadata import DEPTH_KEY, FILE_TYPE_KEY, SPLIT_KEYS, Key
from .metadata_values import encode_value
from .parts import COUNT
from .quantize_types import FILE_TYPES
from .save_format import Encoded, TensorEntry, encode_metadata

if TYPE_CHECKING:
    Entries = Mapping[str, tuple[TensorEntry, tuple[int, ...]]]

# What most weights are of by general.file_type, where the number is not that of a format.
MIXTURES = {
    **{12: "q3_k", 13: "q3_k", 15: "q4_k", 17: "q5_k", 21: "q2_k", 22: "iq3_s", 27: "iq3_s"},
    28: "iq2_xs",
}


def keys_for(
    tensors: object, entries: Entries, metadata: Mapping[str, object], *, pad: bool
) -> list[Encoded]:
    """The keys of a file with these tensors, encoded.

    Raises:
        ValueError: a padded tensor without `pad`, or a `qkernels.k.` key that is not true.
        TypeError, ValueError: as `encode_metadata`.
    """
    own = tensors.metadata if isinstance(tensors, GGUFFile) else {}
    keys = encode_metadata(metadata)
    depths = {
        DEPTH_KEY + name: _depth(name, shape, entry.shape, pad=pad or isinstance(tensors, GGUFFile))
        for name, (entry, shape) in entries.items()
        if shape and shape[-1] != entry.shape[-1]
    }
    for key in metadata:
        if key.startswith((DEPTH_KEY, SPLIT_KEYS)) or key == FILE_TYPE_KEY:
            value = metadata[key]
            is_carried = _is_carried(key, value, metadata)
            if key.startswith(DEPTH_KEY):
                if depths.get(key) == value:
                    del depths[key]
                elif is_carried:
                    del keys[key]
                else:
                    _refuse_depth(key, value, entries)
            elif is_carried and own.get(key) != value:
                del keys[key]
                if key == FILE_TYPE_KEY and (kind := file_type(value, entries)) is not None:
                    keys[key] = (encode_value(key, kind, "uint32"),)
    for key, k in depths.items():
        keys[key] = (encode_value(key, k, "uint64"),)
    return list(keys.values())


def _is_carried(key: str, value: object, metadata: Mapping[str, object]) -> bool:
    """Whether a key came from a file with its value. The number of parts speaks for `split.*`.

    Where the metadata of two parts are merged, the keys are the first one's, with the values of the
    second.
    """
    if not isinstance(key, Key):
        return False
    if not key.startswith(SPLIT_KEYS):
        return key.was == value
    counts = (k for k in metadata if k == COUNT and isinstance(k, Key))
    return all(k.was == metadata[COUNT] for k in counts)


def _depth(name: str, shape: tuple[int, ...], stored: tuple[int, ...], *, pad: bool) -> int:
    if pad:
        return int(shape[-1])
    raise ValueError(
        f"tensor {name!r} has k={shape[-1]}, which its blocks do not divide; pad=True stores"
        f" {stored[-1]} weights a row, for qkernels alone to read"
    )


def _refuse_depth(key: str, value: object, entries: Entries) -> None:
    name = key.removeprefix(DEPTH_KEY)
    if name not in entries:
        raise ValueError(f"metadata {key!r} is {value!r}, and there is no tensor {name!r}")
    _, shape = entries[name]
    raise ValueError(f"metadata {key!r} is {value!r}, and tensor {name!r} has shape {shape}")


def file_type(old: object, entries: Entries) -> int | None:
    """What general.file_type is of some tensors that had another file's number.

    The number stays where it names the format of most weights of the matrices, as mixtures have
    it; else it is that of the one format that all of them have, or none.
    """
    weights: Counter[int] = Counter()
    for entry, shape in entries.values():
        if len(shape) > 1:
            size = 1
            for extent in entry.shape:
                size *= extent
            weights[entry.type_id] += size
    if not weights or not isinstance(old, int):
        return None
    (most, _), *others = weights.most_common()
    infos = [_core.format_info(fmt) for fmt in _core.formats()]
    named = {info.file_type: info.name for info in infos} | MIXTURES
    formats = {info.gguf_id: info.name for info in infos}
    if formats.get(most) == named.get(old):
        return old
    return None if others else FILE_TYPES.get(formats.get(most, ""))
