"""QTensor: an immutable view of quantised weights."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from qkernels import _core
from qkernels._base.frameworks import detached, is_torch
from qkernels._base.threads import thread_count
from qkernels.weights.block_mask import BlockGates, BlockMask
from qkernels.weights.blocks import decode
from qkernels.weights.core_weights import CoreWeights
from qkernels.weights.indexing import dimensions, reshaped, select, viewed
from qkernels.weights.packed import PackedTensor
from qkernels.weights.raw_ints import RawInts, raw_ints

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from gguf import GGMLQuantizationType
    from numpy.typing import NDArray

    from qkernels._base.frameworks import Array
    from qkernels.cuda import CudaTensor
    from qkernels.weights.gated import GatedTensor
    from qkernels.weights.indexing import Index


class QTensor(CoreWeights):
    """Quantised weights: a matrix of n rows of k weights, a vector, or a stack of any rank.

    Args:
        data: uint8 of shape (..., row_bytes), where a row is ceil(k / block) blocks. A NumPy array
            or a CPU torch tensor; kept, never copied. Rows must be contiguous, other strides may be
            anything that is not negative.
        fmt: a format's name in any case, such as "q4_k", or a `gguf.GGMLQuantizationType`.
        shape: (n, k) for a matrix, (k,) for a vector, (..., n, k) for a stack, of at most 8
            dimensions. k need not be a multiple of the block: x counts as zero past it. k is at
            least 1; other dimensions may be 0.

    Raises:
        TypeError: data is not an array of uint8, fmt not a format, or shape not of integers.
        ValueError: an unknown format, or a shape that the data does not have.
    """

    __slots__ = ("_data", "_shape", "_source")

    def __init__(
        self, data: Array, fmt: str | GGMLQuantizationType, shape: tuple[int, ...]
    ) -> None:
        dims = dimensions(shape)
        if not dims:
            raise ValueError("shape () has no dimensions; the last one is k")
        if abs(dims[-1]) >= 2**63:
            raise ValueError(f"k={dims[-1]} is outside 1..2^63 - 1")
        self._weights = _core.Weights(detached(data, "weights"), fmt, dims[-1])
        if self._weights.shape != dims:
            raise ValueError(
                f"shape {dims} does not match the data, which holds {self._weights.shape}"
            )
        self._data = data
        self._shape = dims
        # (file, name) of a whole tensor of a GGUFFile, which pickles as that.
        self._source: tuple[Any, str] | None = None

    @property
    def data(self) -> Array:
        """The bytes, uint8 (..., row_bytes), as they were given."""
        return self._data

    @property
    def format_name(self) -> str:
        """The format's name as GGUF writes it, such as "Q4_K"."""
        return self.fmt.upper()

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, k), or whatever was given."""
        return self._shape

    @property
    def row_bytes(self) -> int:
        """The bytes of one row's blocks."""
        return self._weights.row_bytes

    @property
    def nbytes(self) -> int:
        """The bytes of all blocks."""
        return self.size // self._shape[-1] * self.row_bytes

    @property
    def compression_ratio(self) -> float:
        """How many times smaller than the same weights in float32."""
        return 4 * self._shape[-1] / self.row_bytes

    @property
    def device(self) -> str:
        """Where the bytes lie: "cpu". What `to()` makes says otherwise."""
        return "cpu"

    def dequantize(self) -> Array:
        """The weights in float32, of this shape; torch where `data` is a torch tensor."""
        dense: Array = self._decode(rows=None, dtype="float32", out=None, threads=None)
        return dense

    def _decode(self, *, rows: slice | None, dtype: Any, out: Any, threads: int | None) -> Any:
        view = self._weights if rows is None else self[rows]._weights
        torch_out = is_torch(self._data)
        return decode(view, like_torch=torch_out, dtype=dtype, out=out, threads=threads)

    @overload
    def raw_ints(
        self, *, with_scales: Literal[False] = False, threads: int | None = None
    ) -> Array: ...
    @overload
    def raw_ints(self, *, with_scales: Literal[True], threads: int | None = None) -> RawInts: ...
    def raw_ints(self, *, with_scales: bool = False, threads: int | None = None) -> Array | RawInts:
        """The signed integers that the weights are before they are scaled.

        What they are of each format, such as nibble - 8 of q4_0, is in the table of Formats, and
        `qkernels extract --help` prints it.

        Args:
            with_scales: return a `RawInts` of integers, scales and mins, which together are the
                weights.
            threads: 1 to 256, instead of the default.

        Returns:
            int8 of this shape, or a `RawInts`; torch where `data` is a torch tensor.

        Raises:
            TypeError: the weights are floats (f32, f16, bf16), which have no integers.
            ValueError: threads out of range.
        """
        return raw_ints(self._weights, with_scales, threads, torch=is_torch(self._data))

    @overload
    def pack(
        self, *, gates: None = None, threads: int | None = None, huge_pages: bool = True
    ) -> PackedTensor: ...
    @overload
    def pack(
        self,
        *,
        gates: BlockGates | NDArray[np.bool_],
        block_k: int | None = None,
        threads: int | None = None,
        huge_pages: bool = True,
    ) -> GatedTensor: ...
    def pack(
        self,
        *,
        gates: BlockGates | NDArray[np.bool_] | None = None,
        block_k: int | None = None,
        threads: int | None = None,
        huge_pages: bool = True,
    ) -> PackedTensor | GatedTensor:
        """The same weights in the layout that the fastest kernels of this ISA read.

        Products with it of quantised weights are two to eight times as fast as with blocks in
        cache, and come near the speed of memory outside it (docs/performance.md). The copy has
        about the size of the blocks, except that tq1_0 becomes 1.2 times as large, and iq1, iq2
        and iq3, with 4.3 or 4.6 bits a weight, 1.25 to 2.8 times: where many cores share little
        bandwidth, their blocks may be faster. `get_rows` and `dequantize` take it too, with the
        same results.

        Args:
            gates: which blocks of columns to leave out (docs/gates.md): trained gates, or bool
                (ceil(k / block_k),), True for what is kept. `gemv` and `gated_gemv` take the
                result.
            block_k: columns of a block of such a mask, a multiple of the format's own block; 1
                when None. Gates that were trained bring it.
            threads: 1 to 256, instead of the default.
            huge_pages: ask for pages of 2 MiB where the weights fill one: they are read faster.

        Returns:
            A `PackedTensor`, or with gates a `GatedTensor`, which has panels of the kept columns.

        Raises:
            TypeError: gates of another kind, or `block_k` without a mask.
            ValueError: a stack of experts, gates for another shape, or blocks of gates that cut the
                format's blocks.
        """
        if gates is None:
            if block_k is not None:
                raise TypeError(f"block_k={block_k} is for a mask, and gates are None")
            return PackedTensor(self._weights.pack(thread_count(threads), huge_pages))
        from qkernels.weights.gated import GatedTensor

        if self.ndim != 2:
            raise ValueError(f"gates take a matrix, not weights of shape {self._shape}; see w[e]")
        mask = BlockMask.of(gates, block_k, *self._shape)
        return GatedTensor(self, mask, threads, huge_pages)

    def to(self, device: str | int | torch.device, *, pack: bool = True) -> CudaTensor:
        """A copy of a matrix in the memory of a CUDA device.

        Returns when the copy is there. See `qkernels.cuda` for what can be done with it.

        Args:
            device: "cuda" (torch's current device, or the first), "cuda:1", a number, or a
                torch.device.
            pack: whether rows take the layout that the device's kernels read fastest. Otherwise
                they lie as in the file.

        Raises:
            TypeError: device is none of these.
            ValueError: no CUDA device by that name, or a stack of experts.
            IndexError: there is no device of that number.
            MemoryError: the device has no room.
            qkernels.cuda.CudaError: `qkernels.cuda.available()` is False.
        """
        # The one import of a layer above: devices know QTensors, and here only the name of them.
        on_device = importlib.import_module("qkernels.cuda.upload")
        copy: CudaTensor = on_device.upload(self, on_device.device_number(device), pack)
        return copy

    def __getitem__(self, index: Index) -> QTensor:
        """A view of rows, of matrices, or of whole blocks of k; nothing is copied.

        Ints, slices and `...` select as in NumPy: `w[i]` is a row of a matrix, as a vector, or a
        matrix of a stack. The last dimension takes slices only, which start and end at block
        boundaries (or at k).

        Raises:
            TypeError: an index that is not an int, a slice or `...`, or an int in the last
                dimension.
            IndexError: an int outside its dimension, or more indices than dimensions.
            ValueError: a backward slice, or one of the last dimension that cuts a block or is
                empty.
        """
        data_index, shape = select(index, self._shape, self.fmt)
        return QTensor(self._data[data_index], self.fmt, shape)

    def __iter__(self) -> Iterator[QTensor]:
        """Go through the rows of a matrix or the matrices of a stack, as views.

        Raises:
            TypeError: a vector, whose weights have no blocks of their own.
        """
        if self.ndim == 1:
            raise TypeError("single weights of a vector are not QTensors; call .dequantize()")
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape: int | Sequence[int]) -> QTensor:
        """The same weights in other dimensions, the last of which stays k: a view.

        Args:
            shape: ints, or one tuple of them; one may be -1, which is what is left.

        Raises:
            TypeError: a dimension that is no integer.
            ValueError: another number of weights, another last dimension, or data whose strides
                would need a copy.
        """
        dims = reshaped(shape, self._shape)
        try:
            data = viewed(self._data, (*dims[:-1], self.row_bytes))
        except (AttributeError, RuntimeError, ValueError):
            raise ValueError(
                f"reshaping weights of shape {self._shape} into {dims} would copy them: their rows"
                " do not lie at one distance"
            ) from None
        return QTensor(data, self.fmt, dims)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the file and the name, where a whole tensor came from one, or else the bytes."""
        if self._source is not None and not self._source[0].closed:
            return _of_file, self._source
        # A tensor takes its whole storage along, an array only what it shows.
        data = self._data.clone() if is_torch(self._data) else np.ascontiguousarray(self._data)  # type: ignore[union-attr]
        return QTensor, (data, self.fmt, self._shape)

    def __repr__(self) -> str:
        """Format, shape and size in one line."""
        return f"QTensor({self.fmt}, shape={self._shape}, {self.nbytes:,} bytes)"


def _of_file(file: Any, name: str) -> Any:
    """A tensor of a GGUFFile, as it lies there."""
    return file.unpacked(name)
