"""Tokens that are no text: which of them end a generation, and how they are found in a text.

Files are not reliable here: many give the token that ends a turn an ordinary type, or none at all,
and name one end where the model has several. So tokens are also known by their spelling. Spellings
and rules are llama.cpp's (`llama_vocab::impl::load`), so that a file means the same to both.
"""

# ruff: noqa: RUF001 (some spellings have fullwidth bars)
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

# tokenizer.ggml.token_type: what a token stands for, and how it is found in a text.
NORMAL = 1
UNKNOWN = 2
CONTROL = 3
USER_DEFINED = 4
UNUSED = 5
BYTE = 6
# Tokens that have a text; those of any other type have none.
VISIBLE = (NORMAL, USER_DEFINED, BYTE)

# Where a file names no token for a use, the first of these spellings that is a token is taken.
SPELT: dict[str, tuple[str, ...]] = {
    "eot": (
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"),
        *("<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]", "<｜end▁of▁sentence｜>"),
        "<end_of_utterance>",
    ),
    "eom": ("<|eom_id|>",),
    "fim_pre": (
        *("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>"),
        *("▁<PRE>", "<|code_prefix|>", "<|prefix|>"),
    ),
    "fim_suf": (
        *("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>"),
        *("▁<SUF>", "<|code_suffix|>", "<|suffix|>"),
    ),
    "fim_mid": (
        *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>"),
        *("▁<MID>", "<|code_middle|>", "<|middle|>"),
    ),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}
# What ends a generation, wherever it is a token.
_ENDS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>"),
    *("<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]"),
    *("[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>"),
    *("<｜end▁of▁sentence｜>", "[e~["),
)
# Uses whose token ends a generation too: after a text between two parts nothing follows.
_END_USES = ("fim_pad", "fim_rep", "fim_sep", "eos", "eot", "eom")
# What gpt-oss writes between the channels of an answer, to be shown.
_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")
# A model that ends its turns with one of each set means another thing by the spelling in between.
_RETURNS = (({"<|return|>"}, {"<|call|>", "<|calls|>"}), ({"<|flush|>"}, {"<|call|>", "<|calls|>"}))

_SPACES = " \t\n\v\f\r"


def retype(
    ids: Mapping[str, int], kinds: list[int], named: dict[str, int | None]
) -> frozenset[int]:
    """Set right what a file says of the tokens that are no text.

    Args:
        ids: the id of each spelling.
        kinds: the type of each id; corrected in place.
        named: ids by use ("eos", "eot", "fim_pad", ...); completed in place from `SPELT`.

    Returns:
        The tokens that end a generation.
    """
    for use, spellings in SPELT.items():
        if named.get(use) is None:
            named[use] = next((ids[s] for s in spellings if s in ids), None)
            if (token := named[use]) is not None:
                kinds[token] = CONTROL
    ends = {named.get(use) for use in _END_USES} - {None}
    for token in (ids[s] for s in _ENDS if s in ids):
        ends.add(token)
        kinds[token] = CONTROL
    for token in (ids[s] for s in _SHOWN if s in ids):
        kinds[token] = USER_DEFINED
    # An end inside an answer of several parts.
    found = {s for s in (*_ENDS, "<|plamo:eos|>") if ids.get(s) in ends}
    if "<|end|>" in found and any(found & a and found & b for a, b in _RETURNS):
        ends.discard(ids["<|end|>"])
        kinds[ids["<|end|>"]] = USER_DEFINED
    if "</s>" in found and found & {"<|tool_response>", "<|plamo:eos|>"}:
        ends.discard(ids["</s>"])
        kinds[ids["</s>"]] = NORMAL
    return frozenset(token for token in ends if token is not None)


class WholeTokens:
    """The tokens that are matched whole in a text, before it is split into words.

    The longest comes first, anywhere in the text, then the next in what is left; of "ab" and "bcd"
    in "abcd" that is "bcd". Lengths are in bytes of UTF-8.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        kinds: Sequence[int],
        *,
        strip_before: Collection[str] = (),
        strip_after: Collection[str] = (),
    ) -> None:
        """Take the tokens of the types UNKNOWN, CONTROL and USER_DEFINED.

        Args:
            tokens: the spelling of each id.
            kinds: the type of each id.
            strip_before: spellings that take spaces before them along.
            strip_after: spellings that take spaces after them along.
        """
        whole = (UNKNOWN, CONTROL, USER_DEFINED)
        found = [
            (t, i, k) for i, (t, k) in enumerate(zip(tokens, kinds, strict=True)) if k in whole
        ]
        found.sort(key=lambda entry: -len(entry[0].encode("utf-8", "surrogateescape")))
        self._entries = found
        self._before, self._after = frozenset(strip_before), frozenset(strip_after)

    def split(self, text: str, *, parse_special: bool = True) -> list[str | int]:
        """The parts of a text: ids of tokens that are matched whole, and what is between them.

        Args:
            text: any; nothing of an empty one is left.
            parse_special: whether UNKNOWN and CONTROL tokens are matched; USER_DEFINED ones are a
                part of the text and always are.
        """
        parts: list[str | int] = [text] if text else []
        for spelling, token, kind in self._entries:
            if spelling in text and (parse_special or kind == USER_DEFINED):
                parts = [
                    piece
                    for part in parts
                    for piece in (
                        self._cut(part, spelling, token) if isinstance(part, str) else (part,)
                    )
                ]
        return parts

    def guarded(self, text: str, mark: str) -> str:
        """The text with `mark` inside each spelling that `parse_special=False` would not match.

        Taking every `mark` out again gives the text back.
        """
        for spelling, _, kind in self._entries:
            if kind != USER_DEFINED and spelling in text:
                text = text.replace(spelling, f"{spelling[0]}{mark}{spelling[1:]}")
        return text

    def _cut(self, text: str, spelling: str, token: int) -> Iterable[str | int]:
        pieces = text.split(spelling)
        for index, piece in enumerate(pieces):
            if index:
                yield token
                if spelling in self._after:
                    piece = piece.lstrip(_SPACES)
            if index + 1 < len(pieces) and spelling in self._before:
                piece = piece.rstrip(_SPACES)
            if piece:
                yield piece
