"""Chat templates run in a process of their own, which bounds what they take.

A template is a program from a file of whoever. Jinja's sandbox keeps it from the system, but not
from computing for ever, nor from filling the memory: nested loops, 'a' * 10**9, lists of lists. So
another process runs it, `template_worker`, with limits of time and memory. It is started when the
first template is, which takes about a tenth of a second, answers in less than a thousandth, and
ends when nobody has asked for a minute.
"""

from __future__ import annotations

import atexit
import contextlib
import marshal
import os
import subprocess
import sys
import threading
from time import monotonic
from typing import IO, Any

from qkernels.llama import template_worker as worker

_lock = threading.Lock()
_process: subprocess.Popen[bytes] | None = None


def run_template(source: str, names: dict[str, Any] | None) -> str:
    """The text of a template; without names it is only compiled, and the text is empty.

    Args:
        source: the template.
        names: what it finds by name: str, int, float, bool, None, and lists and dicts of them.

    Raises:
        ValueError: it is no template, or it fails, or takes more time or memory than it may; the
            message has the reason.
        ImportError: there is no Jinja, or one whose sandbox can be left.
        OSError: no process can be started.
    """
    request = marshal.dumps((source, names))
    kind, text = _ask(request)
    if kind == worker.TEXT:
        return text
    if kind == worker.NO_JINJA:
        raise ImportError(text)
    if kind == worker.NO_TEMPLATE:
        raise ValueError(f"is no valid template: {text}")
    if kind == worker.TOO_MUCH:
        text = f"it takes more than {worker.MOST_BYTES >> 20} MB of memory"
    raise ValueError(f"does not take these messages: {text}")


def _ask(request: bytes) -> tuple[bytes, str]:
    if not _has_interpreter():
        fault = worker.jinja_fault()
        return (worker.NO_JINJA, fault) if fault else worker.answer(*marshal.loads(request))
    with _lock:
        for fresh in (_process is None, True):
            begin = monotonic()
            try:
                found = _answer(_started(), request)
            except BaseException:
                _stop()
                raise
            if found is None or found[0] == worker.TOO_MUCH:
                _stop()
            if found is not None:
                return found
            if monotonic() - begin >= worker.SECONDS:
                return worker.REFUSED, f"it takes more than {worker.SECONDS:g} seconds"
            if fresh:
                break  # otherwise it may have ended before it was asked
    return worker.REFUSED, "it ended the process that it ran in"


def _has_interpreter() -> bool:
    """Whether there is a Python to start; programs with one inside go without, and its limits."""
    name = os.path.basename(sys.executable or "").lower()
    return name.startswith(("python", "pypy")) and not getattr(sys, "frozen", False)


def _started() -> subprocess.Popen[bytes]:
    global _process
    if _process is not None and _process.poll() is not None:
        _stop()
    if _process is None:
        _process = subprocess.Popen(
            [sys.executable, "-s", "-S", worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # a buffer's lock that a thread holds would stop a forked child
        )
        paths = [path for path in sys.path if isinstance(path, str)]
        _send(_process, marshal.dumps((paths, worker.SECONDS)))
    return _process


def _send(process: subprocess.Popen[bytes], body: bytes) -> None:
    assert process.stdin is not None
    left = memoryview(worker.LENGTH.pack(len(body)) + body)
    while left:
        left = left[process.stdin.write(left) :]


def _read(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, or fewer where the process has ended."""
    parts = bytearray()
    while len(parts) < size and (part := stream.read(size - len(parts))):
        parts += part
    return bytes(parts)


def _answer(process: subprocess.Popen[bytes], request: bytes) -> tuple[bytes, str] | None:
    """The answer to a request, or None where the process has ended."""
    assert process.stdout is not None
    try:
        _send(process, request)
    except BrokenPipeError:
        return None
    head = _read(process.stdout, 1 + worker.LENGTH.size)
    if len(head) < 1 + worker.LENGTH.size:
        return None
    (size,) = worker.LENGTH.unpack(head[1:])
    body = _read(process.stdout, size)
    return (head[:1], body.decode("utf-8", "surrogatepass")) if len(body) == size else None


def _stop() -> None:
    """End the process, if there is one."""
    global _process
    process, _process = _process, None
    if process is not None:
        process.kill()
        _close(process)
        process.wait()


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # what was still to be written has no reader
                stream.close()


def _forget() -> None:
    """In a forked child: leave the process to the parent."""
    global _lock, _process
    process, _process = _process, None
    _lock = threading.Lock()
    if process is not None:
        _close(process)
        process.returncode = 0  # it is no child of this process, which must not wait for it


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
