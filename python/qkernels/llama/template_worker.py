"""The process in which chat templates run; see `template_process`, which starts it.

It reads requests from standard input and answers each on standard output, until nobody asks any
more. The first says where modules are and how many seconds a template may take. A request is its
length and (source, names) as `marshal` writes them, or (source, None) where a template is only to
be compiled. An answer is a letter, a length and a text in UTF-8.

It imports nothing of this package, so that it starts in some hundredths of a second.
"""

from __future__ import annotations

import faulthandler
import json
import marshal
import os
import signal
import struct
import sys
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import jinja2

TEXT, NO_TEMPLATE, REFUSED, TOO_MUCH, NO_JINJA = b"t", b"n", b"r", b"m", b"j"
LENGTH = struct.Struct("<Q")
# What a template may take: seconds for one text, bytes beside the process itself, characters.
SECONDS = 5.0
MOST_BYTES = 256 << 20
MOST_CHARACTERS = 32 << 20
# Seconds after which a process that nobody asks ends.
PATIENCE = 60.0
# Older sandboxes can be left (CVE-2025-27516).
OLDEST_JINJA = (3, 1, 6)


def answer(source: str, names: dict[str, Any] | None) -> tuple[bytes, str]:
    """A letter for how it went, and a template's text or what is wrong with it."""
    try:
        template = _compiled(source)
    except MemoryError:
        return TOO_MUCH, ""
    except Exception as error:
        return NO_TEMPLATE, _reason(error)
    if names is None:
        return TEXT, ""
    try:
        text = template.render(names)
    except MemoryError:
        return TOO_MUCH, ""
    except Exception as error:  # whatever a program from a file may do
        return REFUSED, _reason(error)
    if len(text) > MOST_CHARACTERS:
        return REFUSED, f"it writes {len(text):,} characters, and {MOST_CHARACTERS:,} are the most"
    return TEXT, text


def jinja_fault() -> str:
    """Why templates cannot be run with the Jinja that is installed, or nothing."""
    try:
        import jinja2
    except ImportError:
        return 'a chat template needs jinja2: python -m pip install "qkernels[llama]"'
    numbers = jinja2.__version__.split(".")[:3]
    if tuple(int(n) if n.isdigit() else 0 for n in numbers) >= OLDEST_JINJA:
        return ""
    oldest = ".".join(map(str, OLDEST_JINJA))
    return (
        f"jinja2 {jinja2.__version__} does not hold a template in its sandbox; chat templates need"
        f" {oldest} or later"
    )


def _reason(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())


@lru_cache(maxsize=8)
def _compiled(source: str) -> jinja2.Template:
    return _environment().from_string(source)


@lru_cache(maxsize=1)
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


def _limit_memory() -> None:
    """Make an allocation fail that would take more than `MOST_BYTES`, where the system can."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = taken + MOST_BYTES
        if most != resource.RLIM_INFINITY:
            limit = min(limit, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
    except (ImportError, OSError, ValueError):
        pass  # no such limits here; that of time holds


def _read(stream: BinaryIO) -> Any:
    """The next request, or None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    body = stream.read(size)
    return marshal.loads(body) if len(body) == size else None


def _write(stream: BinaryIO, kind: bytes, text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    stream.write(kind + LENGTH.pack(len(body)) + body)
    stream.flush()


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asked
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with open(os.devnull, "w") as nowhere:
        sys.path[:], seconds = _read(requests)
        fault = jinja_fault()
        _environment() if not fault else None
        _limit_memory()
        while True:
            # Ends the process, whatever it is doing, without a word.
            faulthandler.dump_traceback_later(PATIENCE, exit=True, file=nowhere)
            request = _read(requests)
            if request is None:
                return
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
            kind, text = (NO_JINJA, fault) if fault else answer(*request)
            faulthandler.dump_traceback_later(PATIENCE, exit=True, file=nowhere)
            _write(answers, kind, text)
            if kind == TOO_MUCH:
                return  # the next process begins with a clean memory


if __name__ == "__main__":
    main()
