"""Chat templates: what they are given, and what is said where they fail."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

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
