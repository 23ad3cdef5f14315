"""Text to token ids and back, built from the vocabulary that a GGUF file carries."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from qkernels.llama.byte_level import ByteLevel
from qkernels.llama.sentence_piece import SentencePiece
from qkernels.llama.vocabulary import Vocabulary, supported


class Scheme(Protocol):
    """A way to spell texts in tokens."""

    vocabulary: Vocabulary

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without BOS and EOS."""

    def bytes_of(self, token: int) -> bytes:
        """The bytes that an id of the vocabulary stands for."""


_SCHEMES: dict[str, type[ByteLevel] | type[SentencePiece]] = {
    "gpt2": ByteLevel,
    "llama": SentencePiece,
}


class Tokenizer:
    """The tokenizer of one model; make one with `Tokenizer.from_metadata`.

    Attributes:
        bos_id: what an encoding begins with where `add_bos` is set.
        eos_id: what it ends with where `add_eos` is set.
        eos_ids: the tokens that end a text or a turn of a conversation.
    """

    def __init__(self, scheme: Scheme, *, starts_with_space: bool = False) -> None:
        """Wrap a scheme; with `starts_with_space` it puts a space before each text."""
        self._scheme = scheme
        self._starts_with_space = starts_with_space
        vocabulary = scheme.vocabulary
        self.bos_id, self.eos_id = vocabulary.bos_id, vocabulary.eos_id
        self.add_bos, self.add_eos = vocabulary.add_bos, vocabulary.add_eos
        self.eos_ids = vocabulary.end_ids

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> Tokenizer:
        """Build the tokenizer that a GGUF file describes.

        Args:
            metadata: the file's key-value pairs, as in `GGUFFile.metadata`.

        Raises:
            ValueError: a model other than `gpt2` and `llama`, a pre-tokenizer that is not
                supported, or tokens, merges, scores and ids that are missing or do not fit
                together; the message names the key.
        """
        name = supported(metadata, "tokenizer.ggml.model", list(_SCHEMES))
        scheme = _SCHEMES[name](metadata)
        spaced = isinstance(scheme, SentencePiece) and scheme.adds_space
        return cls(scheme, starts_with_space=spaced)

    def __len__(self) -> int:
        """The number of ids."""
        return len(self._scheme.vocabulary.tokens)

    def spelling(self, token: int) -> str:
        """How the vocabulary spells a token, such as "<s>".

        Raises:
            ValueError: an id outside the vocabulary.
        """
        return self._scheme.vocabulary.tokens[self._checked(token)]

    def encode(self, text: str, *, bos: bool | None = None, eos: bool | None = None) -> list[int]:
        """Return the ids of `text`; the spelling of a special token becomes that token.

        Args:
            text: what can be written as UTF-8.
            bos: whether BOS comes first; by default as the file says (`add_bos`).
            eos: whether EOS comes last; by default as the file says (`add_eos`).

        Raises:
            ValueError: `text` holds a lone surrogate, or a character that the vocabulary cannot
                spell; BOS or EOS is asked for and there is none.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"the text is not valid Unicode: {error}") from None
        first = self._special("BOS", self.bos_id, self.add_bos if bos is None else bos)
        last = self._special("EOS", self.eos_id, self.add_eos if eos is None else eos)
        return [*first, *self._scheme.encode(text), *last]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, without special tokens; bytes that are not UTF-8 become U+FFFD.

        A space that `encode` puts before each text is taken off again.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        raw = b"".join(self._bytes_of(token) for token in ids)
        if self._starts_with_space:
            raw = raw.removeprefix(b" ")
        return raw.decode(errors="replace")

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the text of `ids` piece by piece, each as soon as its last character is whole.

        The ids continue a text, so a space at their start stays. Bytes that no further byte can
        make valid become U+FFFD at once, and so does at the end a character that is not whole.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for token in ids:
            if piece := decoder.decode(self._bytes_of(token)):
                yield piece
        if piece := decoder.decode(b"", final=True):
            yield piece

    def _bytes_of(self, token: int) -> bytes:
        return self._scheme.bytes_of(self._checked(token))

    def _checked(self, token: int) -> int:
        if not 0 <= token < len(self):
            raise ValueError(f"token id {token} is outside the vocabulary of {len(self)}")
        return token

    @staticmethod
    def _special(name: str, token: int | None, wanted: bool) -> list[int]:
        if wanted and token is None:
            raise ValueError(f"the vocabulary has no {name}")
        return [token] if wanted and token is not None else []
