"""What all commands have in common: an example, an option for machines, and how they end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from qkernels.cli.app import app

ROOT: Any = typer.main.get_command(app)


def leaves(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, child in command.commands.items():
        yield from leaves(child, *path, name)


COMMANDS = dict(leaves(ROOT))
each_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def example_of(path: tuple[str, ...]) -> list[str]:
    """The words after `qkernels` in a command's example."""
    found = re.fullmatch(r"Example: qkernels (.+)", COMMANDS[path].epilog or "")
    assert found is not None
    return re.findall(r"'[^']*'|\"[^\"]*\"|\S+", found[1].split(" > ")[0])


@each_command
def test_the_help_of_a_command_ends_with_an_example_of_it(path: tuple[str, ...]) -> None:
    words = example_of(path)
    assert tuple(words[: len(path)]) == path
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "Example: qkernels " + " ".join(path) in result.output


@each_command
def test_an_example_has_options_that_there_are(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    assert {word for word in example_of(path) if word.startswith("-")} <= known


@each_command
def test_a_command_tells_its_results_to_machines_too(path: tuple[str, ...]) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[path].params)


@each_command
def test_a_wrong_option_ends_a_command_with_2(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--no-such-option"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "--no-such-option" in result.stderr


def typed(option: Any) -> list[str]:
    """An option as it is typed; what its values have to be is asked later."""
    spelling = max(option.opts, key=len)
    return [spelling] if option.is_flag else [spelling, "x"]


ONCE = [
    (path, option)
    for path, command in COMMANDS.items()
    for option in command.params
    if option.param_type_name == "option" and not option.multiple and option.name != "help"
]


@pytest.mark.parametrize(("path", "option"), ONCE, ids=lambda x: getattr(x, "name", None))
def test_an_option_of_one_value_that_is_given_twice_is_refused(
    path: tuple[str, ...], option: Any
) -> None:
    """Whatever else there is: the last one would win, and nobody hear of the first."""
    twice = [*typed(option), *typed(option)]
    result = CliRunner().invoke(app, [*path, *twice], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert f"{max(option.opts, key=len)}" in result.stderr
    assert "is given 2 times; once is all" in result.stderr


def test_switches_that_contradict_each_other_are_one_option_given_twice() -> None:
    result = CliRunner().invoke(app, ["bench", "gemv", "--cold", "--warm"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--cold / --warm is given 2 times; once is all" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("stream --sweep --kernel dotprod --warm", "--kernel, --cold/--warm change nothing with"),
        ("stream --sweep --iters 9", "--iters changes nothing with --sweep, which tries all"),
        ("stream --sweep --prefetch 2 --check", "--prefetch, --check change nothing with --sweep"),
        ("stream --plot a.png", "--plot changes nothing without --sweep"),
        ("stream --rounds 30", "--rounds changes nothing without --sweep"),
        ("generate m x --seed 3", "--seed changes nothing at --temperature 0, which takes the"),
        ("generate m x --top-k 5 --top-p 1 --min-p 0", "--top-k, --top-p, --min-p change nothing"),
        ("gate-train --lambda 1 --lambda-path 1,2", "--lambda changes nothing with --lambda-path"),
        ("gate-train --progress --lambda-path 1,2", "--progress changes nothing with"),
        ("gate-train --weights w.npy --activations x.npy --seed 1", "--seed changes nothing where"),
    ],
)
def test_an_option_without_a_part_in_what_is_asked_for_is_refused(words: str, message: str) -> None:
    result = CliRunner().invoke(app, words.split(), env={"COLUMNS": "200"})
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_the_commands_are_these() -> None:
    assert {path[0] for path in COMMANDS} == {
        *("info", "demo", "bench", "generate", "perplexity"),
        *("inspect", "verify", "extract", "quantize", "stream", "gate-train"),
    }


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("qkernels info >&-", 0, ""),
        ("qkernels info >/dev/full", 1, "qkernels: [Errno 28] No space left on device"),
        ("qkernels --help >/dev/full", 1, "qkernels: [Errno 28] No space left on device"),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 qkernels --help >/dev/null", 0, ""),
    ],
)
def test_a_command_without_a_place_for_its_output_says_so_in_a_line(
    command: str, status: int, message: str
) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["PYTHONUNBUFFERED"] = ""
    result = subprocess.run(
        ["sh", "-c", command], stderr=subprocess.PIPE, text=True, env=environment, timeout=60
    )
    assert (result.returncode, result.stderr.strip()) == (status, message)
