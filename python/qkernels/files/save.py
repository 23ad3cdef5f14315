"""Writing weights to GGUF files: `qkernels.save_gguf`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qkernels.files.encode import alignment_of, write_file
from qkernels.files.save_keys import keys_for
from qkernels.files.save_tensors import entries_of

if TYPE_CHECKING:
    from qkernels._base.frameworks import Array
    from qkernels.files.unread import UnreadTensor
    from qkernels.weights.packed import PackedTensor
    from qkernels.weights.qtensor import QTensor


def save_gguf(
    path: str | os.PathLike[str],
    tensors: Mapping[str, QTensor | PackedTensor | UnreadTensor | Array],
    metadata: Mapping[str, object] | None = None,
    *,
    pad: bool = False,
) -> None:
    """Write a GGUF file, version 3, that `load_gguf`, the `gguf` package and ggml read.

    The file appears whole or not at all: it is written beside `path` under another name, and then
    renamed. It has the permissions of one that it replaces, and where `path` is a link, the file
    that the link names is replaced.

    Args:
        path: the file; one that is there is replaced.
        tensors: by name: QTensors, PackedTensors (whose blocks are written), and arrays of float32,
            float16, bfloat16, float64 or signed integers of up to four dimensions, none included:
            NumPy's, torch's, ml_dtypes', and what has `__array__` or DLPack. Names have at most 63
            bytes. A GGUFFile is such a mapping, whose tensors are copied bit for bit, also those of
            types, names and ranks that are not written otherwise.
        metadata: str, int, float, bool, lists of one of them, or NumPy's scalars and vectors. A key
            that comes out of a file keeps the type that it has there, also in a dict made of its
            `metadata`; GGUF's own keys have GGUF's types; else NumPy's values have theirs, an int
            takes the first of uint32, int32, uint64 and int64 that holds it, ints in a list the
            first of int32, uint32, int64 and uint64 that holds all, and a float is a float32. Keys
            that say something of another file's tensors (`qkernels.k.*`, `split.*`,
            `general.file_type`) are left out where they are not true of these.
        pad: allow tensors whose k is no multiple of the block: the file has whole blocks, and the
            key `qkernels.k.<name>` the true k, which only qkernels reads.

    Raises:
        TypeError: a tensor or a value that the format does not have, a name or key that is no str.
        ValueError: a format without a GGUF id (q8_ks), a k that is no multiple of the block (see
            `pad`), over four dimensions, a name or key that some reader refuses, a number past its
            type, a `qkernels.k.` key that does not fit its tensor, or a wrong `general.alignment`.
        OSError: the file cannot be written.
    """
    metadata = {} if metadata is None else metadata
    entries = entries_of(tensors)
    keys = keys_for(tensors, entries, metadata, pad=pad)
    alignment = alignment_of(metadata)
    for _ in write_file(
        os.fsdecode(path), keys, [entry for entry, _ in entries.values()], alignment
    ):
        pass
