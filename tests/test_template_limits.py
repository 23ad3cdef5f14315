"""Templates of strangers: what they may take of time and memory, and the sandbox around them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import jinja2
import pytest

from qkernels.llama import ChatTemplate, template_process, template_worker

USER = {"role": "user", "content": "Hi"}
DOUBLED = (
    "{{% set ns = namespace(x={0}) %}}"
    "{{% for i in range(60) %}}{{% set ns.x = {1} %}}{{% endfor %}}{{{{ ns.x }}}}"
)
GREEDY = {
    "a product of strings": "{{ 'a' * 10**10 }}",
    "a product of lists": "{{ [0] * 10**10 }}",
    "a string that doubles": DOUBLED.format("'a'", "ns.x ~ ns.x"),
    "a sum that doubles": DOUBLED.format("[1]", "ns.x + ns.x"),
    "a width": "{{ '%10000000000s' % 'a' }}",
    "a format's width": "{{ '{:10000000000}'.format('a') }}",
    "a justified string": "{{ 'a'.ljust(10**10) }}",
    "a centred string": "{{ 'a' | center(10**10) }}",
    "a replaced string": "{{ ('a' * 10**5).replace('a', 'b' * 10**6) }}",
    "a joined list": "{{ (['a' * 10**6] * 10**5) | join }}",
}
ENDLESS = {
    "nested loops": "{% for i in range(99999) %}" * 2 + "{% endfor %}" * 2,
    "a list that nests": DOUBLED.format("[1]", "[ns.x, ns.x]"),
    "a power": "{{ 9 ** (9 ** 9) }}",
    "filters": "{{ range(99999) | map('string') | map('list') | list | length }}" * 500,
}
DEEP = {
    "a macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a recursive loop": "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "brackets": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "a sum": "{{ 1" + " + 1" * 20000 + " }}",
}


def refused(source: str) -> str:
    """What is said of a template."""
    with pytest.raises(ValueError, match=r"tokenizer\.chat_template ") as caught:
        ChatTemplate(source).render([USER])
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("source", GREEDY.values(), ids=GREEDY)
def test_a_template_that_fills_the_memory_is_refused(source: str) -> None:
    begin = monotonic()
    assert refused(source).endswith("it takes more than 256 MB of memory")
    assert monotonic() - begin < 2 * template_worker.SECONDS


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """Half a second, in which a template has to be done."""
    template_process._stop()  # a process is told when it starts
    monkeypatch.setattr(template_worker, "SECONDS", 0.5)
    yield 0.5
    template_process._stop()


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
def test_a_template_that_does_not_end_is_refused(source: str, impatient: float) -> None:
    begin = monotonic()
    message = refused(source)
    assert message.endswith(f"it takes more than {impatient} seconds") or "256 MB" in message
    assert monotonic() - begin < 20 * impatient


@pytest.mark.parametrize("source", DEEP.values(), ids=DEEP)
def test_a_template_that_is_nested_too_deeply_is_refused(source: str) -> None:
    assert any(word in refused(source) for word in ("recursion", "nested", "process", "memory"))


def test_the_next_template_is_none_the_worse(impatient: float) -> None:
    fine = ChatTemplate("{{ messages[0].content }}")
    for source in (ENDLESS["nested loops"], GREEDY["a product of strings"]):
        refused(source)
        assert fine.render([USER]) == "Hi"


def test_a_process_that_was_ended_is_replaced() -> None:
    template = ChatTemplate("{{ messages[0].content }}")
    process = template_process._process
    assert process is not None
    process.kill()
    assert template.render([USER]) == "Hi"


def test_threads_take_turns() -> None:
    found: list[str] = []

    def work(name: str) -> None:
        template = ChatTemplate(f"{name}{{{{ messages[0].content }}}}")
        found.extend(template.render([USER]) for _ in range(20))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == ["aHi"] * 20 + ["bHi"] * 20 + ["cHi"] * 20


PROGRAM = """
import os, signal, sys
from qkernels.llama import ChatTemplate
template = ChatTemplate("{{ messages[0].content }}")
render = lambda: template.render([{"role": "user", "content": "Hi"}])
if hasattr(os, "fork"):
    if not (child := os.fork()):
        os._exit(render() != "Hi")
    assert os.waitpid(child, 0)[1] == 0
print(render())
"""


def test_a_forked_child_has_a_process_of_its_own_and_nothing_is_left() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hi\n", "")


@pytest.mark.parametrize(
    ("version", "fault"), [("3.1.5", True), ("3.1.6", False), ("3.2.dev1", False), ("10", False)]
)
def test_a_sandbox_that_can_be_left_is_refused(
    version: str, fault: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jinja2, "__version__", version)
    assert bool(template_worker.jinja_fault()) == fault


def test_an_older_jinja_on_the_path_is_said(tmp_path: Path) -> None:
    (tmp_path / "jinja2.py").write_text("__version__ = '3.1.5'")
    program = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from qkernels.llama import ChatTemplate
        try:
            ChatTemplate("x").render([{{"role": "user", "content": "x"}}])
        except ImportError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("jinja2 3.1.5 does not hold a template in its sandbox"), done


def test_the_sandbox_holds() -> None:
    escape = "{{ ('{0.__globals__[json].__file__}'|attr('format'))(strftime_now) }}"
    assert "is unsafe" in refused(escape)
    for name in ("__class__", "__globals__", "__init__"):
        assert "is unsafe" in refused(f"{{{{ raise_exception.{name}.x }}}}")


def test_control_c_is_not_for_the_process() -> None:
    template = ChatTemplate("{{ messages[0].content }}")
    process = template_process._process
    assert process is not None
    os.kill(process.pid, signal.SIGINT)
    assert template.render([USER]) == "Hi"
    assert template_process._process is process


@pytest.mark.parametrize("executable", ["", None, "/usr/bin/uwsgi"])
def test_a_program_without_an_interpreter_to_start_renders_too(
    executable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(template_process, "_started", Any)
    assert ChatTemplate("{{ messages[0].content }}").render([USER]) == "Hi"
    assert "division by zero" in refused("{{ 1 / 0 }}")
