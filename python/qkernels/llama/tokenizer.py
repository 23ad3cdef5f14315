"""Text to token ids and back, built from the vocabulary that a GGUF file carries.

A GPT-2 vocabulary spells every token in 256 printable stand-ins for the bytes (a space is `Ġ`), so
any UTF-8 text has an encoding and ids decode to bytes. Special tokens are spelled as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tokenizers

# tokenizer.ggml.token_type: how a token is found in a text.
CONTROL = 3
USER_DEFINED = 4


class Tokenizer:
    """A byte-level BPE tokenizer; make one with `Tokenizer.from_metadata`."""

    def __init__(
        self,
        inner: tokenizers.Tokenizer,
        *,
        bos_id: int | None,
        eos_ids: frozenset[int],
        add_bos: bool,
    ) -> None:
        """Wrap a `tokenizers.Tokenizer`; with `add_bos` every encoding begins with `bos_id`."""
        self._inner = inner
        self._size = int(inner.get_vocab_size())
        self.bos_id = bos_id
        self.eos_ids = eos_ids
        self.add_bos = add_bos

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> Tokenizer:
        """Build the tokenizer that a GGUF file describes.

        Args:
            metadata: the file's key-value pairs, as in `GGUFFile.metadata`.

        Raises:
            ValueError: a model other than `gpt2`, a pre-tokenizer that is not supported, or tokens,
                merges and ids that are missing or do not fit together.
        """
        import tokenizers
        from tokenizers import decoders, models

        _supported(metadata, "tokenizer.ggml.model", ["gpt2"])
        pre = _supported(metadata, "tokenizer.ggml.pre", list(_PRE_TOKENIZERS))
        tokens = _strings(metadata, "tokenizer.ggml.tokens")
        vocabulary = {token: index for index, token in enumerate(tokens)}
        if len(vocabulary) != len(tokens):
            twice = next(token for index, token in enumerate(tokens) if vocabulary[token] != index)
            raise ValueError(f"tokenizer.ggml.tokens holds {twice!r} more than once")
        merges = [_pair(merge) for merge in _strings(metadata, "tokenizer.ggml.merges")]
        try:
            model = models.BPE(vocab=vocabulary, merges=merges)
        except Exception as error:  # the package raises plain Exception for a merge it cannot use
            raise ValueError(f"tokenizer.ggml.merges does not fit the tokens: {error}") from error

        inner = tokenizers.Tokenizer(model)
        inner.pre_tokenizer = _PRE_TOKENIZERS[pre]()
        inner.decoder = decoders.ByteLevel()
        _add_special(inner, tokens, metadata)

        bos_id = _token_id(metadata, "tokenizer.ggml.bos_token_id", len(tokens))
        # A chat model may end a turn with another token than it ends a text with.
        ends = (_token_id(metadata, f"tokenizer.ggml.{k}_token_id", len(tokens)) for k in _ENDS)
        add_bos = metadata.get("tokenizer.ggml.add_bos_token", False) is True
        if add_bos and bos_id is None:
            raise ValueError("tokenizer.ggml.add_bos_token is set without a bos_token_id")
        return cls(
            inner,
            bos_id=bos_id,
            eos_ids=frozenset(i for i in ends if i is not None),
            add_bos=add_bos,
        )

    def __len__(self) -> int:
        """The number of ids."""
        return self._size

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`; the spelling of a special token becomes that token."""
        ids = list(self._inner.encode(text, add_special_tokens=False).ids)
        return [self.bos_id, *ids] if self.add_bos and self.bos_id is not None else ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, without special tokens; bytes that are not UTF-8 become U+FFFD.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        known = list(ids)
        for token in known:
            if not 0 <= token < self._size:
                raise ValueError(f"token id {token} is outside the vocabulary of {self._size}")
        return str(self._inner.decode(known, skip_special_tokens=True))

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the text of `ids` piece by piece, as soon as a piece ends at a whole character."""
        pending: list[int] = []
        for token in ids:
            pending.append(token)
            piece = self.decode(pending)
            # The first bytes of a character decode to U+FFFD until the last one is there.
            if not piece.endswith("\N{REPLACEMENT CHARACTER}"):
                pending.clear()
                yield piece
        if pending:
            yield self.decode(pending)


def _smollm() -> tokenizers.pre_tokenizers.PreTokenizer:
    """Digits one by one, then GPT-2's split into words, each in byte spelling."""
    from tokenizers import pre_tokenizers as pre

    digits = pre.Digits(individual_digits=True)
    return pre.Sequence([digits, pre.ByteLevel(add_prefix_space=False, use_regex=True)])


_ENDS = ("eos", "eot")
_PRE_TOKENIZERS: dict[str, Callable[[], tokenizers.pre_tokenizers.PreTokenizer]] = {
    "smollm": _smollm
}


def _supported(metadata: Mapping[str, object], key: str, choices: list[str]) -> str:
    value = metadata.get(key)
    if not isinstance(value, str) or value not in choices:
        found = "missing" if value is None else repr(value)
        raise ValueError(f"{key} is {found}, supported is {', '.join(map(repr, choices))}")
    return value


def _strings(metadata: Mapping[str, object], key: str) -> list[str]:
    value = metadata.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key} is missing or is not a list of strings")
    return value


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    if not left or not right:
        raise ValueError(f"tokenizer.ggml.merges holds {merge!r}, expected two tokens")
    return left, right


def _token_id(metadata: Mapping[str, object], key: str, count: int) -> int | None:
    value = metadata.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or not 0 <= value < count:
        raise ValueError(f"{key} is {value!r}, the vocabulary has {count} tokens")
    return value


def _add_special(
    inner: tokenizers.Tokenizer, tokens: list[str], metadata: Mapping[str, object]
) -> None:
    """Mark the tokens that are matched whole in a text, before it is split into words."""
    from tokenizers import AddedToken

    types = metadata.get("tokenizer.ggml.token_type", [])
    if not isinstance(types, list) or len(types) not in (0, len(tokens)):
        raise ValueError("tokenizer.ggml.token_type is not a list with one value a token")
    typed = list(zip(tokens, types, strict=False))
    for kind, special in ((CONTROL, True), (USER_DEFINED, False)):
        chosen = [AddedToken(t, special=special, normalized=False) for t, k in typed if k == kind]
        (inner.add_special_tokens if special else inner.add_tokens)(chosen)
