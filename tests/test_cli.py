"""What all commands have in common: an example, an option for machines, and how they end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from qkernels.cli import app

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


def test_the_commands_are_these() -> None:
    assert {path[0] for path in COMMANDS} == {
        *("info", "demo", "bench", "generate", "perplexity"),
        *("inspect", "verify", "extract", "quantize", "stream", "gate-train"),
    }
