"""What a sampler draws, against the distribution that its options describe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qkernels import _core

VOCABULARY = 40
RNG = np.random.default_rng(3)
LOGITS = RNG.standard_normal(VOCABULARY).astype(np.float32) * 2
DRAWS = 4000


def sampler(**options: Any) -> _core.Sampler:
    defaults = {
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "repeat_last": 64,
        "seed": 1,
    }
    return _core.Sampler(**(defaults | options))


def drawn(logits: np.ndarray[Any, Any], draws: int = DRAWS, **options: Any) -> Any:
    """How often each token comes up, as a fraction."""
    one = sampler(**options)
    counts = np.bincount([one.choose(logits) for _ in range(draws)], minlength=len(logits))
    return counts / draws


def softmax(logits: np.ndarray[Any, Any]) -> Any:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def assert_drawn_from(found: Any, expected: Any, draws: int = DRAWS) -> None:
    """No token outside the distribution, and the others within five standard deviations."""
    assert not found[expected == 0].any()
    deviation = np.sqrt(expected * (1 - expected) / draws)
    assert np.all(np.abs(found - expected) <= 5 * deviation + 1e-12)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_tokens_are_drawn_from_the_softmax_of_logits_over_temperature(temperature: float) -> None:
    expected = softmax(LOGITS / np.float32(temperature))
    assert_drawn_from(drawn(LOGITS, temperature=temperature), expected)


@pytest.mark.parametrize("top_k", [1, 3, 39, 40, 1000])
def test_top_k_leaves_the_k_likeliest(top_k: int) -> None:
    expected = softmax(LOGITS)
    expected[np.argsort(-LOGITS, kind="stable")[top_k:]] = 0
    assert_drawn_from(drawn(LOGITS, top_k=top_k), expected / expected.sum())


@pytest.mark.parametrize("top_p", [0.0, 0.5, 0.9, 1.0])
def test_top_p_leaves_the_likeliest_that_together_reach_it(top_p: float) -> None:
    expected = softmax(LOGITS)
    order = np.argsort(-expected, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(expected[order])[:-1]])
    expected[order[(before >= top_p) & (np.arange(VOCABULARY) > 0)]] = 0
    assert_drawn_from(drawn(LOGITS, top_p=top_p), expected / expected.sum())


@pytest.mark.parametrize("min_p", [0.05, 0.5, 1.0])
def test_min_p_leaves_those_at_least_that_fraction_of_the_likeliest(min_p: float) -> None:
    expected = softmax(LOGITS)
    expected[expected < min_p * expected.max()] = 0
    assert_drawn_from(drawn(LOGITS, min_p=min_p), expected / expected.sum())


def test_temperature_zero_takes_the_likeliest() -> None:
    assert sampler(temperature=0.0).choose(LOGITS) == np.argmax(LOGITS)


def test_the_penalty_divides_positive_and_multiplies_negative_logits_of_recent_tokens() -> None:
    logits = np.array([2.0, 1.5, -1.0, -1.5], np.float32)
    greedy = sampler(temperature=0.0, repetition_penalty=2.0, repeat_last=2)
    assert greedy.choose(logits) == 0
    greedy.accept(0)
    greedy.accept(0)  # once in the window or twice, the penalty is the same
    assert greedy.choose(logits) == 1
    greedy.accept(1)
    greedy.accept(1)  # the first token has left the window of two
    assert greedy.choose(logits) == 0
    expected = softmax(np.array([2.0, 1.5, -2.0, -1.5], np.float32))
    one = sampler(repetition_penalty=2.0)
    one.accept(2)
    found = np.bincount([one.choose(logits) for _ in range(DRAWS)], minlength=4) / DRAWS
    assert_drawn_from(found, expected)


def test_a_seed_repeats_its_draws_and_another_does_not() -> None:
    def tokens(seed: int) -> list[int]:
        one = sampler(seed=seed)
        return [one.choose(LOGITS) for _ in range(50)]

    assert tokens(5) == tokens(5)
    assert tokens(5) != tokens(6)


def test_infinite_logits_are_drawn_or_never_drawn() -> None:
    logits = LOGITS.copy()
    logits[7] = -np.inf
    assert drawn(logits)[7] == 0
    logits[9] = np.inf
    assert drawn(logits, draws=50)[9] == 1


ODD = np.array([np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0, 0.0, 1.0], np.float32)
EXTREMES: dict[str, list[Any]] = {
    "temperature": [0.0, 5e-324, 1e-40, 1.0, 1e300],
    "top_k": [0, 1, 3, 1 << 62],
    "top_p": [0.0, 5e-324, 0.9, 1.0],
    "min_p": [0.0, 5e-324, 0.05, 1.0],
    "repetition_penalty": [5e-324, 1.0, 1e300],
}


def test_odd_logits_and_extreme_options_give_a_token_of_the_likeliest_kind() -> None:
    rng = np.random.default_rng(0)
    for seed in range(400):
        options = {name: values[rng.integers(len(values))] for name, values in EXTREMES.items()}
        logits = rng.choice(ODD, rng.integers(1, 40))
        one = sampler(**options, seed=seed)
        for token in rng.integers(-1, 50, 8):
            one.accept(int(token))
        assert 0 <= one.choose(logits) < len(logits), (options, logits)


def test_options_are_heard_in_float64() -> None:
    logits = np.array([1.0, 1.0 - 2**-23], np.float32)
    # Of float32 it would be 0 or infinite.
    assert drawn(logits, draws=200, temperature=1e-300)[0] == 1
    assert 0.3 < drawn(logits, draws=500, temperature=1e300)[0] < 0.7
    with pytest.raises(ValueError, match=r"temperature=-1e\+300, expected 0 or more"):
        sampler(temperature=-1e300)
    with pytest.raises(ValueError, match="top_p=1 and min_p=0, expected 0 to 1"):
        sampler(top_p=1 + 2**-50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, r"temperature=-0\.1"),
        ({"temperature": float("nan")}, "temperature=-?nan"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_p": 1.5}, r"top_p=1\.5"),
        ({"min_p": -0.5}, r"min_p=-0\.5"),
        ({"repetition_penalty": 0.0}, "repetition_penalty=0"),
        ({"repeat_last": -1}, "repeat_last=-1"),
    ],
)
def test_options_out_of_range_are_refused_with_their_values(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sampler(**options)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_with_nan_are_refused(temperature: float) -> None:
    logits = LOGITS.copy()
    logits[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        sampler(temperature=temperature).choose(logits)
