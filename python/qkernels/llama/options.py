"""The arguments of a model and of its generations, checked."""

from __future__ import annotations

import operator
import os
import random
from collections.abc import Sequence
from typing import Any, TypedDict

from qkernels.llama.config import LlamaConfig

SMOLLM2 = "smollm2"


class Sampling(TypedDict, total=False):
    """The options of `Model.generate` that say how tokens are chosen and when to stop."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    seed: int | None
    stop: Sequence[str]


def find_file(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The path of a model; the word "smollm2" stands for one that is fetched."""
    if path != SMOLLM2:
        return path
    from qkernels.models import find_model

    return find_model()


def checked_context(config: LlamaConfig, most: int | None) -> int:
    """The most tokens of a sequence: those asked for, or all that the model was made for."""
    context = config.context if most is None else operator.index(most)
    if not 1 <= context <= config.context:
        raise ValueError(f"max_context={context} is outside 1..{config.context}, the model's own")
    return context


def checked_seed(seed: int | None) -> int:
    """The seed, or one drawn from the system; ValueError outside 64 bits."""
    if seed is None:
        return random.getrandbits(64)
    if not 0 <= operator.index(seed) < 1 << 64:
        raise ValueError(f"seed={seed} is outside 0..2^64 - 1")
    return seed


def checked_stops(stop: Sequence[str]) -> list[str]:
    """The strings that end a text, none of them empty."""
    if isinstance(stop, str):
        raise TypeError(f"stop is a sequence of strings, not the string {stop!r}")
    stops: list[Any] = list(stop)
    if not all(isinstance(s, str) and s for s in stops):
        raise ValueError(f"stop={stops!r} holds what is no string or an empty one")
    return stops
