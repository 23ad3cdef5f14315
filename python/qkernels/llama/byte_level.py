"""GPT-2's way to spell tokens, and the splits into words that models with such tokens use.

A token is spelled in 256 printable stand-ins for the bytes (a space is `Ġ`), so any UTF-8 text has
an encoding and ids decode to bytes. Special tokens are spelled as they are. A text is split into
words by its model's pre-tokenizer, a sequence of regular expressions, and the bytes of a word are
merged into tokens by the rank of the merges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from qkernels._base.extras import require
from qkernels.llama.special import BYTE, USER_DEFINED, VISIBLE, WholeTokens
from qkernels.llama.vocabulary import Vocabulary, strings, supported

if TYPE_CHECKING:
    import tokenizers

PRE = "tokenizer.ggml.pre"
MERGES = "tokenizer.ggml.merges"


@dataclass(frozen=True)
class PreTokenizer:
    """How a model splits texts.

    Attributes:
        patterns: applied one after the other: each splits what it matches from what lies between.
        ignore_merges: whether a word that is a token is taken whole, whatever the merges say.
        add_bos: whether encodings begin with BOS where the file does not say.
        last_resort: the BOS or EOS of encodings that are to have one where the file does not say
            which: what llama.cpp takes, which is Falcon's.
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False
    last_resort: int | None = 11


_GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# A word with one sign before it, then numbers by their number of digits, then signs and spaces.
_WORD = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_DEFAULT = PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2_WORDS, r"\p{N}+", "[0-9][0-9][0-9]"))
_GPT2 = PreTokenizer((_GPT2_WORDS,))
_DIGITS = PreTokenizer((r"\p{N}", _GPT2_WORDS))
_LLAMA3_WORDS = rf"{_WORD}|\p{{N}}{{1,3}}|{_REST}"
_LLAMA3 = PreTokenizer((_LLAMA3_WORDS,), ignore_merges=True, add_bos=True)
_LLAMA3_MERGED = PreTokenizer((_LLAMA3_WORDS,))
_QWEN2 = PreTokenizer((rf"{_WORD}|\p{{N}}|{_REST}",))
# By `tokenizer.ggml.pre`. A wrong split gives wrong ids without an error, so no name is guessed.
PRE_TOKENIZERS = {
    "default": _DEFAULT,
    **dict.fromkeys(("gpt-2", "olmo", "mpt", "phi-2", "gigachat", "roberta-bpe", "jais"), _GPT2),
    **dict.fromkeys(("jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de"), _GPT2),
    **dict.fromkeys(("jina-v2-code", "exaone4", "a.x-4.0", "mellum", "trillion"), _GPT2),
    **dict.fromkeys(("modern-bert", "granite-docling"), _GPT2),
    **dict.fromkeys(("smollm", "refact", "command-r", "starcoder", "exaone"), _DIGITS),
    **dict.fromkeys(("minerva-7b", "codeshell", "mellum2"), _DIGITS),
    **dict.fromkeys(("llama-bpe", "llama-v3", "llama3", "falcon3", "falcon-h1"), _LLAMA3),
    **dict.fromkeys(("pixtral", "midm-2.0", "lfm2", "jina-v5-nano"), _LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe"), _LLAMA3_MERGED),
    "chatglm-bpe": PreTokenizer((_LLAMA3_WORDS,), last_resort=None),
    **dict.fromkeys(("glm4", "glm5"), PreTokenizer((_LLAMA3_WORDS,), True, last_resort=None)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez"), _QWEN2),
    **dict.fromkeys(("kormo", "grok-2", "f2llmv2", "solar-open"), _QWEN2),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), _QWEN2),
}


class ByteLevel:
    """Texts to ids and ids to bytes by a GPT-2 vocabulary."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        """Build it from a file's metadata.

        Raises:
            ValueError: a pre-tokenizer that is not supported, or tokens, merges and ids that are
                missing or do not fit together.
        """
        notes: list[str] = []
        pre = _pre_tokenizer(metadata, notes)
        vocabulary = Vocabulary.from_metadata(
            metadata, add_bos=pre.add_bos, defaults={}, last_resort=pre.last_resort
        )
        merges = _merges(metadata, notes)
        self.vocabulary = replace(vocabulary, notes=(*notes, *vocabulary.notes))
        self.whole = WholeTokens(
            vocabulary.tokens, vocabulary.kinds, strip_before=_strip_before(metadata)
        )
        self._inner, self._spelt_out = _build(vocabulary.ids, merges, pre)

    def encode(self, text: str, *, parse_special: bool = True) -> list[int]:
        """The ids of a text, see `Tokenizer.encode`; what no token spells is left out."""
        found: list[int] = []
        for part in self.whole.split(text, parse_special=parse_special):
            if isinstance(part, int):
                found.append(part)
            else:
                found += self._inner.encode(part, add_special_tokens=False).ids
        if self._spelt_out:
            return [i for token in found for i in self._spelt_out.get(token, (token,))]
        return found

    def bytes_of(self, token: int) -> bytes:
        """The bytes that an id of the vocabulary stands for."""
        kind, spelling = self.vocabulary.kinds[token], self.vocabulary.tokens[token]
        if kind not in VISIBLE:
            return b""
        if kind == BYTE and (byte := re.fullmatch("<0x([0-9A-Fa-f]{2})>", spelling)):
            return bytes.fromhex(byte[1])
        alphabet = _bytes_by_character()
        if kind == USER_DEFINED or not all(c in alphabet for c in spelling):
            return spelling.encode("utf-8", "surrogateescape")
        return bytes(alphabet[c] for c in spelling)


def _pre_tokenizer(metadata: Mapping[str, object], notes: list[str]) -> PreTokenizer:
    if metadata.get(PRE) in (None, ""):
        notes.append(
            f"{PRE} is missing: texts are split as by 'default', and where the model was made with"
            " another split, it answers worse"
        )
        return _DEFAULT
    return PRE_TOKENIZERS[supported(metadata, PRE, list(PRE_TOKENIZERS))]


def _strip_before(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """The tokens that take spaces before them along."""
    masked = ("jina-v2-de", "jina-v2-es", "jina-v2-code")
    return ("<mask>",) if metadata.get(PRE) in masked else ()


def _build(
    ids: dict[str, int], merges: list[str], pre: PreTokenizer
) -> tuple[tokenizers.Tokenizer, dict[int, list[int]]]:
    """The tokenizer, and what becomes of the ids that it gives to spellings that are no tokens."""
    require("a vocabulary of bytes", "tokenizers", "llama")
    import tokenizers
    from tokenizers import models
    from tokenizers import pre_tokenizers as splits

    def model(vocabulary: dict[str, int], pairs: list[str]) -> models.BPE:
        rules = cast("list[tuple[str, str]]", [tuple(merge.split(" ", 1)) for merge in pairs])
        return models.BPE(vocab=vocabulary, merges=rules, ignore_merges=pre.ignore_merges)

    spelt_out: dict[int, list[int]] = {}
    try:
        if not _bytes_by_character().keys() <= ids.keys():
            raise ValueError("a byte is no token")
        bpe = model(ids, merges)
    except Exception:  # the package raises plain Exception for a merge that it cannot use
        merges = [merge for merge in merges if _is_unicode(merge)]
        more = _missing(ids, merges)
        spelt_out = {len(ids) + i: _bytes_alone(ids, text) for i, text in enumerate(more)}
        known = {text: token for text, token in ids.items() if _is_unicode(text)}
        bpe = model({**known, **dict(zip(more, spelt_out, strict=True))}, merges)
    inner = tokenizers.Tokenizer(bpe)
    inner.pre_tokenizer = splits.Sequence(
        [splits.Split(tokenizers.Regex(pattern), "isolated") for pattern in pre.patterns]
        + [splits.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return inner, spelt_out


def _missing(ids: dict[str, int], merges: Iterable[str]) -> list[str]:
    """Spellings that are no tokens, though merging passes through them."""
    through = dict.fromkeys(_bytes_by_character())
    for merge in merges:
        left, right = merge.split(" ", 1)
        through |= {left: None, right: None, left + right: None}
    return [text for text in through if text not in ids]


def _bytes_alone(ids: dict[str, int], text: str) -> list[int]:
    """What llama.cpp makes of merged text that is no token: those of its bytes that are."""
    single = (bytes([byte]).decode("utf-8", "surrogateescape") for byte in text.encode())
    return [ids[byte] for byte in single if byte in ids]


def _is_unicode(text: str) -> bool:
    """Whether bytes that were not UTF-8 are no part of it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=1)
def _bytes_by_character() -> dict[str, int]:
    """The byte of each stand-in: printable Latin-1 is itself, the rest follows from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    return table | {chr(0x100 + index): byte for index, byte in enumerate(others)}


def _merges(metadata: Mapping[str, object], notes: list[str]) -> list[str]:
    """The merges, each once: two spellings with a space in between."""
    merges = list(dict.fromkeys(strings(metadata, MERGES)))
    wrong = [merge for merge in merges if " " not in merge[1:-1] or merge[0] == " "]
    if wrong:
        notes.append(f"{MERGES} holds {wrong[0]!r}, which is no two tokens: it is ignored")
        ignored = frozenset(wrong)
        merges = [merge for merge in merges if merge not in ignored]
    return merges
