"""GGUF files as mappings of names to weights, opened without reading or converting them.

With `pack=True` the matrices are copied into panels on opening; everything else stays as it lies.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _threads
from ._packing import pack_all
from .gguf_metadata import Metadata, Names, Source
from .packed import PackedTensor
from .tensor import QTensor

if TYPE_CHECKING:
    from types import TracebackType

NDArray = np.ndarray[Any, Any]

MATRIX_NDIMS = (2, 3)  # what a QTensor takes: a matrix, or a stack of one an expert


def load_gguf(
    path: str | os.PathLike[str],
    *,
    mmap: bool = True,
    pack: bool = False,
    threads: int | None = None,
) -> GGUFFile:
    """Open a GGUF file (version 2 or 3, little-endian).

    Nothing is copied or converted: tensors are views into the mapped file, which stays mapped as
    long as one of them lives, and metadata values become Python objects when they are asked for.

    With `pack=True` every matrix is packed before this returns, as by `QTensor.pack()`: that reads
    the whole file and takes as much memory again, and from then on a look-up costs nothing. Where
    it takes long, a progress bar appears on a terminal's standard error. Stacks of experts and
    quantised vectors stay QTensors, as without it. `GGUFFile.unpacked` has the blocks of a packed
    matrix.

    A mapped file must not be cut short while it is in use. Its size is compared before each tensor
    or value is handed out, and a file that shrank raises ValueError; but reading from an array
    whose bytes have gone from the file ends the process with a bus error, as with any map. Use
    `mmap=False` for files that others may change.

    Args:
        path: the file.
        mmap: map the file; False reads all of it into memory.
        pack: give matrices out as PackedTensors, for the ISA in use now.
        threads: 1 to 256 for packing, instead of the default.

    Raises:
        OSError: the system refuses to open or map the file, as in FileNotFoundError.
        ValueError: the file is no GGUF file, or one at fault; the message names what is wrong. Also
            a path with a null byte, and `threads` out of range.
        TypeError: `path` is not a path.
        MemoryError: the packed matrices do not fit.
    """
    _threads.resolve(threads)  # refuses a wrong number, even where nothing is packed
    file = GGUFFile(path, mmap=mmap)
    if pack:
        file._packed.update(pack_all(file._matrices(), threads))
    return file


class GGUFFile(Names["QTensor | PackedTensor | NDArray"]):
    """A GGUF file as a mapping of tensor names to weights.

    Tensors of two or three dimensions in one of `qkernels.formats()`, float ones included, are
    `QTensor`s, as are quantised vectors, which are matrices of one row. Everything else is a
    read-only NumPy array: float vectors and float tensors of four dimensions (bf16 converted to
    float32), integers and float64. All but the converted ones are views into the file.

    In a file that was opened with `pack=True`, matrices are `PackedTensor`s instead, and the same
    object at each look-up.

    See `load_gguf`, which opens one.
    """

    __slots__ = ("_metadata", "_packed", "_path")
    _what = "tensor"

    def __init__(self, path: str | os.PathLike[str], *, mmap: bool = True) -> None:
        """Open `path`; see `load_gguf` for what is raised."""
        name = os.fsdecode(path)
        super().__init__(Source(name, _core.GGUF(name, mmap)))
        self._path = Path(name)
        self._metadata = Metadata(self._source)
        self._packed: dict[str, PackedTensor] = {}

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
        self._packed = {}

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

    def __getitem__(self, name: str) -> QTensor | PackedTensor | NDArray:
        """Return a tensor.

        Raises:
            KeyError: the file has no such tensor; the message has near names.
            ValueError: the tensor's type is not one that qkernels reads; the file is closed, or has
                shrunk.
        """
        index = self._index(name)
        packed = self._packed.get(name)
        return self._tensor(index, name) if packed is None else packed

    def unpacked(self, name: str) -> QTensor | NDArray:
        """Return a tensor as it lies in the file, in blocks.

        Without `pack=True` this is `file[name]`. It is a view whose bytes are read from the file
        when they are used, so it takes no memory beside the packed matrix.

        Raises:
            KeyError, ValueError: as for `file[name]`.
        """
        return self._tensor(self._index(name), name)

    def _tensor(self, index: int, name: str) -> QTensor | NDArray:
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

    def _matrices(self) -> dict[str, QTensor]:
        """The tensors that can be packed. Those of types that are not read are left alone."""
        core = self._source.opened()
        found: dict[str, QTensor] = {}
        for index, name in enumerate(core.tensor_names()):
            entry = core.tensor(index)
            if len(entry.shape) == 2 and entry.fmt is not None:
                found[name] = QTensor(core.rows(index), entry.fmt, entry.shape)
        return found

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


def _widen(bfloats: NDArray) -> NDArray:
    """bfloat16 bits as read-only float32."""
    floats: NDArray = (bfloats.astype(np.uint32) << 16).view(np.float32)
    floats.flags.writeable = False
    return floats
