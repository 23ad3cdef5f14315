"""The quadratic that gates minimise, from products that are computed once.

With a gate g_b for each block b of columns, y(g) = sum_b g_b W_b x_b, so what the gates change is

    mean over samples of ||y(g) - y(1)||^2 = (g - 1)^T G (g - 1)
    G[a, b] = mean over samples of <W_a x_a, W_b x_b>

G is (blocks, blocks) whatever n, k and the number of samples: once it is there, the weights are not
read again. Groups of rows with gates of their own have a G each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qkernels import _core
from qkernels._arrays import reals
from qkernels._frameworks import integer
from qkernels._ops import dequantize, gemm
from qkernels.gates.progress import bar
from qkernels.packed import PackedTensor
from qkernels.tensor import QTensor

Array = NDArray[Any]

# What is multiplied, or decoded, at once: 4 million floats.
_FLOATS_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Quadratic:
    """What gates change of a matrix's output for some inputs.

    Attributes:
        gram: float64 (groups, blocks, blocks): for each group of rows, the G above.
        shape: (n, k) of the weights.
        block_k: columns of a block; the last one may have fewer.
        row_group: rows of a group; the last one may have fewer. n where all rows share their gates.
        samples: how many inputs there were.
    """

    gram: NDArray[np.float64]
    shape: tuple[int, int]
    block_k: int
    row_group: int
    samples: int

    @classmethod
    def of(
        cls,
        w: QTensor | Array,
        x: Array,
        *,
        block_k: int = 32,
        row_group: int | None = None,
        threads: int | None = None,
    ) -> Quadratic:
        """Multiply every block of columns by every input, and keep the products' products.

        Quantised weights are multiplied as they are where `block_k` is a multiple of the format's
        block, and otherwise decoded some rows at a time.

        Args:
            w: a QTensor of shape (n, k) in any format, or a real array.
            x: the inputs, a real array (samples, k) or (k,).
            block_k: columns of a block, 1 to k.
            row_group: rows that share gates, 1 to n; all of them when None.
            threads: 1 to 256 for quantised weights, instead of the default.

        Raises:
            TypeError: w or x is not of those kinds.
            ValueError: shapes that do not fit together, a size out of range, or values that are not
                finite.
        """
        weights, inputs = _checked_weights(w), _checked_inputs(x)
        n, k = weights.shape
        if inputs.shape[1] != k:
            raise ValueError(f"x has k={inputs.shape[1]}, the weights have k={k}")
        block_k = _in_range(block_k, k, "block_k")
        row_group = _in_range(n if row_group is None else row_group, n, "row_group")
        blocks, groups = -(-k // block_k), -(-n // row_group)
        gram = np.zeros((groups, blocks, blocks))
        at_once = max(1, _FLOATS_AT_ONCE // max(blocks * len(inputs), k))
        pieces = [(g, a, b) for g in range(groups) for a, b in _pieces(g, row_group, n, at_once)]
        # Products that overflow are reported below, and not by a warning a block.
        with np.errstate(over="ignore", invalid="ignore"):
            for group, begin, end in bar(pieces, "multiplying blocks"):
                products = _products(weights[begin:end], inputs, block_k, threads)
                gram[group] += products @ products.T
            gram /= len(inputs)
        if not np.isfinite(gram).all():
            raise ValueError("products of weights and x are not finite, or too large to square")
        return cls(gram, (n, k), block_k, row_group, len(inputs))

    @property
    def blocks(self) -> int:
        """The number of blocks of columns."""
        return int(self.gram.shape[1])

    @property
    def groups(self) -> int:
        """The number of groups of rows."""
        return int(self.gram.shape[0])

    @property
    def energy(self) -> float:
        """The mean over samples of ||y(1)||^2."""
        return float(self.gram.sum())

    @property
    def curvature(self) -> float:
        """The largest eigenvalue of any group's Gram matrix: a step of 1 / curvature descends."""
        return float(np.linalg.eigvalsh(self.gram).max())

    def slope(self, gates: NDArray[np.float64]) -> NDArray[np.float64]:
        """G (g - 1), the gradient of half the squared error, for gates (groups, blocks)."""
        slope: NDArray[np.float64] = (self.gram @ (gates - 1.0)[..., None])[..., 0]
        return slope

    def squared_error(self, gates: NDArray[np.float64] | NDArray[np.bool_]) -> float:
        """The mean over samples of ||y(g) - y(1)||^2, for gates or a mask (groups, blocks)."""
        change = gates.astype(np.float64) - 1.0
        # Rounding may leave a sum of squares below 0.
        return max(0.0, float(np.sum(change * (self.gram @ change[..., None])[..., 0])))


def _pieces(group: int, row_group: int, n: int, at_once: int) -> Iterator[tuple[int, int]]:
    """The rows of a group, (begin, end) of at most `at_once` of them at a time."""
    last = min((group + 1) * row_group, n)
    for begin in range(group * row_group, last, at_once):
        yield begin, min(begin + at_once, last)


def _products(rows: QTensor | Array, x: Array, block_k: int, threads: int | None) -> Array:
    """W_b x_b of every block: (blocks, r * samples) for r rows, in an order that all blocks share.

    Squares are summed in the products' own precision, over some thousand of them at a time.
    """
    if not isinstance(rows, QTensor):
        precise = np.float64 in (rows.dtype, x.dtype)
        kind = np.float64 if precise else np.float32
        return _dense_products(rows.astype(kind, copy=False), x.astype(kind, copy=False), block_k)
    x = x.astype(np.float32, copy=False)
    k = rows.shape[1]
    if block_k % _core.format_info(rows.fmt).block and block_k != k:
        decoded = np.asarray(dequantize(rows, threads=threads))
        return _dense_products(decoded, x, block_k)
    products = np.empty((-(-k // block_k), len(x) * len(rows)), np.float32)
    for b, begin in enumerate(range(0, k, block_k)):
        part = slice(begin, min(begin + block_k, k))
        product = gemm(rows[:, part], x[:, part], act="float32", threads=threads)
        products[b] = product.reshape(-1)
    return products


def _dense_products(rows: Array, x: Array, block_k: int) -> Array:
    """The same for floats: one batch of BLAS products over views of rows (r, k), x (samples, k)."""
    (r, k), samples = rows.shape, len(x)
    whole, cut = k // block_k, k // block_k * block_k
    products = np.empty((-(-k // block_k), r, samples), rows.dtype)
    by_block = rows[:, :cut].reshape(r, whole, block_k).transpose(1, 0, 2)
    inputs = x[:, :cut].reshape(samples, whole, block_k).transpose(1, 2, 0)
    np.matmul(by_block, inputs, out=products[:whole])
    if cut < k:
        np.matmul(rows[:, cut:], x[:, cut:].T, out=products[whole])
    return products.reshape(len(products), -1)


def _in_range(value: int, most: int, what: str) -> int:
    number = integer(value, what)
    if not 1 <= number <= most:
        raise ValueError(f"{what}={number} is outside 1..{most}")
    return number


def _checked_weights(w: object) -> QTensor | Array:
    if isinstance(w, PackedTensor):
        raise TypeError("w is packed, and gates take blocks: .unpack(), or file.unpacked(name)")
    if isinstance(w, QTensor):
        if w.ndim != 2 or not w.size:
            raise ValueError(f"gates take a matrix, not weights of shape {w.shape}; see w[e]")
        return w
    array = _real(w, "w")
    if array.ndim != 2 or not array.size:
        raise ValueError(f"w has shape {array.shape}, expected (n, k)")
    return array


def _checked_inputs(x: object) -> Array:
    array = _real(x, "x")
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"x has shape {array.shape}, expected (samples, k)")
    if not np.isfinite(array).all():
        raise ValueError("x holds values that are not finite")
    return array.reshape(-1, array.shape[-1])


def _real(value: object, what: str) -> Array:
    if not hasattr(value, "__array__") and not isinstance(value, (list, tuple)):
        raise TypeError(f"{what} must be a QTensor or an array, not {type(value).__name__}")
    return reals(value, what)
