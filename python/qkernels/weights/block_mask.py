"""Which blocks of columns are kept: masks of bool, and gates that training gave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qkernels._base.arrays import as_array
from qkernels._base.frameworks import is_torch
from qkernels._base.numbers import to_int


class BlockGates(ABC):
    """Gates that know the weights that they are for, as a `qkernels.gates.GateResult` does.

    Attributes:
        shape: (n, k) of the weights.
        block_k: columns of a block; the last one may have fewer.
        row_group: rows of a group; None where all rows share their gates.
    """

    shape: tuple[int, int]
    block_k: int
    row_group: int | None

    @property
    @abstractmethod
    def mask(self) -> NDArray[np.bool_]:
        """Which blocks are kept: (blocks,), or with groups of rows (groups, blocks)."""


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
        from qkernels import torch as qk_torch

        return qk_torch.detached(gates, "gates").numpy()
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
        if isinstance(gates, BlockGates):
            if block_k is not None:
                raise TypeError(f"block_k={block_k} is for a mask; these gates have their own")
            if gates.shape[1] != k or (gates.row_group is not None and gates.shape[0] != n):
                raise ValueError(f"gates for weights of {gates.shape}, the weights have {(n, k)}")
            rows = n if gates.row_group is None else gates.row_group
            return cls(np.atleast_2d(gates.mask), gates.block_k, rows, n, k)
        keep = mask_array(gates)
        if keep.dtype != np.bool_:
            raise TypeError(not_bool(keep))
        width = 1 if block_k is None else to_int(block_k, "block_k")
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
