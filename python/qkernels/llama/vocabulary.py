"""The tokens that a GGUF file lists, with what it says of each and of their use, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qkernels.llama.special import NORMAL, retype

# The keys of the tokens with a use, after "tokenizer.ggml."; where there are two, one is older.
_ID_KEYS: dict[str, tuple[str, ...]] = {
    "bos": ("bos_token_id",),
    "eos": ("eos_token_id",),
    "eot": ("eot_token_id",),
    "eom": ("eom_token_id",),
    "unk": ("unknown_token_id",),
    "sep": ("seperator_token_id", "separator_token_id"),
    "pad": ("padding_token_id",),
    "cls": ("cls_token_id",),
    "mask": ("mask_token_id",),
    "fim_pre": ("fim_pre_token_id", "prefix_token_id"),
    "fim_suf": ("fim_suf_token_id", "suffix_token_id"),
    "fim_mid": ("fim_mid_token_id", "middle_token_id"),
    "fim_pad": ("fim_pad_token_id",),
    "fim_rep": ("fim_rep_token_id",),
    "fim_sep": ("fim_sep_token_id",),
}


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a file.

    Attributes:
        tokens: the spelling of each id. A token without one is called `[EMPTY_3]` by its id.
        ids: the id of each spelling.
        kinds: the type of each id, `NORMAL` where the file gives none; ends are `CONTROL`, whatever
            the file says.
        named: ids by use: "bos", "eos", "unk", "pad" and others, None where there is none.
        end_ids: the tokens that end a generation.
        add_bos: whether encodings begin with BOS.
        add_eos: whether they end with EOS.
        notes: what was guessed, or left out, where the file is at fault; a sentence each.
    """

    tokens: list[str]
    ids: dict[str, int]
    kinds: list[int]
    named: dict[str, int | None]
    end_ids: frozenset[int]
    add_bos: bool
    add_eos: bool
    notes: tuple[str, ...] = ()

    @classmethod
    def from_metadata(
        cls,
        metadata: Mapping[str, object],
        *,
        add_bos: bool,
        defaults: Mapping[str, int],
        last_resort: int | None = None,
    ) -> Vocabulary:
        """Read the vocabulary of a file.

        Args:
            metadata: the file's key-value pairs.
            add_bos: whether encodings begin with BOS where the file does not say.
            defaults: ids by use where the file does not say.
            last_resort: the BOS or EOS of encodings that are to have one where nothing says which.

        Raises:
            ValueError: tokens, types, ids or switches that are missing, wrong or do not fit
                together; the message names the key.
        """
        notes: list[str] = []
        tokens = _spellings(metadata)
        ids = dict(zip(tokens, range(len(tokens)), strict=True))
        if len(ids) != len(tokens):
            twice = next(token for index, token in enumerate(tokens) if ids[token] != index)
            raise ValueError(f"tokenizer.ggml.tokens holds {twice!r} more than once")
        kinds = _kinds(metadata, len(tokens), notes)
        named = {
            use: _token_id(metadata, use, len(tokens), defaults.get(use), notes) for use in _ID_KEYS
        }
        add = {
            "bos": flag(metadata, "tokenizer.ggml.add_bos_token", add_bos),
            "eos": flag(metadata, "tokenizer.ggml.add_eos_token", False),
        }
        ends = retype(ids, kinds, named)
        for use, wanted in add.items():
            if wanted and named[use] is None:
                add[use] = _guess(use, tokens, named, last_resort, notes)
        return cls(
            tokens=tokens,
            ids=ids,
            kinds=kinds,
            named=named,
            end_ids=ends,
            add_bos=add["bos"],
            add_eos=add["eos"],
            notes=tuple(notes),
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


def _spellings(metadata: Mapping[str, object]) -> list[str]:
    tokens = strings(metadata, "tokenizer.ggml.tokens")
    if "" not in tokens:
        return tokens
    return [token or f"[EMPTY_{index}]" for index, token in enumerate(tokens)]


def _kinds(metadata: Mapping[str, object], count: int, notes: list[str]) -> list[int]:
    key = "tokenizer.ggml.token_type"
    kinds = metadata.get(key, [])
    if not isinstance(kinds, list) or set(map(type, kinds)) - {int} or 0 < len(kinds) < count:
        raise ValueError(f"{key} is not a list with one value a token")
    if len(kinds) > count:
        notes.append(f"{key} has {len(kinds)} values for {count} tokens; the rest is ignored")
    return kinds[:count] or [NORMAL] * count


def _token_id(
    metadata: Mapping[str, object], use: str, count: int, default: int | None, notes: list[str]
) -> int | None:
    """The token with a use, or None."""
    found = default if default is not None and default < count else None
    for key in (f"tokenizer.ggml.{name}" for name in _ID_KEYS[use]):
        value = metadata.get(key)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{key} is {value!r}, expected the id of a token")
        if 0 <= value < count:
            return value
        notes.append(f"{key} is {value}, and the vocabulary has {count} tokens: it is ignored")
    return found


def _guess(
    use: str,
    tokens: list[str],
    named: dict[str, int | None],
    last_resort: int | None,
    notes: list[str],
) -> bool:
    """Whether there is a token, if only the last resort, for BOS or EOS that none is named for."""
    asked = f"encodings are to have {use.upper()}, but there is no tokenizer.ggml.{use}_token_id"
    if last_resort is None or last_resort >= len(tokens):
        notes.append(f"{asked}: they have none")
        return False
    named[use] = last_resort
    notes.append(
        f"{asked}: it is taken to be {last_resort}, {tokens[last_resort]!r}, as llama.cpp does"
    )
    return True
