"""GatedTensor: weights in panels without the blocks of columns that gates drop.

Reading less of a matrix pays only where what is left out is not in the way. Memory is read ahead in
order, and a row with holes of a block or two is read slower than a whole one; so the blocks that
are kept are copied next to each other, and x is gathered to match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qkernels import _core
from qkernels.weights.base import WeightsBase
from qkernels.weights.grouped import Options, as_tensor_like, multiply_by_groups
from qkernels.weights.matmul import multiply, operand
from qkernels.weights.qtensor import QTensor

if TYPE_CHECKING:
    from qkernels.weights.block_mask import BlockMask
    from qkernels.weights.packed import PackedTensor


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

    def _product(
        self, x: Any, *, bias: Any, act: str, out: Any, threads: int | None, vector: bool
    ) -> Any:
        if not vector:
            raise TypeError("gated weights multiply one vector: see gated_gemv")
        options = Options(bias=bias, act=act, out=out, threads=threads)
        result = multiply_by_groups(self._parts, self._mask, x, options, gather=True)
        return result if out is not None else as_tensor_like(x, result)

    def __matmul__(self, x: Any) -> Any:
        """weights @ x without the dropped columns, for x of shape (k,)."""
        x = operand(x)
        return x if x is NotImplemented else multiply(self, x)

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
    width = -(-block_k // info.block) * info.block_bytes
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
