"""Parts of a check: each has a status, its seconds and the end of its log, and stops no other."""

from __future__ import annotations

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

    def __post_init__(self) -> None:
        self.start = self.clock()

    def left(self) -> float:
        """The seconds of the budget that are left."""
        return self.seconds - (self.clock() - self.start)

    def run(self, name: str, body: Callable[[Part], Any], needs: Sequence[Part] = ()) -> Part:
        """Runs `body(part)`, whose result is the part's data.

        The part is not run when one that it `needs` did not pass, when no time is left, or when
        `body` raises NotRunError. Any other exception is its failure.
        """
        part = Part(name)
        self.parts.append(part)
        began = self.clock()
        try:
            for need in needs:
                if need.status != PASSED:
                    raise NotRunError(f"needs {need.name!r}, which has {need.status}")
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
            TimeoutError: It took longer; what it had written is in the part's log.
            RuntimeError: It ended with another status than 0.
        """
        limit = min(limit, max(self.left(), 1.0))
        output = run(command, limit, env)
        part.log = (part.log + output.text)[-TAIL:]
        if output.status is None:
            part.data = output.text  # what was found until then
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
