"""Conversations as text: the Jinja template that a chat model's file brings.

A template is a program from the file, so it runs in Jinja's sandbox. It finds what Hugging Face's
`transformers` offers, which is what templates are written for: `messages`, `bos_token`,
`eos_token`, `add_generation_prompt`, `raise_exception(message)`, `strftime_now(format)`, `tojson`
without the escapes of HTML, and the tags `break`, `continue` and `generation`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

    from qkernels.llama.tokenizer import Tokenizer

KEY = "tokenizer.chat_template"

Message = Mapping[str, Any]


class ChatTemplate:
    """The chat template of one model."""

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        """Compile a template.

        Args:
            source: the template.
            bos_token: what the template calls by this name.
            eos_token: likewise.

        Raises:
            ValueError: it is no template; the message has the reason.
        """
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        try:
            self._template = _environment().from_string(source)
        except Exception as error:
            raise ValueError(f"{KEY} is no valid template: {error}") from error

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object], tokenizer: Tokenizer) -> ChatTemplate:
        """Compile the template of a GGUF file.

        Args:
            metadata: the file's key-value pairs.
            tokenizer: of the same file.

        Raises:
            ValueError: the file has none, or one that is not valid.
        """
        source = metadata.get(KEY)
        if not isinstance(source, str):
            raise ValueError(
                f"the file has no {KEY}: it is no chat model, or its makers left it out"
            )
        names = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id}
        spelt = {n: "" if i is None else tokenizer.spelling(i) for n, i in names.items()}
        return cls(source, **spelt)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """The text of a conversation.

        Args:
            messages: in order, each with at least "role" (such as "system", "user", "assistant")
                and "content".
            add_generation_prompt: whether the text ends with the beginning of an answer.

        Raises:
            ValueError: there are no messages, one has no role, or the template fails on them or
                refuses them; the message has its reason.
        """
        if not messages:
            raise ValueError("there are no messages")
        for message in messages:
            if not isinstance(message, Mapping) or "role" not in message:
                raise ValueError(f"{message!r} is not a message with a role")
        try:
            return self._template.render(
                messages=list(messages),
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                **self._tokens,
            )
        except Exception as error:  # whatever a program from a file may do
            raise ValueError(f"{KEY} does not take these messages: {error}") from error


def _environment() -> jinja2.Environment:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """Marks what an assistant says, which matters in training only."""

        tags = {"generation"}  # noqa: RUF012 (Jinja's interface)

        def parse(self, parser: Parser) -> list[nodes.Node]:
            """Put what is between the tags in their place."""
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def to_json(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    return environment
