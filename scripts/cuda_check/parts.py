"""Parts of a check: each has a status, its seconds and the end of its log, and stops no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PASSED, FAILED, TIMED_OUT, NOT_RUN = "passed", "failed", "timed out", "not run"
TAIL = 3000  # characters of a log that are kept


class NotRunError(Exception):
    """What a part lacks; it is no failure."""


@dataclass
class Output:
    """What a command wrote, and how it ended: its status, or None after its time limit."""

    text: str
    status: int | None


@dataclass
class Part:
    """How a part went. `reason` says why it failed or was not run, `data` is what it found."""

    name: str
    status: str = NOT_RUN
    seconds: float = 0.0
    reason: str = ""
    log: str = ""
    data: Any = None


@dataclass
class Check:
    """All parts so far, within a budget of seconds."""

    seconds: float
    parts: list[Part] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    start: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """The seconds of the budget that are left."""
        return self.seconds - (self.clock() - self.start)

    def run(self, name: str, body: Callable[[Part], Any]) -> Part:
        """Runs `body(part)`, whose result is the part's data.

        The part is not run when no time is left, or when `body` raises NotRunError. Any other
        exception is its failure.
        """
        part = Part(name)
        self.parts.append(part)
        began = self.clock()
        try:
            if self.left() < 1.0:
                raise NotRunError("no time is left")
            part.data = body(part)
            part.status = PASSED
        except NotRunError as error:
            part.reason = str(error)
        except TimeoutError as error:
            part.status, part.reason = TIMED_OUT, str(error)
        except Exception as error:
            part.status, part.reason = FAILED, f"{type(error).__name__}: {error}"
            part.log = part.log or traceback.format_exc()[-TAIL:]
        part.seconds = round(self.clock() - began, 1)
        return part

    def command(
        self,
        part: Part,
        command: Sequence[str],
        limit: float,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Runs a command for at most `limit` seconds and those left; its output, errors included.

        Raises:
            TimeoutError: It took longer.
            RuntimeError: It ended with another status than 0. In both cases what it had written is
                in the part's log, and its JSON lines are the part's data.
        """
        limit = min(limit, max(self.left(), 1.0))
        output = run(command, limit, env)
        part.log = (part.log + output.text)[-TAIL:]
        if output.status != 0:
            part.data = json_lines(output.text)
        if output.status is None:
            raise TimeoutError(f"{command[0]} took more than {limit:.0f} s")
        if output.status != 0:
            raise RuntimeError(f"{command[0]} ended with {output.status}")
        return output.text

    def as_json(self) -> list[dict[str, Any]]:
        """The parts, in the order in which they ran."""
        return [asdict(part) for part in self.parts]


def run(command: Sequence[str], limit: float, env: Mapping[str, str] | None = None) -> Output:
    """Runs a command with more variables; after `limit` seconds all that it started is ended."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(env or {})},
        start_new_session=True,
    ) as process:
        try:
            text, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
            return Output(text, None)
    return Output(text, process.returncode)


def json_lines(text: str) -> list[dict[str, Any]]:
    """The JSON objects among a program's lines; one that was cut off is left out."""
    found = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
