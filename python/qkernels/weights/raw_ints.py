"""Weights as signed integers, and the scales and mins that make weights of them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qkernels import _core
from qkernels._base.threads import thread_count

if TYPE_CHECKING:
    from qkernels._base.frameworks import Array
    from qkernels.weights.qtensor import QTensor


class RawInts(NamedTuple):
    """Integers, and what they are without: weight = scale * integer + min."""

    ints: Array
    """int8 of the weights' shape, (..., k)."""
    scales: Array
    """float32 of shape (..., ceil(k / group)): one for `group` integers of a row."""
    mins: Array
    """float32 of the scales' shape; zeros where the format has no mins."""
    group: int
    """How many integers share a scale and a min: 8, 16 or 32. A format that has fewer scales than
    one in 32 weights (q8_k, tq1_0, tq2_0) gives each of them several times."""

    def dequantize(self) -> Array:
        """The weights again, float32: those of `QTensor.dequantize` to a rounding or two."""
        k = self.ints.shape[-1]
        scales, mins = (_of_each(of_groups, self.group, k) for of_groups in self[1:3])
        weights: Array = scales * self.ints + mins
        return weights


def raw_ints(
    weights: _core.Weights, with_scales: bool, threads: int | None, *, torch: bool
) -> Array | RawInts:
    """See `QTensor.raw_ints`; `torch` says whether results are torch's."""
    count = thread_count(threads)
    ints = _own(_core.raw_ints(weights, count), torch)
    if not with_scales:
        return ints
    scales, mins = (_own(array, torch) for array in _core.raw_scales(weights, count))
    return RawInts(ints, scales, mins, _core.integer_group(weights))


def raw_scales(weights: QTensor) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The scales and mins of `QTensor.raw_ints(with_scales=True)`, without the integers."""
    return _core.raw_scales(weights._weights, thread_count(None))


def _of_each(of_groups: Any, group: int, k: int) -> Any:
    """What belongs to groups, for each of k weights."""
    is_numpy = isinstance(of_groups, np.ndarray)
    repeat: Any = np.repeat if is_numpy else type(of_groups).repeat_interleave
    spread = repeat(of_groups, group, -1)
    return spread[..., :k]


def _own(array: np.ndarray[Any, Any], torch: bool) -> Array:
    if not torch:
        return array
    import torch as torch_module

    return torch_module.from_numpy(array)
