"""Attention over keys and values in float32 or float16, the cache that holds them, and RoPE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qkernels import _core
from qkernels._base.arrays import integers
from qkernels._base.made import Made
from qkernels._base.numbers import shown, to_float, to_int
from qkernels._base.threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    import numpy as np
    import torch

    from qkernels._base.frameworks import Array

    A = TypeVar("A", "np.ndarray[Any, Any]", "torch.Tensor")


class KVCache(Made):
    """The keys and values of one layer, which grow by appending, as attention reads them.

    Args:
        kv_heads: heads of the keys and values.
        head_dim: values a head, 1 to 256.
        capacity: the most positions it will hold. Its memory is reserved at once; the system
            provides it as it is first written.
        dtype: how they are kept: "float16" (rounded to nearest; past 65504 infinite) or "float32".

    Copies and pickles hold the same positions, in memory of their own.

    Any number of threads may attend at once; `append` and `truncate` wait for them, and they for
    those.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an argument out of range, or sizes that pass 2^63 bytes.
        MemoryError: the memory cannot be had.
    """

    __slots__ = ("_cache",)

    def __init__(self, kv_heads: int, head_dim: int, capacity: int, dtype: str = "float16") -> None:
        sizes = {"kv_heads": kv_heads, "head_dim": head_dim, "capacity": capacity}
        counts = [_count(value, name) for name, value in sizes.items()]
        self._cache = _core.KVCache(counts[0], counts[1], counts[2], dtype)

    def append(self, k: Array, v: Array) -> None:
        """Append keys and values for the next positions.

        Args:
            k: shape (kv_heads, tokens, head_dim), of real numbers, any strides. In a float16
                cache what is past 65504 is kept as infinite, and attention with it is NaN.
            v: the same.

        Raises:
            TypeError: an argument of the wrong kind or dtype.
            ValueError: a wrong shape, or more positions than the capacity. Nothing is appended.
        """
        self._cache.append(k, v, thread_count(None))

    def truncate(self, length: int) -> None:
        """Forget the positions from `length` on.

        Raises:
            ValueError: a length that is negative or more than there are.
        """
        self._cache.truncate(_count(length, "length"))

    def __len__(self) -> int:
        """The positions that it holds."""
        return self._cache.length

    @property
    def kv_heads(self) -> int:
        """Heads of the keys and values."""
        return self._cache.kv_heads

    @property
    def head_dim(self) -> int:
        """Values a head."""
        return self._cache.head_dim

    @property
    def capacity(self) -> int:
        """The most positions it holds."""
        return self._cache.capacity

    @property
    def dtype(self) -> str:
        """How keys and values are kept: "float16" or "float32"."""
        return self._cache.dtype

    @property
    def nbytes(self) -> int:
        """The bytes reserved for all positions."""
        return self._cache.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the sizes and what was appended."""
        k, v = (array.astype(self.dtype) for array in self._cache.contents())
        return _filled, (self.kv_heads, self.head_dim, self.capacity, self.dtype, k, v)

    def __repr__(self) -> str:
        """Shape, dtype and size in one line."""
        return (
            f"KVCache(kv_heads={self.kv_heads}, head_dim={self.head_dim}, {len(self)} of "
            f"{self.capacity} positions, {self.dtype}, {self.nbytes:,} bytes)"
        )


def _filled(kv_heads: int, head_dim: int, capacity: int, dtype: str, k: Array, v: Array) -> KVCache:
    """What a pickle becomes."""
    cache = KVCache(kv_heads, head_dim, capacity, dtype)
    if k.shape[1] > 0:
        cache.append(k, v)
    return cache


def _count(value: object, name: str) -> int:
    """A count as the core takes it.

    Raises:
        TypeError: not an integer.
        ValueError: past 2^63.
    """
    count = to_int(value, name)
    if abs(count) >= 2**63:
        raise ValueError(f"{name}={shown(count)} passes 2^63")
    return count


def attention(
    q: A,
    k: Array | KVCache,
    v: Array | None = None,
    *,
    scale: float | None = None,
    causal: bool = False,
    out: A | None = None,
    threads: int | None = None,
) -> A:
    """Attend to keys: softmax(scale * q @ k.T) @ v, head by head.

    One pass over the keys, with a running maximum and sum (Milakov and Gimelshein 2018,
    algorithm 3), so that memory for the scores does not grow with t. All in float32. A query's
    result depends on nothing but the query and the keys and values that it sees, to the last bit.

    Args:
        q: queries of shape (heads, m, head_dim), of real numbers, with any strides: a NumPy array
            or a CPU torch tensor, as x of `gemv`. head_dim is at most 256.
        k: keys of shape (kv_heads, t, head_dim), or a `KVCache`. heads is a multiple of kv_heads:
            query head h reads key head h // (heads // kv_heads), as in grouped-query attention.
        v: values of the keys' shape; None with a cache.
        scale: of the products; 1 / sqrt(head_dim) when None.
        causal: query j of m sees the keys [0, t - m + j], so the last m keys are the queries' own;
            needs t >= m. Otherwise all see all.
        out: where the result goes: shape (heads, m, head_dim), in float32, float16 or bfloat16,
            not overlapping any input. It is returned.
        threads: 1 to 256, instead of the default (`set_num_threads`, `num_threads`).

    Returns:
        shape (heads, m, head_dim), float32 unless `out` says otherwise; torch where q is.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape or range, or no keys. `out` keeps its contents.
    """
    count = thread_count(threads)
    factor = None if scale is None else to_float(scale, "scale")
    if isinstance(k, KVCache) and v is not None:
        raise TypeError("a KVCache has values of its own; v must be None")
    result: A
    if isinstance(k, KVCache):
        result = k._cache.attend(q, factor, bool(causal), out, count)
    else:
        result = _core.attention(q, k, v, factor, bool(causal), out, count)
    return result


def attention_scores(
    q: A,
    k: Array,
    *,
    scale: float | None = None,
    causal: bool = False,
    out: A | None = None,
    threads: int | None = None,
) -> A:
    """The weights of attention by themselves: softmax(scale * q @ k.T), head by head.

    Args:
        q: shape (heads, m, head_dim), as for `attention`.
        k: shape (kv_heads, t, head_dim).
        scale: as for `attention`.
        causal: as for `attention`; the weights of keys that a query does not see are exactly 0.
        out: shape (heads, m, t), otherwise as for `attention`.
        threads: as for `attention`.

    Returns:
        shape (heads, m, t), float32 unless `out` says otherwise; torch where q is. Rows sum to 1.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: a wrong shape or range, or no keys. `out` keeps its contents.
    """
    count = thread_count(threads)
    factor = None if scale is None else to_float(scale, "scale")
    result: A = _core.attention_scores(q, k, factor, bool(causal), out, count)
    return result


def rope(
    x: A,
    positions: int | Sequence[int] | Array,
    *,
    base: float = 10000.0,
    kind: str = "interleaved",
    scale: float = 1.0,
    factors: Array | None = None,
    out: A | None = None,
    threads: int | None = None,
) -> A:
    """Turn pairs of values by angles that grow with their position: RoPE (Su et al. 2021).

    Pair i of a head at position p turns by p / scale * base^(-2i / head_dim) / factors[i]. Angles
    are computed in double precision, the turns in float32.

    Args:
        x: queries or keys of shape (..., m, head_dim), such as the (heads, m, head_dim) that
            `attention` takes, of real numbers, with any strides. head_dim is even and at most 256.
        positions: m integers, or the first of m that follow one another.
        base: of the angles.
        kind: which values pair i is of: "interleaved", (2i, 2i + 1), as GGUF files store Llama's
            weights, or "neox", (i, i + head_dim / 2), as GPT-NeoX and Hugging Face's models do.
        scale: linear scaling of positions: 4 makes four times the context.
        factors: shape (head_dim / 2,), as Llama 3.1's `rope_freqs.weight`.
        out: where the result goes: shape (..., m, head_dim), in float32, float16 or bfloat16. It
            may be x itself, and not overlap it otherwise. It is returned.
        threads: 1 to 256, instead of the default (`set_num_threads`, `num_threads`).

    Returns:
        the shape of x, float32 unless `out` says otherwise; torch where x is.

    Raises:
        TypeError: an argument of the wrong kind or dtype, positions that are not integers.
        ValueError: a wrong shape or range. `out` keeps its contents.
    """
    places = integers(
        positions, "positions", lambda value: ValueError(f"a position of {value} passes 2^63")
    )
    angle_base, stretch = to_float(base, "base"), to_float(scale, "scale")
    count = thread_count(threads)
    result: A = _core.rope(x, places, angle_base, kind, stretch, factors, out, count)
    return result
