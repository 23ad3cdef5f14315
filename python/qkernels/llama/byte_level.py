"""GPT-2's way to spell tokens, and the splits into words that models with such tokens use.

A token is spelled in 256 printable stand-ins for the bytes (a space is `Ġ`), so any UTF-8 text has
an encoding and ids decode to bytes. Special tokens are spelled as they are. A text is split into
words by its model's pre-tokenizer, a sequence of regular expressions, and the bytes of a word are
merged into tokens by the rank of the merges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from qkernels.llama.vocabulary import (
    CONTROL,
    SILENT,
    UNKNOWN,
    USER_DEFINED,
    Vocabulary,
    strings,
    supported,
)

if TYPE_CHECKING:
    import tokenizers


@dataclass(frozen=True)
class PreTokenizer:
    """How a model splits texts.

    Attributes:
        patterns: applied one after the other: each splits what it matches from what lies between.
        ignore_merges: whether a word that is a token is taken whole, whatever the merges say.
        add_bos: whether encodings begin with BOS where the file does not say.
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# A word with one sign before it, then numbers by their number of digits, then signs and spaces.
_WORD = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = PreTokenizer((rf"{_WORD}|\p{{N}}{{1,3}}|{_REST}",), ignore_merges=True, add_bos=True)
_QWEN2 = PreTokenizer((rf"{_WORD}|\p{{N}}|{_REST}",))
# By `tokenizer.ggml.pre`. A wrong split gives wrong ids without an error, so none is guessed.
PRE_TOKENIZERS = {
    "default": PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    "gpt-2": PreTokenizer((_GPT2,)),
    "smollm": PreTokenizer((r"\p{N}", _GPT2)),
    "llama-bpe": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama3": _LLAMA3,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
}


class ByteLevel:
    """Texts to ids and ids to bytes by a GPT-2 vocabulary."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        """Build it from a file's metadata.

        Raises:
            ValueError: a pre-tokenizer that is not supported, or tokens, merges and ids that are
                missing or do not fit together.
        """
        name = supported(metadata, "tokenizer.ggml.pre", list(PRE_TOKENIZERS))
        pre = PRE_TOKENIZERS[name]
        self.vocabulary = Vocabulary.from_metadata(metadata, add_bos=pre.add_bos, defaults={})
        self._inner = _build(self.vocabulary, _merges(metadata), pre)

    def encode(self, text: str) -> list[int]:
        """The ids of a text; the spelling of a special token becomes that token."""
        return list(self._inner.encode(text, add_special_tokens=False).ids)

    def bytes_of(self, token: int) -> bytes:
        """The bytes that an id of the vocabulary stands for."""
        kind, spelling = self.vocabulary.kinds[token], self.vocabulary.tokens[token]
        if kind in SILENT:
            return b""
        alphabet = _bytes_by_character()
        if kind == USER_DEFINED or not all(c in alphabet for c in spelling):
            return spelling.encode("utf-8", "surrogateescape")
        return bytes(alphabet[c] for c in spelling)


def _build(
    vocabulary: Vocabulary, merges: list[tuple[str, str]], pre: PreTokenizer
) -> tokenizers.Tokenizer:
    import tokenizers
    from tokenizers import AddedToken, models
    from tokenizers import pre_tokenizers as splits

    try:
        model = models.BPE(vocab=vocabulary.ids, merges=merges, ignore_merges=pre.ignore_merges)
    except Exception as error:  # the package raises plain Exception for a merge it cannot use
        raise ValueError(f"tokenizer.ggml.merges does not fit the tokens: {error}") from error
    inner = tokenizers.Tokenizer(model)
    inner.pre_tokenizer = splits.Sequence(
        [splits.Split(tokenizers.Regex(pattern), "isolated") for pattern in pre.patterns]
        + [splits.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    # They are matched whole in a text, before it is split into words.
    special = [AddedToken(t, special=True) for t in vocabulary.of_kind(UNKNOWN, CONTROL)]
    plain = [AddedToken(t, normalized=False) for t in vocabulary.of_kind(USER_DEFINED)]
    inner.add_special_tokens(special)
    inner.add_tokens(plain)
    return inner


@lru_cache(maxsize=1)
def _bytes_by_character() -> dict[str, int]:
    """The byte of each stand-in: printable Latin-1 is itself, the rest follows from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    return table | {chr(0x100 + index): byte for index, byte in enumerate(others)}


def _merges(metadata: Mapping[str, object]) -> list[tuple[str, str]]:
    merges = strings(metadata, "tokenizer.ggml.merges")
    wrong = next((merge for merge in merges if " " not in merge[1:-1]), None)
    if wrong is not None:
        raise ValueError(f"tokenizer.ggml.merges holds {wrong!r}, expected two tokens")
    return cast("list[tuple[str, str]]", [tuple(merge.split(" ", 1)) for merge in merges])
