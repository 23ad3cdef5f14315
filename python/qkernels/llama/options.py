"""The arguments of a model and of its generations, checked."""

from __future__ import annotations

import operator
import os
import random
from collections.abc import Sequence
from typing import Any, TypedDict

from qkernels.llama.config import LlamaConfig
from qkernels.llama.inputs import count_of, number_of, shown
from qkernels.llama.room import available_bytes, cache_bytes

SMOLLM2 = "smollm2"
# A context that is cut is a multiple of it.
_STEP = 256


class Sampling(TypedDict, total=False):
    """The options of `Model.generate` that say how tokens are chosen and when to stop."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    seed: int | None
    stop: Sequence[str]
    bos: bool | None
    parse_special: bool


def find_file(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The path of a model; the word "smollm2" stands for one that is fetched."""
    if path != SMOLLM2:
        return path
    from qkernels.llama.models import find_model

    return find_model()


def checked_cache(cache_dtype: str) -> str:
    """The type of keys and values."""
    if not isinstance(cache_dtype, str):
        raise TypeError(f"cache_dtype is 'float16' or 'float32', not {type(cache_dtype).__name__}")
    if cache_dtype not in ("float16", "float32"):
        raise ValueError(f"the cache is {shown(cache_dtype)}, expected 'float16' or 'float32'")
    return cache_dtype


def checked_context(config: LlamaConfig, most: int | None) -> int | None:
    """The most tokens of a sequence, where they are asked for; see `fitting_context`."""
    if most is None:
        return None
    context = count_of(most, "max_context")
    if not 1 <= context <= config.context:
        raise ValueError(
            f"max_context={shown(context)} is outside 1..{config.context}, the model's own"
        )
    return context


def fitting_context(config: LlamaConfig, cache_dtype: str, notes: list[str]) -> int:
    """All tokens that the model was made for, or as many as there is memory for.

    Keys and values may take half of what is available; a note says where that is less.
    """
    available = available_bytes()
    most = config.context
    if available is None or cache_bytes(config, cache_dtype, most) <= available // 2:
        return most
    fitting = available // 2 // cache_bytes(config, cache_dtype, 1)
    context = max(1, min(most, fitting // _STEP * _STEP or fitting))
    notes.append(
        f"the context is {context:,} tokens: keys and values of the {most:,} that the model was"
        f" made for would take {_gib(cache_bytes(config, cache_dtype, most))}, more than half of"
        f" the {_gib(available)} that are available; max_context (--context) asks for another"
    )
    return context


def no_room(config: LlamaConfig, cache_dtype: str, context: int) -> MemoryError:
    """What to say where a cache cannot be had."""
    return MemoryError(
        f"keys and values of {context:,} tokens take"
        f" {_gib(cache_bytes(config, cache_dtype, context))}, which cannot be allocated: a smaller"
        " max_context (--context) takes less"
    )


def _gib(nbytes: int) -> str:
    return f"{nbytes / (1 << 30):,.1f} GiB"


def checked_sampling(
    temperature: float, top_k: int, top_p: float, min_p: float, repetition_penalty: float
) -> tuple[float, int, float, float, float]:
    """The options of a sampler as it takes them: in float64, in which it computes.

    Raises:
        ValueError: one is out of range, or not finite.
        TypeError: one is no number.
    """
    temperature = number_of(temperature, "temperature")
    top_p, min_p = number_of(top_p, "top_p"), number_of(min_p, "min_p")
    repetition_penalty = number_of(repetition_penalty, "repetition_penalty")
    if temperature < 0:
        raise ValueError(f"temperature={temperature!r}, expected 0 or more")
    if not (0 <= top_p <= 1 and 0 <= min_p <= 1):
        raise ValueError(f"top_p={top_p!r} and min_p={min_p!r}, expected 0 to 1")
    if repetition_penalty <= 0:
        raise ValueError(f"repetition_penalty={repetition_penalty!r}, expected more than 0")
    # More than any vocabulary has is all of it.
    kept = min(count_of(top_k, "top_k"), 1 << 62)
    return temperature, kept, top_p, min_p, repetition_penalty


def checked_seed(seed: int | None) -> int:
    """The seed, or one drawn from the system; ValueError outside 64 bits."""
    if seed is None:
        return random.getrandbits(64)
    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(f"seed is an integer, not {type(seed).__name__}") from None
    if not 0 <= number < 1 << 64:
        raise ValueError(f"seed={shown(seed)} is outside 0..2^64 - 1")
    return number


def checked_stops(stop: Sequence[str]) -> list[str]:
    """The strings that end a text, none of them empty."""
    if isinstance(stop, (str, bytes)) or stop is None:
        raise TypeError(f"stop is a sequence of strings, not the {_kind(stop)} {shown(stop)}")
    stops: list[Any] = list(stop)
    if not all(isinstance(s, str) and s for s in stops):
        raise ValueError(f"stop={shown(stops)} holds what is no string or an empty one")
    return stops


def _kind(value: object) -> str:
    return "string" if isinstance(value, str) else type(value).__name__
