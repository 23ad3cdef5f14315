"""What `save_gguf` is handed as tensors, as entries of a file's table."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._frameworks import is_torch, plain
from .gguf_file import GGUFFile
from .metadata_values import _check_utf8, text_bytes
from .packed import PackedTensor
from .save_format import TensorEntry
from .tensor import QTensor
from .unread import UnreadTensor

if TYPE_CHECKING:
    from ._frameworks import Array

NDArray = np.ndarray[Any, Any]

MOST_DIMS = 4  # that ggml reads
MOST_NAME_BYTES = 63  # as well
BFLOAT16 = 30
ARRAY_TYPES = {"float32": 0, "float16": 1, "int8": 24, "int16": 25, "int32": 26, "int64": 27} | {
    "float64": 28,
    "bfloat16": BFLOAT16,
}


def check_name(name: object) -> str:
    """A tensor's name that every reader of GGUF files takes.

    Raises:
        TypeError: it is no str.
        ValueError: it has 64 bytes or more, holds a null character, or is no UTF-8.
    """
    if not isinstance(name, str):
        raise TypeError(f"a tensor's name is a str, not {type(name).__name__}: {name!r}"[:200])
    raw = text_bytes(name, "a tensor's name")[8:]
    if len(raw) > MOST_NAME_BYTES:
        raise ValueError(
            f"tensor name {name[:80]!r} has {len(raw)} bytes; ggml reads at most {MOST_NAME_BYTES}"
        )
    if b"\0" in raw:
        raise ValueError(f"tensor name {name!r} holds a null character, where ggml ends it")
    _check_utf8(raw, f"tensor name {name!r}")
    return name


def entries_of(
    tensors: Mapping[str, Any],
) -> dict[str, tuple[TensorEntry, tuple[int, ...]]]:
    """The entries of some tensors, each with the shape that it has without padding.

    Those of a GGUFFile are copied as they are, whatever they are. Others are held to what ggml and
    the gguf package read.

    Raises:
        TypeError, ValueError: as `save_gguf`.
    """
    if isinstance(tensors, GGUFFile):
        return dict(_copied(tensors, i, name) for i, name in enumerate(tensors))
    if not isinstance(tensors, Mapping):
        raise TypeError(f"tensors are a mapping of names to tensors, not {type(tensors).__name__}")
    found = {}
    for name, tensor in tensors.items():
        entry = entry_of(check_name(name), tensor)
        if len(entry.shape) > MOST_DIMS:
            raise ValueError(
                f"tensor {name!r} has {len(entry.shape)} dimensions;"
                f" files have at most {MOST_DIMS}, as ggml reads no more"
            )
        found[name] = entry, _shape_of(tensor)
    return found


def _copied(file: GGUFFile, index: int, name: str) -> tuple[str, tuple[TensorEntry, Any]]:
    core = file._source.opened()
    entry = core.tensor(index)
    data = core.raw_tensor(index)
    copied = TensorEntry(name, entry.stored, entry.type_id, data.nbytes, lambda: [data])
    return name, (copied, entry.shape)


def _shape_of(tensor: Any) -> tuple[int, ...]:
    return tuple(getattr(tensor, "shape", ()))


def whole_blocks(
    name: str, fmt: str, shape: tuple[int, ...], pieces: Callable[[], Iterable[NDArray]]
) -> TensorEntry:
    """A tensor in a format as a file holds it: rows of whole blocks.

    Raises:
        ValueError: a format without a GGUF id.
    """
    info = _core.format_info(fmt)
    type_id, block, block_bytes = info.gguf_id, info.block, info.block_bytes
    if type_id is None:
        raise ValueError(f"tensor {name!r} is in {fmt}, which GGUF files do not have")
    blocks = -(-shape[-1] // block)
    nbytes = math.prod(shape[:-1]) * blocks * block_bytes
    return TensorEntry(name, (*shape[:-1], blocks * block), type_id, nbytes, pieces)


def entry_of(name: str, tensor: QTensor | PackedTensor | UnreadTensor | Array) -> TensorEntry:
    """A tensor as it is written.

    Raises:
        TypeError, ValueError: as `save_gguf`.
    """
    if isinstance(tensor, (QTensor, PackedTensor)):
        return whole_blocks(name, tensor.fmt, tensor.shape, lambda: [_blocks_of(tensor)])
    if isinstance(tensor, UnreadTensor):
        data, stored = tensor.data, tensor._stored
        return TensorEntry(name, stored, tensor.type_id, data.nbytes, lambda: [data])
    array, type_name = _array_of(name, tensor)
    if type_name == "bfloat16" and array.ndim == 0:
        raise ValueError(
            f"tensor {name!r} is a bfloat16 without dimensions, which the gguf package does not"
            " read; reshape it to (1,)"
        )
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return TensorEntry(name, array.shape, ARRAY_TYPES[type_name], array.nbytes, lambda: [little])


def _blocks_of(tensor: QTensor | PackedTensor) -> NDArray:
    data = tensor.unpack().data if isinstance(tensor, PackedTensor) else tensor.data
    return np.asarray(data)


def _array_of(name: str, tensor: Any) -> tuple[NDArray, str]:
    """An array of NumPy's, and the name of its type; bfloat16 as uint16.

    Raises:
        TypeError: a kind or a type that GGUF files do not have.
    """
    if is_torch(tensor):
        array, type_name = _from_torch(name, tensor)
    else:
        array = _from_numpy(name, tensor)
        type_name = array.dtype.name
        if type_name == "bfloat16":
            array = array.view(np.uint16)
    if type_name not in ARRAY_TYPES:
        raise TypeError(
            f"tensor {name!r} is {type_name}; expected weights, floats or signed integers"
        )
    return array, type_name


def _from_torch(name: str, tensor: Any) -> tuple[NDArray, str]:
    type_name = str(tensor.dtype).removeprefix("torch.")
    dense = plain(tensor.detach(), f"tensor {name!r}")
    try:
        dense = dense.resolve_conj().resolve_neg()
        if type_name == "bfloat16":
            dense = dense.contiguous()
            flat = dense.view(-1).view(sys.modules["torch"].uint8)
            return flat.numpy().view(np.uint16).reshape(tuple(dense.shape)), type_name
        return dense.numpy(), type_name
    except (TypeError, RuntimeError, BufferError) as error:
        raise TypeError(f"tensor {name!r} is a torch tensor of {type_name}: {error}") from None


def _from_numpy(name: str, tensor: Any) -> NDArray:
    if isinstance(tensor, np.ma.MaskedArray):
        raise TypeError(f"tensor {name!r} is a masked array; fill it first, as in x.filled(0)")
    is_array = isinstance(tensor, (np.ndarray, np.generic)) or hasattr(tensor, "__array__")
    if not is_array and not hasattr(tensor, "__dlpack__"):
        kind = type(tensor).__name__
        raise TypeError(f"tensor {name!r} is {kind}; expected weights, floats or signed integers")
    try:
        array = np.asanyarray(tensor) if is_array else np.from_dlpack(tensor)
    except (TypeError, RuntimeError, BufferError) as error:
        raise TypeError(f"tensor {name!r} is {type(tensor).__name__}: {error}") from None
    if isinstance(array, np.ma.MaskedArray):  # of an object's own conversion
        return _from_numpy(name, array)
    return np.asarray(array)
