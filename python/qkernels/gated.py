"""GatedTensor: weights in panels without the blocks of columns that gates drop.

Reading less of a matrix pays only where what is left out is not in the way. Memory is read ahead in
order, and a row with holes of a block or two is read slower than a whole one; so the blocks that
are kept are copied next to each other, and x is gathered to match.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._arrays import as_array
from ._base import WeightsBase
from ._frameworks import integer, is_torch
from .tensor import QTensor

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from .gates import GateResult
    from .packed import PackedTensor


def is_trained(gates: object) -> TypeIs[GateResult]:
    """Whether gates are a `GateResult`, of which there is none before its module is there."""
    module = sys.modules.get("qkernels.gates.result")
    return module is not None and isinstance(gates, module.GateResult)


def not_bool(gates: NDArray[Any]) -> str:
    """What is wrong with a mask of another dtype."""
    return (
        f"gates must be a GateResult or an array of bool, not of {gates.dtype};"
        " gates >= threshold makes one"
    )


def mask_array(gates: Any) -> NDArray[Any]:
    """A mask as an array, of whatever dtype.

    Raises:
        TypeError: it is no array, or a masked one.
    """
    if is_torch(gates):
        from . import torch as qk_torch

        return qk_torch.plain(gates, "gates").numpy()
    return as_array(gates, "gates")


class BlockMask(NamedTuple):
    """Which blocks of columns are kept, by groups of rows.

    Attributes:
        keep: bool (groups, blocks).
        block_k: columns of a block; the last one may have fewer.
        row_group: rows of a group; the last one may have fewer.
        n: rows of the weights.
        k: their columns.
    """

    keep: NDArray[np.bool_]
    block_k: int
    row_group: int
    n: int
    k: int

    @classmethod
    def of(cls, gates: object, block_k: int | None, n: int, k: int) -> BlockMask:
        """The mask of trained gates, or of an array of bool, for weights of shape (n, k).

        Raises:
            TypeError: gates are neither; or `block_k` is given with trained gates, which have one.
            ValueError: they are for another shape.
        """
        if is_trained(gates):
            if block_k is not None:
                raise TypeError(f"block_k={block_k} is for a mask; these gates have their own")
            if gates.shape[1] != k or (gates.row_group is not None and gates.shape[0] != n):
                raise ValueError(f"gates for weights of {gates.shape}, the weights have {(n, k)}")
            rows = n if gates.row_group is None else gates.row_group
            return cls(np.atleast_2d(gates.mask), gates.block_k, rows, n, k)
        keep = mask_array(gates)
        if keep.dtype != np.bool_:
            raise TypeError(not_bool(keep))
        width = 1 if block_k is None else integer(block_k, "block_k")
        if not 1 <= width <= k:
            raise ValueError(f"block_k={width} is outside 1..{k}")
        if keep.shape != (-(-k // width),):
            raise ValueError(
                f"a mask of shape {keep.shape}; k={k} has {-(-k // width)} blocks of {width}"
            )
        return cls(keep[None], width, n, n, k)

    def frozen(self) -> BlockMask:
        """The same, in memory of its own: whoever made the mask may change it."""
        keep = self.keep.copy()
        keep.setflags(write=False)
        return self._replace(keep=keep)

    def rows(self) -> list[slice]:
        """The rows of each group."""
        begins = range(0, self.n, self.row_group)
        return [slice(begin, min(begin + self.row_group, self.n)) for begin in begins]


class GatedTensor(WeightsBase):
    """A matrix in panels without the blocks of columns that gates drop: `QTensor.pack(gates=...)`.

    `gated_gemv` multiplies by it, and so does `weights @ x` for x of shape (k,).
    """

    __slots__ = ("_fmt", "_mask", "_parts", "_shape")

    def __init__(
        self, weights: QTensor, mask: BlockMask, threads: int | None, huge_pages: bool
    ) -> None:
        if not isinstance(weights, QTensor):
            raise TypeError(
                f"a GatedTensor is what QTensor.pack(gates=...) returns, not of {weights!r:.80}"
            )
        if weights.ndim != 2:
            raise ValueError(f"pack takes a matrix, not weights of {weights.shape}; see w[e]")
        n, k = weights.shape
        block = _core.format_info(weights.fmt).block
        if mask.block_k % block and mask.block_k != k:
            raise ValueError(
                f"block_k={mask.block_k} is no multiple of the {block} weights of a"
                f" {weights.fmt} block, which panels keep or leave out as a whole; train gates"
                f" with block_k={max(1, mask.block_k // block) * block}"
            )
        self._shape = (n, k)
        self._fmt = weights.fmt
        self._mask = mask.frozen()
        self._parts: list[PackedTensor | None] = []
        for rows, kept in zip(mask.rows(), self._mask.keep, strict=True):
            columns = _kept_columns(weights[rows], kept, mask.block_k)
            if columns is None:
                self._parts.append(None)
            else:
                self._parts.append(columns.pack(threads=threads, huge_pages=huge_pages))

    @property
    def parts(self) -> list[PackedTensor | None]:
        """The panels of each group of rows; None where nothing is kept."""
        return self._parts

    @property
    def block_mask(self) -> BlockMask:
        """What is kept, by groups of rows."""
        return self._mask

    @property
    def fmt(self) -> str:
        """The format's name in lower case, such as "q4_k"."""
        return self._fmt

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k) of the whole matrix, dropped columns included."""
        return self._shape

    @property
    def block_k(self) -> int:
        """Columns of a block; the last one may have fewer."""
        return self._mask.block_k

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which blocks are kept: (blocks,), or with groups of rows (groups, blocks)."""
        return self._mask.keep[0] if len(self._mask.keep) == 1 else self._mask.keep

    @property
    def nbytes(self) -> int:
        """The bytes of all panels."""
        return sum(part.nbytes for part in self._parts if part is not None)

    def __matmul__(self, x: Any) -> Any:
        """weights @ x without the dropped columns, for x of shape (k,)."""
        from ._gated import gated_gemv
        from ._matmul import operand

        x = operand(x)
        return x if x is NotImplemented else gated_gemv(self, x)

    def __array__(self, *args: object, **kwargs: object) -> NDArray[Any]:
        """Refused: the dropped columns are not there."""
        raise TypeError("gated weights do not turn into an array; the QTensor has all columns")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the mask and the kept blocks, which are packed again where they arrive."""
        return _of_parts, (self._shape, self._fmt, self._mask, self._parts)

    def __repr__(self) -> str:
        """Format, shape, size, and how much is kept, in one line."""
        kept, blocks = np.count_nonzero(self._mask.keep), self._mask.keep.size
        return (
            f"GatedTensor({self._fmt}, shape={self._shape}, {self.nbytes:,} bytes,"
            f" {kept} of {blocks} blocks of {self.block_k} columns)"
        )


def _of_parts(
    shape: tuple[int, int], fmt: str, mask: BlockMask, parts: list[PackedTensor | None]
) -> GatedTensor:
    """What a pickle becomes."""
    gated = GatedTensor.__new__(GatedTensor)
    gated._shape, gated._fmt, gated._mask, gated._parts = shape, fmt, mask.frozen(), parts
    return gated


def _kept_columns(weights: QTensor, keep: NDArray[np.bool_], block_k: int) -> QTensor | None:
    """A copy of the blocks of columns that are kept, as a matrix; None where none is."""
    n, k = weights.shape
    info = _core.format_info(weights.fmt)
    block, nbytes = info.block, info.block_bytes
    width = -(-block_k // block) * nbytes
    data = np.asarray(weights.data)
    edges = np.flatnonzero(np.diff(keep, prepend=False, append=False)).tolist()
    runs = list(zip(edges[::2], edges[1::2], strict=True))
    if not runs:
        return None
    pieces = [data[:, a * width : b * width] for a, b in runs]
    # Where rows repeat one another, concatenate() would lay out columns.
    kept = np.ascontiguousarray(np.concatenate(pieces, axis=1))
    depth = sum(min(b * block_k, k) - a * block_k for a, b in runs)
    return QTensor(kept, weights.fmt, (n, depth))
