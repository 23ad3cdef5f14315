"""Conversations as text: the Jinja template that a chat model's file brings.

A template is a program from the file, so it runs in Jinja's sandbox, in a process of its own with
limits of time and memory. It finds what Hugging Face's `transformers` offers, which is what
templates are written for: `messages`, `add_generation_prompt`, the spellings of special tokens
(`bos_token`, `eos_token`, `unk_token`, `pad_token`, `sep_token`, `cls_token`, `mask_token`, where
the file has them), `raise_exception(message)`, `strftime_now(format)`, `tojson` without the escapes
of HTML, and the tags `break`, `continue` and `generation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qkernels.llama.inputs import is_text, shown, text_of
from qkernels.llama.template_process import run_template

if TYPE_CHECKING:
    from qkernels.llama.tokenizer import Tokenizer

KEY = "tokenizer.chat_template"
# Nesting of a message's content.
_DEEPEST = 64

Message = Mapping[str, Any]


class ChatTemplate:
    """The chat template of one model."""

    def __init__(
        self,
        source: str,
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
        unk_token: str | None = None,
        sep_token: str | None = None,
        pad_token: str | None = None,
        cls_token: str | None = None,
        mask_token: str | None = None,
    ) -> None:
        """Compile a template.

        Args:
            source: the template.
            bos_token: what the template calls by this name; None leaves it undefined.
            eos_token: likewise, as are the others.
            unk_token: of what no token spells.
            sep_token: between two texts.
            pad_token: that fills a batch up.
            cls_token: of a whole text.
            mask_token: of a word to be guessed.

        Raises:
            ValueError: it is no template; the message has the reason.
            TypeError: `source` is no text.
            ImportError: there is no Jinja of version 3.1.6 or later.
        """
        named = {
            **{"bos_token": bos_token, "eos_token": eos_token, "unk_token": unk_token},
            **{"sep_token": sep_token, "pad_token": pad_token, "cls_token": cls_token},
            "mask_token": mask_token,
        }
        self._tokens = {name: token for name, token in named.items() if token is not None}
        self._source = text_of(source, "the template")
        _run(self._source, None)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object], tokenizer: Tokenizer) -> ChatTemplate:
        """Compile the template of a GGUF file.

        Args:
            metadata: the file's key-value pairs.
            tokenizer: of the same file.

        Raises:
            ValueError: the file has none, or only such as have names of their own, which the
                message lists, or one that is not valid.
            ImportError: as of a ChatTemplate.
        """
        source = metadata.get(KEY)
        if not isinstance(source, str):
            names = sorted(k.removeprefix(f"{KEY}.") for k in metadata if k.startswith(f"{KEY}."))
            raise ValueError(
                f"the file has no {KEY}: it is no chat model, or its makers left it out"
                if not names
                else f"the file has no {KEY}, only templates for a purpose:"
                f" {', '.join(map(repr, names))}; ChatTemplate takes the text of"
                f" metadata[{f'{KEY}.{names[0]}'!r}]"
            )
        return cls(source, **tokenizer.named())

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """The text of a conversation.

        Args:
            messages: in order, each with at least "role" (such as "system", "user", "assistant")
                and "content": text (or UTF-8 bytes of it), or a list or dict of what JSON has.
            add_generation_prompt: whether the text ends with the beginning of an answer.

        Raises:
            ValueError: there are no messages, one has no role or is not valid Unicode, or the
                template fails on them, refuses them, or takes more than 5 seconds or 256 MB for
                them; the message has its reason.
            TypeError: a content is a bool or a number, or a message holds what JSON has not.
        """
        return _run(
            self._source,
            {
                "messages": checked_messages(messages),
                "add_generation_prompt": bool(add_generation_prompt),
                "tools": None,
                "documents": None,
                **self._tokens,
            },
        )


def _run(source: str, names: dict[str, Any] | None) -> str:
    try:
        return run_template(source, names)
    except ValueError as error:
        raise ValueError(f"{KEY} {error}") from None


def checked_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as new dicts of plain Python objects, checked.

    Raises:
        ValueError, TypeError: as of `ChatTemplate.render`.
    """
    if is_text(messages) or isinstance(messages, Mapping):
        raise TypeError(f"messages are a sequence of dicts, not {type(messages).__name__}")
    found = []
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or "role" not in message:
            raise ValueError(f"{shown(message)} is not a message with a role")
        content = message.get("content")
        if (
            content is not None
            and not is_text(content)
            and not isinstance(content, (Mapping, list, tuple))
        ):
            raise TypeError(
                f"messages[{index}]['content'] is text, a list or a dict, not"
                f" {type(content).__name__}"
            )
        checked: dict[str, Any] = _checked_value(message, f"messages[{index}]", 0)
        if not isinstance(checked["role"], str):
            raise TypeError(f"messages[{index}]['role'] is text, not {shown(checked['role'])}")
        found.append(checked)
    if not found:
        raise ValueError("there are no messages")
    return found


def _checked_value(value: Any, where: str, depth: int) -> Any:
    """A value made of str, int, float, bool, None, list and dict alone."""
    if depth > _DEEPEST:
        raise ValueError(f"{where} is nested more than {_DEEPEST} deep")
    if is_text(value):
        return str.__str__(text_of(value, where))  # none of a subclass
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, Mapping):
        return {
            _checked_value(k, where, depth + 1): _checked_value(v, f"{where}[{k!r}]", depth + 1)
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_checked_value(item, where, depth + 1) for item in value]
    if isinstance(value, (int, float)):  # an enumeration's, or NumPy's float64
        return int(value) if isinstance(value, int) else float(value)
    raise TypeError(f"{where} holds {type(value).__name__}, which a template cannot take")
