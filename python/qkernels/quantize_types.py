"""Which format each tensor of a file takes when the file is quantised to one.

The rules are llama.cpp's, without its mixtures (which give some layers more bits): `--keep` gives
those to whom one pleases.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from . import _core
from ._quantize import can_quantize

FILE_TYPES = {
    fmt: number
    for fmt in _core.formats()
    if (number := _core.format_info(fmt).file_type) is not None and can_quantize(fmt)
}
"""The formats that files are quantised to, and the number that general.file_type has for each."""

FLOATS = ("f32", "f16", "bf16")

# What rows take that are no whole number of blocks of 256, where they are of 32.
FALLBACKS = {
    **dict.fromkeys(("q2_k", "q3_k", "tq1_0", "tq2_0"), "q4_0"),
    **{"q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0", "iq4_xs": "iq4_nl"},
}
LAST_FALLBACK = "f16"

# Parts of the names of matrices that stay as they are: small ones that much depends on.
KEPT = (
    *("_norm.weight", "ffn_gate_inp.weight", "altup", "laurel", "per_layer_model_proj"),
    *("ssm_conv1d", "shortconv.conv.weight", "time_mix_first.weight", "time_mix_w0.weight"),
    *("time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight"),
    *("time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight"),
    *("time_mix_g1.weight", "time_mix_g2.weight", "time_mix_decay_w1.weight"),
    *("time_mix_decay_w2.weight", "time_mix_lerp_fused.weight", "attn_rel_b.weight"),
    *(".position_embd.", "ffn_gate_tid2eid.weight"),
)
KEPT_NAMES = ("position_embd.weight", "token_types.weight")
OUTPUT, EMBEDDING = "output.weight", "token_embd.weight"


@dataclass(frozen=True)
class Rule:
    """What a file is quantised to."""

    fmt: str
    keep: tuple[tuple[str, str], ...] = ()
    """(pattern of names, format); the first that fits a name decides."""
    pad: bool = False
    tied: bool = False
    """Whether the file has no output matrix, so that the embedding is it."""


@dataclass(frozen=True)
class Choice:
    """The format that a tensor takes, and the one that its rows did not fit."""

    fmt: str
    instead_of: str | None = None


def check_format(name: str) -> str:
    """A format that files are quantised to, in lower case.

    Raises:
        TypeError: it is no str.
        ValueError: it is none; the message has those that are.
    """
    if not isinstance(name, str):
        raise TypeError(f"a format must be a str, not {type(name).__name__}")
    fmt = name.lower()
    if fmt not in FILE_TYPES:
        raise ValueError(f"{name!r} is none of {', '.join(sorted(FILE_TYPES))}")
    return fmt


def check_rules(keep: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Rules as they are looked up: (pattern of names, format in lower case).

    Raises:
        TypeError: keep is something else than pairs of str.
        ValueError: a format that files are not quantised to.
    """
    if isinstance(keep, (str, bytes, Mapping)):
        raise TypeError(f"keep must be (pattern, format) pairs, not {type(keep).__name__}")
    rules = []
    for rule in keep:
        if not isinstance(rule, (tuple, list)) or [type(part) for part in rule] != [str, str]:
            raise TypeError(f"keep must hold (pattern, format) pairs of str, not {rule!r}")
        rules.append((rule[0], check_format(rule[1])))
    return tuple(rules)


def parse_keep(text: str) -> tuple[str, str]:
    """PATTERN=FORMAT, such as "output.*=q8_0".

    Raises:
        ValueError: there is no "=", no pattern, or an unknown format.
    """
    pattern, equals, name = text.rpartition("=")
    if not equals or not pattern:
        raise ValueError(f"{text!r} is not PATTERN=FORMAT, such as 'output.*=q8_0'")
    return pattern, check_format(name)


def choose(name: str, shape: Sequence[int], rule: Rule) -> Choice | None:
    """The format for a tensor of floats, or None where it stays as it is.

    Args:
        name: as the file has it.
        shape: (n, k), or (experts, n, k); others stay.
        rule: what is asked for.
    """
    if not is_matrix(shape):
        return None
    kept = deciding_rule(name, rule.keep)
    if kept is not None:
        wanted = rule.keep[kept][1]
    else:
        if not name.endswith("weight") or name in KEPT_NAMES:
            return None
        if any(part in name for part in KEPT):
            return None
        wanted = _usual(name, rule)
    return Choice(wanted) if rule.pad else _fitting(wanted, shape[-1])


def is_matrix(shape: Sequence[int]) -> bool:
    """Whether a tensor is a matrix or a stack of them, which are what is converted."""
    return len(shape) in (2, 3)


def deciding_rule(name: str, keep: Sequence[tuple[str, str]]) -> int | None:
    """Which rule decides on a name: the first that fits it."""
    return next((i for i, (pattern, _) in enumerate(keep) if fnmatchcase(name, pattern)), None)


def check_keep(
    keep: Sequence[tuple[str, str]], matrices: Sequence[str], others: Sequence[str]
) -> None:
    """Refuse a rule that decides on nothing.

    Args:
        keep: (pattern of names, format).
        matrices: the names of the tensors that rules decide on.
        others: those of vectors and of tensors that hold no weights.

    Raises:
        ValueError: no name fits the pattern, only names that earlier rules decide on do, or only
            `others`.
    """
    used = {deciding_rule(name, keep) for name in matrices}
    for i, (pattern, fmt) in enumerate(keep):
        if i in used:
            continue
        rule = f"--keep {pattern}={fmt} changes nothing"
        if any(fnmatchcase(name, pattern) for name in matrices):
            raise ValueError(f"{rule}: rules before it decide on all that it names")
        vectors = [name for name in others if fnmatchcase(name, pattern)]
        if vectors:
            raise ValueError(f"{rule}: {vectors[0]!r} is no matrix, and stays as it is")
        near = _near(pattern, (*matrices, *others))
        raise ValueError(f"{rule}: no tensor is named so{near}")


def _near(pattern: str, names: Sequence[str]) -> str:
    """What a pattern that fits no name may have meant."""
    letters = re.sub(r"[^a-z0-9_]+", "", pattern.lower())
    inside = [name for name in names if letters and letters in re.sub(r"[^a-z0-9_]+", "", name)]
    if inside and not set(pattern) & set("*?[\\^$"):
        return f"; {f'*{pattern.lower()}*'!r} would name {inside[0]!r}"
    found = inside[:1] or difflib.get_close_matches(pattern, names, 1, 0.4) or list(names[:1])
    return f"; near is {found[0]!r}, and * stands for any letters" if found else ""


def _usual(name: str, rule: Rule) -> str:
    """What llama.cpp gives the two matrices of the vocabulary; the others take the rule's."""
    if rule.fmt in (*FLOATS, "q8_0"):
        return rule.fmt
    if name == OUTPUT or (rule.tied and name == EMBEDDING):
        return "q8_0" if rule.fmt == "mxfp4" else "q6_k"
    if name == EMBEDDING and rule.fmt in ("tq1_0", "tq2_0"):
        return "q4_k"
    return rule.fmt


def _fitting(wanted: str, k: int) -> Choice:
    if k % block_of(wanted) == 0:
        return Choice(wanted)
    second = FALLBACKS.get(wanted, LAST_FALLBACK)
    return Choice(second if k % block_of(second) == 0 else LAST_FALLBACK, instead_of=wanted)


def block_of(fmt: str) -> int:
    """Weights a block."""
    return _core.format_info(fmt).block
