"""The progress bar: on a terminal, once work takes long, and never in the way."""

import io
import sys

import pytest

import qkernels as qk
from qkernels._base import progress as module
from qkernels._base.progress import bar, progress
from qkernels.weights import packing
from weights import tensor


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal as standard error, from here to the end of the test."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    return shown


@pytest.mark.parametrize(("patience", "is_shown"), [(0.0, True), (1e6, False)])
def test_a_bar_shows_on_a_terminal_once_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, patience: float, is_shown: bool
) -> None:
    terminal = watched(monkeypatch)
    with progress("Reading weights", patience=patience) as (expect, advance):
        expect(100)
        advance(40)
    assert ("Reading weights" in terminal.getvalue()) == is_shown
    assert ("40%" in terminal.getvalue()) == is_shown


@pytest.mark.parametrize("stderr", [io.StringIO(), None])
def test_no_bar_shows_where_nobody_looks(
    monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO | None
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress("Packing", 8, patience=0.0) as (_, advance):
        advance(8)
    assert stderr is None or stderr.getvalue() == ""


def test_without_rich_there_is_no_bar_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    for name in ("rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    with progress("Packing", 8, patience=0.0) as (_, advance):
        advance(8)
    assert terminal.getvalue() == ""


def test_a_bar_beside_a_loop_hands_out_every_item(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    monkeypatch.setattr(module, "progress", lambda *a: progress(*a, patience=0.0))
    assert list(bar("abc", "Training")) == ["a", "b", "c"]
    assert "Training" in terminal.getvalue()


def test_packing_many_matrices_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    monkeypatch.setattr(packing, "progress", lambda *a, **k: progress(*a, **k, patience=0.0))
    weights = {name: tensor("q4_0", 8, 64) for name in "ab"}
    packed = packing.pack_all(weights)
    assert all(isinstance(packed[name], qk.PackedTensor) for name in weights)
    assert "Packing" in terminal.getvalue()
