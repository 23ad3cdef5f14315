"""What became of the tensors of a file that was quantised, one by one and by type."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Quantized:
    """What became of one tensor."""

    name: str
    shape: list[int]
    before: str
    """Its type in the file that is read."""
    after: str
    bytes_before: int
    bytes_after: int
    instead_of: str | None = None
    """The format that its rows did not fit."""
    padded: bool = False
    importance: bool = False
    vanished: int = 0
    """Rows whose weights are all too small for the format's scales, and became zeros."""
    squares: float = 0.0
    """The sum of its squared weights."""
    squared_error: float = 0.0
    """The sum of squared differences from them."""

    @property
    def weights(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def is_quantized(self) -> bool:
        """Whether it was converted; the others are copied."""
        return self.before != self.after


@dataclass
class Total:
    """The tensors of one type in the file that was written."""

    type: str
    tensors: int = 0
    weights: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    error: float | None = None
    """norm(difference) / norm(weights) of those that were converted."""


@dataclass
class Summary:
    """A file that was written."""

    path: str
    type: str
    bytes_before: int = 0
    bytes_after: int = 0
    tensors: list[Quantized] = field(default_factory=list)
    importance_entries: int = 0
    """How many tensors the importance matrix knows."""

    def totals(self) -> list[Total]:
        """By the type that was written, the largest first."""
        totals: dict[str, Total] = {}
        for tensor in self.tensors:
            total = totals.setdefault(tensor.after, Total(tensor.after))
            total.tensors += 1
            total.weights += tensor.weights
            total.bytes_before += tensor.bytes_before
            total.bytes_after += tensor.bytes_after
        for kind, total in totals.items():
            converted = [t for t in self.tensors if t.after == kind and t.is_quantized]
            if squares := sum(t.squares for t in converted):
                total.error = math.sqrt(sum(t.squared_error for t in converted) / squares)
        return sorted(totals.values(), key=lambda total: -total.bytes_after)

    def to_dict(self) -> dict[str, Any]:
        """What `--json` shows."""
        return asdict(self) | {"totals": [asdict(total) for total in self.totals()]}
