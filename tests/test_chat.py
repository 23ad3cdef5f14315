"""Chat templates: what they are given, and what is said where they fail."""

from __future__ import annotations

import copy
import pickle
import re
from collections import OrderedDict
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from qkernels.llama import ChatTemplate, Tokenizer

USER = {"role": "user", "content": "Hi"}
TURNS = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"


def render(source: str, *messages: dict[str, Any], **options: Any) -> str:
    return ChatTemplate(source).render(messages or (USER,), **options)


def test_a_template_is_given_the_messages_and_the_tokens_of_the_file(
    random_model: qk.GGUFFile,
) -> None:
    source = f"{{{{ bos_token }}}}{TURNS}{{{{ eos_token }}}}"
    metadata = {**random_model.metadata, "tokenizer.chat_template": source}
    template = ChatTemplate.from_metadata(metadata, Tokenizer.from_metadata(metadata))
    system = {"role": "system", "content": "Be brief"}
    text = template.render([system, USER])
    assert text == "<|im_start|>system:Be brief;user:Hi;<|im_end|>"


def test_a_template_finds_every_special_token_that_the_file_names(
    random_model: qk.GGUFFile,
) -> None:
    names = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
    source = "|".join(f"{{{{ {name}_token }}}}" for name in names)
    keys = dict(zip(("unknown", "seperator", "padding", "cls", "mask"), "abcde", strict=True))
    ids = {
        letter: Tokenizer.from_metadata(random_model.metadata).encode(letter)[0]
        for letter in "abcde"
    }
    metadata = {**random_model.metadata, "tokenizer.chat_template": source}
    metadata |= {f"tokenizer.ggml.{key}_token_id": ids[letter] for key, letter in keys.items()}
    template = ChatTemplate.from_metadata(metadata, Tokenizer.from_metadata(metadata))
    assert template.render([USER]) == "<|im_start|>|<|im_end|>|a|b|c|d|e"


def test_tokens_that_the_file_does_not_name_are_undefined() -> None:
    source = "{{ unk_token is defined }}{{ pad_token is defined }}{{ bos_token is defined }}"
    template = ChatTemplate(source, unk_token="<unk>", pad_token="")
    assert template.render([USER]) == "TrueTrueFalse"


def test_the_prompt_for_an_answer_is_a_choice() -> None:
    source = TURNS + "{% if add_generation_prompt %}assistant:{% endif %}"
    assert render(source) == "user:Hi;assistant:"
    assert render(source, add_generation_prompt=False) == "user:Hi;"


def test_lines_of_tags_leave_no_space_behind() -> None:
    assert render("a\n  {% if true %}\nb\n  {% endif %}\nc") == "a\nb\nc"


def test_json_is_written_without_escapes() -> None:
    message = {"role": "user", "content": {"b": "<é>", "a": [1]}}
    source = "{{ messages[0].content | tojson }}{{ messages[0].content | tojson(indent=1) }}"
    assert render(source, message) == '{"b": "<é>", "a": [1]}{\n "b": "<é>",\n "a": [\n  1\n ]\n}'


def test_the_date_is_todays() -> None:
    assert render("{{ strftime_now('%Y') }}") in {str(datetime.now().year + i) for i in (-1, 0)}


def test_loops_can_break_and_training_marks_are_passed_over() -> None:
    source = "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
    assert render(source) == "01"
    assert render("a{% generation %}b{{ messages|length }}{% endgeneration %}c") == "ab1c"


def test_a_template_that_raises_says_why() -> None:
    with pytest.raises(ValueError, match=r"does not take these messages: roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% if %}", "tokenizer.chat_template is no valid template: Expected an expression"),
        ("{{ 1 / 0 }}", "does not take these messages: division by zero"),
        ("{{ messages[0].content + 1 }}", "does not take these messages: can only concatenate"),
        ("{{ ''.__class__.__mro__ }}", "does not take these messages: access to attribute"),
        ("{% set _ = messages.append(1) %}", "does not take these messages: access to attribute"),
        ("{% for i in range(10**7) %}{% endfor %}", "does not take these messages: Range too big"),
    ],
)
def test_a_template_at_fault_is_a_value_error(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(source)


def test_a_file_without_a_template_is_refused(random_model: qk.GGUFFile) -> None:
    metadata = random_model.metadata
    with pytest.raises(ValueError, match=r"the file has no tokenizer\.chat_template"):
        ChatTemplate.from_metadata(metadata, Tokenizer.from_metadata(metadata))


def test_a_file_with_named_templates_alone_lists_them(random_model: qk.GGUFFile) -> None:
    named = {f"tokenizer.chat_template.{name}": "x" for name in ("tool_use", "rag")}
    metadata = {**random_model.metadata, **named}
    with pytest.raises(ValueError, match="only templates for a purpose: 'rag', 'tool_use'"):
        ChatTemplate.from_metadata(metadata, Tokenizer.from_metadata(metadata))


def test_bytes_in_messages_are_utf_8() -> None:
    message = {
        "role": b"user",
        "content": memoryview(b"fa\xc3\xa7ade"),
        "more": [b"a", {"b": b"c"}],
    }
    source = TURNS + "{{ messages[0].more }}"
    assert render(source, message) == "user:façade;['a', {'b': 'c'}]"
    with pytest.raises(ValueError, match=r"messages\[0\]\['content'\] is not valid UTF-8"):
        render(TURNS, {"role": "user", "content": b"fa\xe7ade"})
    with pytest.raises(ValueError, match=r"messages\[0\]\['content'\] is not valid Unicode"):
        render(TURNS, {"role": "user", "content": "a\ud800"})


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ({"role": "user", "content": True}, "is text, a list or a dict, not bool"),
        ({"role": "user", "content": 3}, "is text, a list or a dict, not int"),
        ({"role": 3, "content": "Hi"}, "'role'] is text, not 3"),
        ({"role": "user", "content": [{1, 2}]}, "holds set, which a template cannot take"),
        ({"role": "user", "content": "Hi", "when": datetime(2020, 1, 1)}, "holds datetime"),
    ],
)
def test_what_is_no_content_is_a_type_error(message: dict[str, Any], what: str) -> None:
    with pytest.raises(TypeError, match=re.escape(what)):
        render(TURNS, message)


def test_messages_may_hold_what_stands_for_plain_objects() -> None:
    class Loud(str):
        def __str__(self) -> str:
            return "LOUD"

    class Role(IntEnum):
        ONE = 1

    message = {"role": Loud("user"), "content": np.str_("Hi"), "n": Role.ONE, "x": np.float64(0.5)}
    source = TURNS + "{{ messages[0].n }} {{ messages[0].x }}"
    assert render(source, message, OrderedDict(USER)) == "user:Hi;user:Hi;1 0.5"


@pytest.mark.parametrize("messages", ["Hi", b"Hi", USER])
def test_one_message_is_no_conversation(messages: Any) -> None:
    with pytest.raises(TypeError, match="messages are a sequence of dicts, not "):
        ChatTemplate(TURNS).render(messages)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_template_is_copied_and_pickled(how: Any) -> None:
    template = ChatTemplate("{{ bos_token }}" + TURNS, bos_token="<s>")
    assert how(template).render([USER]) == template.render([USER]) == "<s>user:Hi;"


@pytest.mark.parametrize("messages", [[], ["Hi"], [{"content": "Hi"}]])
def test_what_is_no_conversation_is_refused(messages: Any) -> None:
    with pytest.raises(ValueError, match=r"no messages|not a message with a role"):
        ChatTemplate(TURNS).render(messages)


@pytest.mark.model
def test_the_real_template_adds_its_system_prompt(model_path: Path) -> None:
    with qk.load_gguf(model_path) as file:
        template = ChatTemplate.from_metadata(file.metadata, Tokenizer.from_metadata(file.metadata))
    assert template.render([USER]) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
