"""int8 weights in the layouts of the streaming kernels, and their products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from qkernels import _core
from qkernels._base.frameworks import detached, is_torch
from qkernels._base.numbers import to_int

if TYPE_CHECKING:
    import torch

    from qkernels._base.frameworks import Array

BLOCK = 16  # columns come in multiples of this
MAX_PREFETCH = 1 << 16  # blocks: a mebibyte ahead


class Layout(NamedTuple):
    """Rows that lie together, and the bytes of each in turn; 0 where rows stay whole."""

    rows: int
    nbytes: int

    def shape_of(self, n: int, k: int) -> tuple[int, int, int, int]:
        """(groups, pieces, rows, bytes) of a matrix, padding included."""
        depth = math.ceil(k / BLOCK) * BLOCK
        nbytes = self.nbytes or depth
        return math.ceil(n / self.rows), depth // nbytes, self.rows, nbytes

    def __str__(self) -> str:
        """As messages name it."""
        if self.rows == 1:
            return "row after row"
        return f"{self.rows} rows, {self.nbytes or 'all'} bytes of each in turn"


_LAYOUTS = {name: Layout(*layout) for name, layout in _core.stream_layouts().items()}

KERNELS: tuple[str, ...] = tuple(_LAYOUTS)
"""The kernels' names; the first one, "scalar", is what the others are checked against."""


@dataclass(frozen=True, eq=False)
class PackedInt8:
    """An int8 matrix in the layout of a kernel.

    Attributes:
        data: int8 (groups, pieces, rows, bytes): the rows of a group lie together, some bytes of
            each in turn. Rows and columns past the shape are zero.
        shape: (n, k) before n was padded to whole groups and k to a multiple of 16.
        layout: rows that lie together, and the bytes of each in turn, or 0 for all.
    """

    data: NDArray[np.int8]
    shape: tuple[int, int]
    layout: Layout

    def __post_init__(self) -> None:
        """Refuse data of another shape (ValueError)."""
        if self.data.shape != (expected := self.layout.shape_of(*self.shape)):
            raise ValueError(
                f"data has shape {self.data.shape}; {self.layout} of {self.shape} is {expected}"
            )

    @property
    def nbytes(self) -> int:
        """The bytes that a product reads, padding included."""
        return self.data.nbytes


@overload
def gemv_i8(
    w: Array | PackedInt8, x: torch.Tensor, kernel: str, prefetch: int = 2
) -> torch.Tensor: ...


@overload
def gemv_i8(
    w: Array | PackedInt8, x: NDArray[np.int8], kernel: str, prefetch: int = 2
) -> NDArray[np.int32]: ...


def gemv_i8(w: Array | PackedInt8, x: Array, kernel: str, prefetch: int = 2) -> Array:
    """Multiply int8 weights by an int8 vector: y = w @ x, exactly.

    Args:
        w: int8 (n, k), or what the kernel's `pack4`, `pack4i` or `pack16i` made of it. An array is
            copied into the kernel's layout first, on every call, but for "scalar" and "dotprod" of
            C-ordered rows with k a multiple of 16. NumPy's or a CPU torch tensor, any strides.
        x: int8 (k,), likewise.
        kernel: one of `KERNELS`, in the variant of the ISA in use (`qkernels.info()["isa"]`).
        prefetch: how far ahead of what it reads the kernel prefetches, in blocks of 16 bytes:
            0 (not at all) to 65536.

    Returns:
        int32 (n,), the same for every kernel, ISA and distance; torch where x is.

    Raises:
        TypeError: w or x is not an int8 array, kernel is not a str, or prefetch no integer.
        ValueError: an unknown kernel, weights packed for another one, a wrong shape, k outside
            1..131071 (beyond which int32 does not hold every sum), or prefetch out of range.
    """
    packed = w if isinstance(w, PackedInt8) else pack_for(w, kernel)
    _require_layout(packed, kernel)
    n, k = packed.shape
    vector = _int8(x, "x")
    if vector.shape != (k,):
        raise ValueError(f"x has shape {vector.shape}; weights of shape ({n}, {k}) take ({k},)")
    distance = to_int(prefetch, "prefetch")
    if not 0 <= distance <= MAX_PREFETCH:
        raise ValueError(f"prefetch={distance} is outside 0..{MAX_PREFETCH} blocks of 16 bytes")
    _, y = _core.stream_gemv(packed.data[None], vector, kernel, distance, first=0, iterations=1)
    if not is_torch(x):
        return y[:n]
    import torch as torch_module

    return torch_module.from_numpy(y)[:n]


def pack4(w: Array) -> PackedInt8:
    """Groups of four whole rows, for "dotprod4": data of shape (groups, 1, 4, k padded to 16).

    Args:
        w: int8 (n, k), NumPy's or a CPU torch tensor; n is padded to a multiple of 4.

    Raises:
        TypeError: w is not an int8 array.
        ValueError: w is not a matrix, or k = 0.
    """
    return _pack(w, _LAYOUTS["dotprod4"])


def pack4i(w: Array) -> PackedInt8:
    """Four rows in turn, 16 bytes of each, for "dotprod4i": data (groups, k / 16, 4, 16).

    Args:
        w: int8 (n, k); n is padded to a multiple of 4, k to one of 16.

    Raises:
        TypeError, ValueError: as `pack4`.
    """
    return _pack(w, _LAYOUTS["dotprod4i"])


def pack16i(w: Array) -> PackedInt8:
    """Sixteen rows in turn, 4 bytes of each, for "dotprod16i": data (groups, k / 4, 16, 4).

    A vector's lanes are then rows, as in the library's own panels on AVX-512.

    Args:
        w: int8 (n, k); n and k are padded to multiples of 16.

    Raises:
        TypeError, ValueError: as `pack4`.
    """
    return _pack(w, _LAYOUTS["dotprod16i"])


def unpack4(packed: PackedInt8) -> NDArray[np.int8]:
    """The matrix that `pack4` was given, int8 (n, k).

    Raises:
        TypeError: not a `PackedInt8`.
        ValueError: packed by another function.
    """
    return _unpack(packed, "dotprod4")


def unpack4i(packed: PackedInt8) -> NDArray[np.int8]:
    """The matrix that `pack4i` was given, int8 (n, k).

    Raises:
        TypeError, ValueError: as `unpack4`.
    """
    return _unpack(packed, "dotprod4i")


def unpack16i(packed: PackedInt8) -> NDArray[np.int8]:
    """The matrix that `pack16i` was given, int8 (n, k).

    Raises:
        TypeError, ValueError: as `unpack4`.
    """
    return _unpack(packed, "dotprod16i")


def layout_of(kernel: str) -> Layout:
    """How the weights of a kernel lie.

    Raises:
        TypeError: not a str.
        ValueError: no kernel's name.
    """
    if not isinstance(kernel, str):
        raise TypeError(f"kernel must be a str, not {type(kernel).__name__}")
    if kernel not in _LAYOUTS:
        raise ValueError(f"kernel={kernel!r} is not one of {', '.join(KERNELS)}")
    return _LAYOUTS[kernel]


def pack_for(w: Array, kernel: str) -> PackedInt8:
    """int8 (n, k) in the layout of a kernel; rows that lie as it wants them are not copied.

    Raises:
        TypeError, ValueError: as `gemv_i8`.
    """
    return _pack(w, layout_of(kernel))


def _require_layout(packed: PackedInt8, kernel: str) -> None:
    wanted = layout_of(kernel)
    if packed.layout != wanted:
        raise ValueError(f"{kernel} takes {wanted}; the weights have {packed.layout}")


def _int8(array: Any, what: str) -> NDArray[np.int8]:
    """A NumPy view of an int8 array or tensor."""
    if not isinstance(array, np.ndarray) and not is_torch(array):
        raise TypeError(
            f"{what} must be a NumPy array or a torch tensor, not {type(array).__name__}"
        )
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array; fill it first, as in {what}.filled(0)")
    if str(array.dtype).removeprefix("torch.") != "int8":
        raise TypeError(f"{what} has dtype {array.dtype}; expected int8")
    return np.asarray(detached(array, what))


def _pack(weights: Array, layout: Layout) -> PackedInt8:
    w = _int8(weights, "w")
    if w.ndim != 2 or w.shape[1] == 0:
        raise ValueError(f"w has shape {w.shape}; expected (n, k) with k of at least 1")
    n, k = w.shape
    groups, pieces_of_row, rows, nbytes = shape = layout.shape_of(n, k)
    depth = pieces_of_row * nbytes
    if rows == 1 and depth == k and w.flags.c_contiguous:
        return PackedInt8(w.reshape(shape), (n, k), layout)
    padded = np.zeros((groups * rows, depth), np.int8)
    padded[:n, :k] = w
    # Pieces move as wholes: one element of `nbytes` bytes each.
    pieces = padded.view(f"V{nbytes}").reshape(groups, rows, pieces_of_row)
    turned = np.ascontiguousarray(pieces.swapaxes(1, 2))
    return PackedInt8(turned[..., None].view(np.int8), (n, k), layout)


def _unpack(packed: PackedInt8, kernel: str) -> NDArray[np.int8]:
    if not isinstance(packed, PackedInt8):
        raise TypeError(f"packed must be a PackedInt8, not {type(packed).__name__}")
    _require_layout(packed, kernel)
    groups, pieces, rows, nbytes = packed.data.shape
    n, k = packed.shape
    matrix = packed.data.swapaxes(1, 2).reshape(groups * rows, pieces * nbytes)
    return np.ascontiguousarray(matrix[:n, :k])
