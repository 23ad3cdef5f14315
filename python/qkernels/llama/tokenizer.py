"""Text to token ids and back, built from the vocabulary that a GGUF file carries."""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from qkernels.files.parts import refuse_part
from qkernels.llama.byte_level import ByteLevel
from qkernels.llama.inputs import Text, id_of, ids_of, shown, text_of
from qkernels.llama.sentence_piece import SentencePiece
from qkernels.llama.special import WholeTokens
from qkernels.llama.vocabulary import Vocabulary, supported

# What a chat template calls "bos_token" and so on.
_NAMES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class Scheme(Protocol):
    """A way to spell texts in tokens."""

    vocabulary: Vocabulary
    whole: WholeTokens

    def encode(self, text: str, *, parse_special: bool = True) -> list[int]:
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
        notes: what was guessed, or left out, where the file is at fault; a sentence each.
    """

    def __init__(self, scheme: Scheme, *, starts_with_space: bool = False) -> None:
        """Wrap a scheme; with `starts_with_space` it puts a space before each text."""
        self._scheme = scheme
        self._starts_with_space = starts_with_space
        vocabulary = scheme.vocabulary
        self.bos_id, self.eos_id = vocabulary.named["bos"], vocabulary.named["eos"]
        self.add_bos, self.add_eos = vocabulary.add_bos, vocabulary.add_eos
        self.eos_ids = vocabulary.end_ids
        self.notes = vocabulary.notes

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> Tokenizer:
        """Build the tokenizer that a GGUF file describes.

        Where the file is at fault and llama.cpp goes on, so does this, with a UserWarning that says
        what is guessed or left out: no pre-tokenizer or scores, ids outside the vocabulary, merges
        that are none, no token for the BOS that encodings are to have.

        Args:
            metadata: the file's key-value pairs, as in `GGUFFile.metadata`.

        Raises:
            ValueError: a model other than `gpt2` and `llama`, a pre-tokenizer that is not
                supported, or tokens, merges, scores and ids that are missing or do not fit
                together; the message names the key.
        """
        tokenizer = cls._read(metadata)
        for note in tokenizer.notes:
            warnings.warn(note, stacklevel=2)
        return tokenizer

    @classmethod
    def _read(cls, metadata: Mapping[str, object]) -> Tokenizer:
        """As `from_metadata`, which leaves it to the caller to warn of `notes`."""
        refuse_part(metadata)
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
            TypeError: it is no integer.
        """
        return self._scheme.vocabulary.tokens[self._checked(id_of(token, "the token"))]

    def named(self) -> dict[str, str]:
        """The spellings of tokens with a use, as chat templates call them, such as "bos_token".

        Those that the file does not name are left out.
        """
        ids = self._scheme.vocabulary.named
        found = {f"{name}_token": ids[name] for name in _NAMES}
        return {name: self.spelling(token) for name, token in found.items() if token is not None}

    def encode(
        self,
        text: Text,
        *,
        bos: bool | None = None,
        eos: bool | None = None,
        parse_special: bool = True,
    ) -> list[int]:
        """Return the ids of `text`.

        BOS and EOS come once: where the text spells one itself, none is added, with a UserWarning.

        Args:
            text: what can be written as UTF-8, or UTF-8 bytes.
            bos: whether BOS comes first; by default as the file says (`add_bos`).
            eos: whether EOS comes last; by default as the file says (`add_eos`).
            parse_special: whether the spelling of a special token, such as "<|im_end|>", becomes
                that token; otherwise it is text like any other. Tokens that the file calls
                user-defined are matched in any case.

        Raises:
            ValueError: `text` holds a lone surrogate, or a character that the vocabulary cannot
                spell, or its bytes are not UTF-8; BOS or EOS is asked for and there is none.
            TypeError: `text` is neither text nor bytes.
        """
        text = text_of(text, "the text")
        first = self._special("BOS", self.bos_id, self.add_bos if bos is None else bos)
        last = self._special("EOS", self.eos_id, self.add_eos if eos is None else eos)
        ids = self._scheme.encode(text, parse_special=parse_special)
        if first and ids[:1] == first:
            warn_of_second("BOS", "begins", "bos")
            first = []
        if last and ids[-1:] == last:
            warn_of_second("EOS", "ends", "eos")
            last = []
        return [*first, *ids, *last]

    def _encode_guarded(self, text: str, mark: str) -> list[int]:
        """Return the ids of a text in which `_guarded` marked what is not special; without BOS."""
        found: list[int] = []
        for part in self._scheme.whole.split(text):
            if isinstance(part, int):
                found.append(part)
            else:
                found += self._scheme.encode(part.replace(mark, ""), parse_special=False)
        return found

    def _guarded(self, text: str, mark: str) -> str:
        """The text with `mark` inside every spelling of a special token, see `_encode_guarded`."""
        return self._scheme.whole.guarded(text, mark)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, without special tokens; bytes that are not UTF-8 become U+FFFD.

        A space that `encode` puts before each text is taken off again.

        Raises:
            ValueError: an id outside the vocabulary.
            TypeError: `ids` are not integers, or are text.
        """
        raw = b"".join(self._bytes_of(token) for token in ids_of(ids, "ids"))
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
            if piece := decoder.decode(self._bytes_of(id_of(token, "ids"))):
                yield piece
        if piece := decoder.decode(b"", final=True):
            yield piece

    def _bytes_of(self, token: int) -> bytes:
        return self._scheme.bytes_of(self._checked(token))

    def _checked(self, token: int) -> int:
        if not 0 <= token < len(self):
            raise ValueError(f"token id {shown(token)} is outside the vocabulary of {len(self)}")
        return token

    @staticmethod
    def _special(name: str, token: int | None, wanted: bool) -> list[int]:
        if wanted and token is None:
            raise ValueError(f"the vocabulary has no {name}")
        return [token] if wanted and token is not None else []


def warn_of_second(name: str, how: str, option: str) -> None:
    """Warn that a text spells what was to be added."""
    warnings.warn(
        f"the text {how} with {name} itself, so that none is added; {option}=False asks for none",
        stacklevel=3,
    )
