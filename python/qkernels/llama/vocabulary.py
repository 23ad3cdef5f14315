"""The tokens that a GGUF file lists, with what it says of each and of their use, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# tokenizer.ggml.token_type: what a token stands for, and how it is found in a text.
NORMAL = 1
UNKNOWN = 2
CONTROL = 3
USER_DEFINED = 4
UNUSED = 5
BYTE = 6
# Tokens that are no text.
SILENT = (UNKNOWN, CONTROL, UNUSED)
# Tokens that are matched whole in a text, before it is split.
WHOLE = (UNKNOWN, CONTROL, USER_DEFINED)

# A file names one end, yet a chat model may end a turn with another token than it ends a text with:
# control tokens that are spelled like this are ends as well.
_ENDS = (
    *("</s>", "<|endoftext|>", "<|end_of_text|>", "<|end|>"),
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>"),
)
_END_KEYS = ("eos", "eot", "eom")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a file.

    Attributes:
        tokens: the spelling of each id.
        ids: the id of each spelling.
        kinds: the type of each id, `NORMAL` where the file gives none.
        bos_id: what an encoding begins with under `add_bos`.
        eos_id: what it ends with under `add_eos`.
        end_ids: the tokens that end a generation.
    """

    tokens: list[str]
    ids: dict[str, int]
    kinds: list[int]
    bos_id: int | None
    eos_id: int | None
    end_ids: frozenset[int]
    add_bos: bool
    add_eos: bool

    def of_kind(self, *kinds: int) -> list[str]:
        """The tokens of these types, but not one without a spelling."""
        return [t for t, k in zip(self.tokens, self.kinds, strict=True) if k in kinds and t]

    @classmethod
    def from_metadata(
        cls, metadata: Mapping[str, object], *, add_bos: bool, defaults: Mapping[str, int]
    ) -> Vocabulary:
        """Read the vocabulary of a file.

        Args:
            metadata: the file's key-value pairs.
            add_bos: whether encodings begin with BOS where the file does not say.
            defaults: ids by name ("bos", "eos") where the file does not say.

        Raises:
            ValueError: tokens, types, ids or switches that are missing, wrong or do not fit
                together; the message names the key.
        """
        tokens = strings(metadata, "tokenizer.ggml.tokens")
        ids = dict(zip(tokens, range(len(tokens)), strict=True))
        if len(ids) != len(tokens):
            twice = next(token for index, token in enumerate(tokens) if ids[token] != index)
            raise ValueError(f"tokenizer.ggml.tokens holds {twice!r} more than once")
        kinds = _kinds(metadata, len(tokens))
        named = {
            name: _token_id(metadata, f"tokenizer.ggml.{name}_token_id", tokens, defaults.get(name))
            for name in ("bos", *_END_KEYS)
        }
        ends = {named[key] for key in _END_KEYS}
        ends |= {ids[t] for t in _ENDS if t in ids and kinds[ids[t]] == CONTROL}
        add = {"bos": flag(metadata, "tokenizer.ggml.add_bos_token", add_bos)}
        add["eos"] = flag(metadata, "tokenizer.ggml.add_eos_token", False)
        for name, wanted in add.items():
            if wanted and named[name] is None:
                raise ValueError(
                    f"encodings are to have {name.upper()}, but there is no"
                    f" tokenizer.ggml.{name}_token_id"
                )
        return cls(
            tokens=tokens,
            ids=ids,
            kinds=kinds,
            bos_id=named["bos"],
            eos_id=named["eos"],
            end_ids=frozenset(i for i in ends if i is not None),
            add_bos=add["bos"],
            add_eos=add["eos"],
        )


def supported(metadata: Mapping[str, object], key: str, choices: list[str]) -> str:
    """The value of a key that has to be one of some names.

    Raises:
        ValueError: it is none of them, or missing.
    """
    value = metadata.get(key)
    if not isinstance(value, str) or value not in choices:
        found = "missing" if value is None else repr(value)
        raise ValueError(f"{key} is {found}, supported is {', '.join(map(repr, choices))}")
    return value


def strings(metadata: Mapping[str, object], key: str) -> list[str]:
    """The value of a key that has to be a list of strings.

    Raises:
        ValueError: it is not, or is missing.
    """
    value = metadata.get(key)
    # Lists of a hundred thousand: what is done for each item is done in C.
    if not isinstance(value, list) or set(map(type, value)) - {str}:
        raise ValueError(f"{key} is missing or is not a list of strings")
    return value


def flag(metadata: Mapping[str, object], key: str, default: bool) -> bool:
    """The value of a key that has to be true or false.

    Raises:
        ValueError: it is something else.
    """
    value = metadata.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is {value!r}, expected true or false")
    return value


def _kinds(metadata: Mapping[str, object], count: int) -> list[int]:
    kinds = metadata.get("tokenizer.ggml.token_type", [])
    if not isinstance(kinds, list) or len(kinds) not in (0, count):
        raise ValueError("tokenizer.ggml.token_type is not a list with one value a token")
    return kinds or [NORMAL] * count


def _token_id(
    metadata: Mapping[str, object], key: str, tokens: list[str], default: int | None
) -> int | None:
    value = metadata.get(key)
    if value is None:
        return default if default is not None and default < len(tokens) else None
    if not isinstance(value, int) or not 0 <= value < len(tokens):
        raise ValueError(f"{key} is {value!r}, the vocabulary has {len(tokens)} tokens")
    return value
