"""Weights in the host's memory, which the core views: what QTensor and PackedTensor share."""

from __future__ import annotations

from typing import Any

from qkernels import _core
from qkernels._base.threads import thread_count
from qkernels.weights.base import WeightsBase


class CoreWeights(WeightsBase):
    """Weights that are multiplied by the core's view of them, `_weights`."""

    __slots__ = ("_weights",)
    _weights: _core.Weights

    @property
    def fmt(self) -> str:
        """The format's name in lower case, such as "q4_k"."""
        return self._weights.fmt

    def _product(
        self, x: Any, *, bias: Any, act: str, out: Any, threads: int | None, vector: bool
    ) -> Any:
        return _core.linear(self._weights, x, bias, act, out, thread_count(threads), vector)

    def _core_view(self) -> _core.Weights:
        return self._weights
