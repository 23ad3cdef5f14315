"""How well a model foretells a text: its perplexity."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qkernels.llama.inputs import Text, count_of, shown
from qkernels.llama.model import Model

# Rows of logits whose exponentials are taken at a time, to bound memory.
_ROWS = 64


@dataclass(frozen=True)
class Perplexity:
    """The perplexity of a text.

    Attributes:
        perplexity: e to the mean of the negative log-likelihoods, in nats, of the scored tokens.
        tokens: how many were scored.
        windows: how many sequences they were in.
        context: the most tokens of a window.
        seconds: that all took.
    """

    perplexity: float
    tokens: int
    windows: int
    context: int
    seconds: float


def windows_of(
    model: Model,
    text: Text,
    context: int,
    *,
    bos: bool | None = None,
    parse_special: bool = True,
) -> list[list[int]]:
    """Cut the tokens of a text into windows that do not overlap.

    Each has `context` tokens, the last one what is left, and at least 2. Where the tokenizer adds
    BOS, every window begins with it, as one of its tokens. The first has it once, also where the
    text spells it, which a UserWarning then says.

    Args:
        model: whose tokenizer it is.
        text: or UTF-8 bytes of it.
        context: tokens of a window.
        bos: whether windows begin with BOS; by default as the file says.
        parse_special: whether the spellings of special tokens are these tokens.

    Raises:
        ValueError: `context` is below 2 or above the model's, the text has too few tokens for a
            window, or there is no BOS.
        TypeError: `text` is neither text nor bytes, or `context` no integer.
    """
    if not 2 <= count_of(context, "context") <= model.context:
        raise ValueError(f"context={shown(context)} is outside 2..{model.context}")
    tokenizer = model.tokenizer
    wanted = tokenizer.add_bos if bos is None else bos
    ids = tokenizer.encode(text, bos=wanted, eos=False, parse_special=parse_special)
    first = ids[:1] if wanted else []
    ids = ids[len(first) :]
    step = context - len(first)
    windows = [[*first, *ids[at : at + step]] for at in range(0, len(ids), step)]
    windows = [window for window in windows if len(window) > 1]
    if not windows:
        raise ValueError(f"a text of {len(ids)} tokens has no token that another one foretells")
    return windows


def perplexity(
    model: Model,
    text: Text,
    context: int = 512,
    advance: Callable[[int, int], object] = lambda done, total: None,
    *,
    bos: bool | None = None,
    parse_special: bool = True,
) -> Perplexity:
    """Score every token of every window but the first, given those before it in its window.

    Args:
        model: which one.
        text: what it is to foretell, or UTF-8 bytes of it.
        context: tokens of a window, see `windows_of`.
        advance: told after each window how many of how many tokens are scored.
        bos: whether windows begin with BOS; by default as the file says.
        parse_special: whether the spellings of special tokens are these tokens.

    Raises:
        ValueError, TypeError: as `windows_of`; ValueError also where the logits are not finite.
    """
    begin = perf_counter()
    windows = windows_of(model, text, context, bos=bos, parse_special=parse_special)
    total = sum(len(window) - 1 for window in windows)
    done, loss = 0, 0.0
    for window in windows:
        loss += negative_log_likelihood(model.logits(window)[:-1], window[1:])
        done += len(window) - 1
        advance(done, total)
    if not math.isfinite(loss):
        raise ValueError("the logits are not finite: some weights are not")
    return Perplexity(math.exp(loss / total), total, len(windows), context, perf_counter() - begin)


def negative_log_likelihood(logits: NDArray[Any], tokens: list[int]) -> float:
    """The sum over rows of -log softmax(logits)[token].

    Args:
        logits: (m, vocabulary).
        tokens: m ids.
    """
    loss = 0.0
    for at in range(0, len(tokens), _ROWS):
        rows = logits[at : at + _ROWS]
        chosen = rows[np.arange(len(rows)), tokens[at : at + _ROWS]].astype(np.float64)
        largest = rows.max(axis=1, keepdims=True)
        # Infinite logits make a loss that is not finite, without a warning a row.
        with np.errstate(invalid="ignore"):
            sums = np.exp(rows - largest).sum(axis=1, dtype=np.float64)
            loss += float(np.sum(np.log(sums) + largest[:, 0] - chosen))
    return loss
