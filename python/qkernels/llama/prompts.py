"""Token ids of what a model is to continue: a text, or a conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from qkernels.llama.chat import ChatTemplate, Message, checked_messages
from qkernels.llama.inputs import Text, ids_of, is_text, shown, text_of
from qkernels.llama.tokenizer import Tokenizer

# Where marks begin: characters that Unicode has no use for, of which a conversation lacks some.
_MARKS = range(0xFDD0, 0xFDF0)


def prompt_ids(
    tokenizer: Tokenizer, prompt: Text | Sequence[int], *, bos: bool | None, parse_special: bool
) -> list[int]:
    """The ids of what is to be continued: of a text, so without EOS; ids are taken as they are.

    Raises:
        ValueError: a text is empty, and no BOS is asked for; `bos` or `parse_special` is given for
            ids; and as `Tokenizer.encode`.
        TypeError: it is neither text nor ids.
    """
    if is_text(prompt):
        text = text_of(prompt, "the text")
        if not text and not bos:
            raise ValueError("the prompt is empty")
        return tokenizer.encode(text, bos=bos, eos=False, parse_special=parse_special)
    if bos is not None or not parse_special:
        given = f"bos={bos}" if bos is not None else f"parse_special={parse_special}"
        raise ValueError(f"{given} says how a text is encoded, and the prompt is token ids")
    return ids_of(prompt, "the prompt")


def checked_ids(ids: list[int], vocabulary: int, context: int) -> list[int]:
    """The ids themselves.

    Raises:
        ValueError: there are none, one is outside the vocabulary, or more than the context.
    """
    if not ids:
        raise ValueError("there are no tokens")
    if len(ids) > context:
        raise ValueError(f"{len(ids)} tokens are more than the context of {context}")
    for token in ids:
        if not 0 <= token < vocabulary:
            raise ValueError(f"token id {shown(token)} is outside the vocabulary of {vocabulary}")
    return ids


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
        checked = checked_messages(messages)
        written = json.dumps(checked, ensure_ascii=False)
        mark = next((chr(c) for c in _MARKS if chr(c) not in written), chr(_MARKS[0]))
        guarded: Any = [_guarded(message, tokenizer, mark) for message in checked]
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
