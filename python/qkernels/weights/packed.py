"""PackedTensor: weights in the layout that the fastest kernels read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qkernels import _core
from qkernels._base.threads import thread_count
from qkernels.weights.blocks import decode
from qkernels.weights.core_weights import CoreWeights

if TYPE_CHECKING:
    import numpy as np

    from qkernels.weights.qtensor import QTensor


class PackedTensor(CoreWeights):
    """A matrix of quantised weights in panels: the blocks of 4 to 16 rows, side by side.

    `QTensor.pack()` makes one; `gemv`, `gemm`, `get_rows` and `dequantize` take it where they take
    a QTensor. It has the same bytes as the blocks, rearranged, or for iq1, iq2 and iq3 four bits a
    weight instead of their grids' indices, and zeros where the last panel has fewer rows. How many
    rows a panel has depends on the ISA: weights that were packed for another are refused.
    """

    __slots__ = ("_shape",)

    def __init__(self, weights: _core.Weights) -> None:
        if not isinstance(weights, _core.Weights):
            raise TypeError(
                f"a PackedTensor is what QTensor.pack() returns, not made of {weights!r:.80}"
            )
        if weights.isa is None:
            raise ValueError("the weights are not packed; QTensor.pack() packs them")
        self._weights = weights
        self._shape = (int(weights.shape[0]), int(weights.shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)."""
        return self._shape

    @property
    def isa(self) -> str:
        """The ISA whose kernels read this layout, such as "avx2"."""
        return str(self._weights.isa)

    @property
    def layout(self) -> str:
        """The layout and its version, such as "panels of 16 rows, version 1"."""
        return f"panels of {self._weights.panel_rows} rows, version 1"

    @property
    def nbytes(self) -> int:
        """The bytes of all panels."""
        rows = self._weights.panel_rows
        return -(-self._shape[0] // rows) * rows * self._weights.row_bytes

    def unpack(self, *, threads: int | None = None) -> QTensor:
        """The weights as they were before, with the same bytes in their blocks.

        Only what decoding ignores is not kept: the unused bytes of q8_ks come back as zeros, the
        sums of q8_k as those of its quants, and a byte of tq1_0 that has the digits of another as
        the one that a quantiser writes.
        """
        from qkernels.weights.qtensor import QTensor

        return QTensor(self._weights.unpack(thread_count(threads)), self.fmt, self._shape)

    def dequantize(self) -> np.ndarray[Any, Any]:
        """The weights in float32, of this shape: the same as the blocks'."""
        dense: np.ndarray[Any, Any] = self._decode(
            rows=None, dtype="float32", out=None, threads=None
        )
        return dense

    def _decode(self, *, rows: slice | None, dtype: Any, out: Any, threads: int | None) -> Any:
        if rows is not None:
            raise TypeError("packed weights have no slices; get_rows decodes some of their rows")
        return decode(self._weights, like_torch=False, dtype=dtype, out=out, threads=threads)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the blocks, which are packed again for the ISA where they arrive."""
        return _packed, (self.unpack(),)

    def __repr__(self) -> str:
        """Format, shape, size and ISA in one line."""
        return f"PackedTensor({self.fmt}, shape={self._shape}, {self.nbytes:,} bytes, {self.isa})"


def _packed(weights: QTensor) -> PackedTensor:
    """What a pickle becomes."""
    return weights.pack()
