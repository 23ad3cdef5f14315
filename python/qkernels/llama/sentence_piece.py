"""SentencePiece vocabularies, as those of Llama 2 and Mistral 7B: `tokenizer.ggml.model` "llama".

A space is spelled `▁`, and a text gets one before it. Its characters are merged, the pair first
whose union is the token with the highest score (the leftmost of equals), until no union is a token.
That is done here and not by `tokenizers`, whose merges have ranks, which have no equals. A
character that is no token becomes one token a byte, spelled `<0x0A>`.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Mapping
from dataclasses import replace

from qkernels.llama.special import BYTE, UNKNOWN, USER_DEFINED, VISIBLE, WholeTokens
from qkernels.llama.vocabulary import Vocabulary, flag

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
# What the ids are where a file does not say.
_DEFAULTS = {"bos": 1, "eos": 2, "unk": 0}
# In files of Phi-3, of whose name llama.cpp knows it, special tokens take spaces after them along,
# all but these.
_KEEPING_SPACES = ("<unk>", "<s>", "<|endoftext|>")


class SentencePiece:
    """Texts to ids and ids to bytes by tokens with scores."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        """Build it from a file's metadata.

        Raises:
            ValueError: tokens, scores and ids that are missing or do not fit together.
        """
        notes: list[str] = []
        vocabulary = Vocabulary.from_metadata(metadata, add_bos=True, defaults=_DEFAULTS)
        self.adds_space = flag(metadata, "tokenizer.ggml.add_space_prefix", True)
        self._scores = _scores(metadata, len(vocabulary.tokens), notes)
        self.vocabulary = replace(vocabulary, notes=(*notes, *vocabulary.notes))
        self.whole = WholeTokens(
            vocabulary.tokens,
            vocabulary.kinds,
            strip_after=_strip_after(metadata, vocabulary.tokens),
        )

    def encode(self, text: str, *, parse_special: bool = True) -> list[int]:
        """The ids of a text, see `Tokenizer.encode`.

        Raises:
            ValueError: a character is no token, and a byte of it is none either.
        """
        found: list[int] = []
        for part in self.whole.split(text, parse_special=parse_special):
            if isinstance(part, int):
                found.append(part)
            else:
                spaced = f" {part}" if self.adds_space else part
                for piece in self._merge(spaced.replace(" ", SPACE)):
                    found += self._ids_of(piece)
        return found

    def bytes_of(self, token: int) -> bytes:
        """The bytes that an id of the vocabulary stands for."""
        kind, spelling = self.vocabulary.kinds[token], self.vocabulary.tokens[token]
        if kind not in VISIBLE:
            return b""
        if kind == BYTE and (byte := re.fullmatch("<0x([0-9A-Fa-f]{2})>", spelling)):
            return bytes.fromhex(byte[1])
        text = spelling if kind == USER_DEFINED else spelling.replace(SPACE, " ")
        return text.encode("utf-8", "surrogateescape")

    def _merge(self, text: str) -> list[str]:
        """Split a text into the pieces that are left when nothing can be merged any more.

        Piece i begins at character i, and is empty once it is part of the one before it.
        """
        ids, scores = self.vocabulary.ids, self._scores
        pieces = list(text)
        before = list(range(-1, len(text) - 1))
        after = [*range(1, len(text)), -1]
        queue: list[tuple[float, int, int, int]] = []

        def consider(left: int, right: int) -> None:
            if left >= 0 and right >= 0:
                union = pieces[left] + pieces[right]
                if (token := ids.get(union)) is not None:
                    heapq.heappush(queue, (-scores[token], left, right, len(union)))

        for left in range(len(text) - 1):
            consider(left, left + 1)
        while queue:
            _, left, right, length = heapq.heappop(queue)
            union = pieces[left] + pieces[right]
            if not pieces[left] or not pieces[right] or len(union) != length:
                continue  # one of the two was merged with another piece since
            pieces[left], pieces[right] = union, ""
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            consider(before[left], left)
            consider(left, after[left])
        return [piece for piece in pieces if piece]

    def _ids_of(self, piece: str) -> list[int]:
        """The token that a piece is, or one a byte."""
        ids = self.vocabulary.ids
        if (token := ids.get(piece)) is not None:
            return [token]
        found = [ids.get(f"<0x{byte:02X}>") for byte in piece.encode()]
        known = [token for token in found if token is not None]
        if len(known) == len(found):
            return known
        kinds = self.vocabulary.kinds
        if UNKNOWN in kinds:
            return [kinds.index(UNKNOWN)]
        raise ValueError(f"the vocabulary has no token for {piece!r}, nor for its bytes")


def _strip_after(metadata: Mapping[str, object], tokens: list[str]) -> frozenset[str]:
    """The tokens that take spaces after them along."""
    name = metadata.get("general.name")
    is_phi3 = isinstance(name, str) and any(part in name.lower() for part in ("phi-3", "phi3"))
    return frozenset(tokens).difference(_KEEPING_SPACES) if is_phi3 else frozenset()


def _scores(metadata: Mapping[str, object], count: int, notes: list[str]) -> list[float]:
    key = "tokenizer.ggml.scores"
    scores = metadata.get(key)
    if scores is None:
        notes.append(f"{key} is missing: every token has 0, and texts are split from the left")
        return [0.0] * count
    if (
        not isinstance(scores, list)
        or len(scores) < count
        or set(map(type, scores)) - {int, float}
        or any(map(math.isnan, scores))
    ):
        raise ValueError(f"{key} is not a list with one number a token")
    return scores
