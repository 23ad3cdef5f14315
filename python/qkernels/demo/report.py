"""What a run of the demo found, as one object that is also its `--json` output."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from qkernels.demo.measure import Model, WorstError


@dataclass(frozen=True)
class OpenSeconds:
    """Time to open the file."""

    qkernels: float
    gguf_reader: float


@dataclass(frozen=True)
class TokenSeconds:
    """Time of one token's products; torch's is None where it is absent or the model too large."""

    qkernels: float
    gguf_numpy: float
    torch_float32: float | None


@dataclass(frozen=True)
class MemoryBytes:
    """Memory that the weights need; None where the system does not tell."""

    qkernels: int | None
    dense_float32: int


@dataclass
class Report:
    """All results of a run; `load` is the load per processor that it found."""

    machine: dict[str, Any]
    model: Model
    random: bool
    load: float
    open_seconds: OpenSeconds
    token_seconds: TokenSeconds
    memory_bytes: MemoryBytes
    worst_errors: list[WorstError]
    prompt: str = ""
    continuation: str = ""
    tokens_per_second: float = 0.0

    def to_json(self) -> str:
        """The report as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=str)
