"""GGUF files as mappings of names to weights, opened without reading or converting them.

With `pack=True` the matrices are copied into panels on opening; everything else stays as it lies.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels import _core
from qkernels._base.threads import thread_count
from qkernels.files.metadata import Metadata, Names
from qkernels.files.parts import part_of
from qkernels.files.source import Identity, Source, open_source, reopen
from qkernels.files.unread import UnreadTensor
from qkernels.weights.packed import PackedTensor
from qkernels.weights.packing import pack_all
from qkernels.weights.qtensor import QTensor

if TYPE_CHECKING:
    from types import TracebackType

NDArray = np.ndarray[Any, Any]

NUMPY_FLOATS = ("f32", "f16")
MATRIX_NDIMS = (2, 3)  # where those become QTensors: matrices and stacks
MOST_RANK = 8  # of a QTensor


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
    What is wrong with one tensor (a shape, a place outside the file) is said when it is asked for,
    and costs the others nothing.

    With `pack=True` every matrix is packed before this returns, as by `QTensor.pack()`: that reads
    the whole file and takes as much memory again, and from then on a look-up costs nothing. Where
    it takes long, a progress bar appears on a terminal's standard error. Stacks of experts and
    quantised vectors stay QTensors, as without it. `GGUFFile.unpacked` has the blocks of a packed
    matrix.

    A mapped file must not be cut short while it is in use. Its size is compared before each tensor
    or value is handed out, and a file that shrank raises ValueError, as does an operator that runs
    into the cut. What NumPy reads by itself of `QTensor.data` and of arrays, it reads as zeros from
    the cut on, without an error. Use `mmap=False` for files that others may change.

    Args:
        path: the file.
        mmap: map the file; False reads all of it into memory.
        pack: give matrices out as PackedTensors, for the ISA in use now.
        threads: 1 to 256 for packing, instead of the default.

    Raises:
        OSError: the system refuses to open or map the file, as in FileNotFoundError.
        ValueError: the file is no GGUF file, or one whose head cannot be read to its end; the
            message names what is wrong. Also a path with a null byte, the contents of a file where
            its path belongs, and `threads` out of range.
        TypeError: `path` is not a path.
        MemoryError: the packed matrices do not fit.
    """
    thread_count(threads)  # refuses a wrong number, even where nothing is packed
    file = GGUFFile(path, mmap=mmap)
    if pack:
        file._packed.update(pack_all(file._matrices(), threads))
    return file


class GGUFFile(Names["QTensor | PackedTensor | NDArray"]):
    """A GGUF file as a mapping of tensor names to weights.

    Quantised tensors and those of bf16 are `QTensor`s of their shape, whatever its rank; so are
    f32 and f16 ones of two or three dimensions. Everything else is a read-only NumPy array: float
    vectors, float tensors of other ranks or without elements, integers and float64. All are views
    into the file. Two have no blocks to view and are arrays of float32: quantised tensors whose k
    is 0, and bf16 ones without dimensions.

    A tensor of a type that qkernels does not read, or in blocks of over 8 dimensions, is an
    `UnreadTensor`, which has its bytes, and
    raises where weights are asked of it.

    In a file that was opened with `pack=True`, matrices are `PackedTensor`s instead, and the same
    object at each look-up.

    A pickle has the file's path, its size and the time of its last change; it is opened again where
    the pickle is loaded (and packed, where it was), which raises ValueError for a file that has
    changed. Copies, deep ones too, share the map.

    See `load_gguf`, which opens one.
    """

    __slots__ = ("_metadata", "_packed", "_path")
    _what = "tensor"

    def __init__(self, path: str | os.PathLike[str], *, mmap: bool = True) -> None:
        """Open `path`; see `load_gguf` for what is raised."""
        self._start(open_source(path, mmap))

    def _start(self, source: Source) -> None:
        super().__init__(source)
        self._path = Path(source.path)
        self._metadata = Metadata(source)
        self._packed: dict[str, PackedTensor] = {}

    def __copy__(self) -> GGUFFile:
        """The same file over the same map; each is closed by itself."""
        copy = GGUFFile.__new__(GGUFFile)
        copy._start(self._source.again())
        copy._packed = dict(self._packed)
        return copy

    def __deepcopy__(self, memo: dict[int, object]) -> GGUFFile:
        """As a copy: nothing of a file can be changed."""
        return self.__copy__()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle where the file is, not what is in it.

        Raises:
            ValueError: the file is closed.
        """
        self._source.opened()
        return _reopened, (self._source.identity, self._source.mmap, bool(self._packed))

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

    def _elsewhere(self) -> str:
        part = part_of(self._metadata)
        return "" if part is None else f"; it is {part}, and the others have the other tensors"

    def __getitem__(self, name: str) -> QTensor | PackedTensor | NDArray:
        """Return a tensor.

        Raises:
            KeyError: the file has no such tensor; the message has near names, and which part of a
                split model the file is.
            ValueError: the entry is at fault: its shape, its place in the file, or the depth that a
                key gives it. Also a file that is closed, or has shrunk.
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
        data = core.raw_tensor(index)  # which says what is wrong
        ndim = len(entry.shape)
        if (reason := entry.unread) is None and entry.fmt is not None:
            if ndim == 0 or entry.shape[-1] == 0 or self._is_array(entry):
                return self._floats(index, entry)
            if ndim <= MOST_RANK:
                tensor = QTensor(core.rows(index), entry.fmt, entry.shape)
                tensor._source = (self, name)
                return tensor
            reason = f"tensor {name!r} in {entry.fmt} has {ndim} dimensions, over {MOST_RANK}"
        if reason is None:
            return core.elements(index)
        kind = (entry.type_id, entry.type_name, entry.shape, entry.stored)
        # Not of the types that this returns, so that programs need not ask for what few files have.
        unread: Any = UnreadTensor(data, *kind, f"{self._source.path}: {reason}")
        return unread  # type: ignore[no-any-return]

    def _is_array(self, entry: _core.GGUFTensor) -> bool:
        """Whether NumPy has the type, and the tensor is neither a matrix nor a stack of them."""
        is_matrix = len(entry.shape) in MATRIX_NDIMS and 0 not in entry.shape
        return entry.fmt in NUMPY_FLOATS and not is_matrix

    def _floats(self, index: int, entry: _core.GGUFTensor) -> NDArray:
        """A view of floats that NumPy has; float32 for a bf16 scalar, and for no blocks at all."""
        core = self._source.opened()
        if entry.fmt in NUMPY_FLOATS:
            return core.elements(index)
        if 0 in entry.shape:
            return _frozen(np.empty(entry.shape, np.float32))
        return _widen(core.elements(index))

    def _matrices(self) -> dict[str, QTensor]:
        """The tensors that can be packed. Those that are not read are left alone."""
        core = self._source.opened()
        found: dict[str, QTensor] = {}
        for index, name in enumerate(core.tensor_names()):
            entry = core.tensor(index)
            if len(entry.shape) == 2 and entry.fmt and not entry.fault and 0 not in entry.shape:
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


def _reopened(identity: Identity, mmap: bool, packed: bool) -> GGUFFile:
    """What a pickle becomes."""
    file = GGUFFile.__new__(GGUFFile)
    file._start(reopen(identity, mmap))
    if packed:
        file._packed.update(pack_all(file._matrices()))
    return file


def _widen(bfloats: NDArray) -> NDArray:
    """bfloat16 bits as read-only float32."""
    return _frozen(np.asarray(bfloats.astype(np.uint32) << 16).view(np.float32))


def _frozen(array: NDArray) -> NDArray:
    array.flags.writeable = False
    return array
