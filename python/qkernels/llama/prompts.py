"""Token ids of what a model is to continue: a text, or a conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from qkernels.llama.chat import ChatTemplate, Message, plain_messages
from qkernels.llama.inputs import Text, text_of
from qkernels.llama.tokenizer import Tokenizer

# Where marks begin: characters that Unicode has no use for, of which a conversation lacks some.
_MARKS = range(0xFDD0, 0xFDF0)


def text_ids(
    tokenizer: Tokenizer, text: Text, *, bos: bool | None, parse_special: bool
) -> list[int]:
    """The ids of a text that is to be continued, so without EOS.

    Raises:
        ValueError: it is empty, and no BOS is asked for; and as `Tokenizer.encode`.
        TypeError: as `Tokenizer.encode`.
    """
    if not text_of(text, "the text") and not bos:
        raise ValueError("the prompt is empty")
    return tokenizer.encode(text, bos=bos, eos=False, parse_special=parse_special)


def chat_ids(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    bos: bool | None = None,
    parse_special: bool = True,
) -> list[int]:
    """The ids of a conversation in the form that its template gives it.

    Args:
        template: which writes the text.
        tokenizer: of the same model.
        messages: as `ChatTemplate.render` takes them.
        bos: whether BOS comes first, by default as the file says: once, whether the template writes
            it or not. False leaves it to the template.
        parse_special: whether a spelling of a special token in a message is that token. Those that
            the template writes are.

    Raises:
        ValueError, TypeError: as `ChatTemplate.render`.
    """
    if parse_special:
        ids = tokenizer.encode(template.render(messages), bos=False, eos=False)
    else:
        plain = plain_messages(messages)
        written = json.dumps(plain, ensure_ascii=False)
        mark = next((chr(c) for c in _MARKS if chr(c) not in written), chr(_MARKS[0]))
        guarded: Any = [_guarded(message, tokenizer, mark) for message in plain]
        ids = tokenizer._encode_guarded(template.render(guarded), mark)
    wanted = tokenizer.add_bos if bos is None else bos
    if not wanted or tokenizer.bos_id is None:
        if bos:
            raise ValueError("the vocabulary has no BOS")
        return ids
    return ids if ids[:1] == [tokenizer.bos_id] else [tokenizer.bos_id, *ids]


def _guarded(value: object, tokenizer: Tokenizer, mark: str) -> object:
    """A message with a mark in each spelling of a special token."""
    if isinstance(value, str):
        return tokenizer._guarded(value, mark)
    if isinstance(value, dict):
        return {key: _guarded(inner, tokenizer, mark) for key, inner in value.items()}
    if isinstance(value, list):
        return [_guarded(inner, tokenizer, mark) for inner in value]
    return value
