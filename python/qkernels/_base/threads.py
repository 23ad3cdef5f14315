"""How many threads a call uses: the argument, else the context's choice, else the default."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from qkernels import _core
from qkernels._base.numbers import to_int

_DEFAULT = -1  # the core's word for "the process-wide default"
_MOST = 256
_chosen: ContextVar[int] = ContextVar("qkernels_threads", default=_DEFAULT)


def thread_count(threads: int | None) -> int:
    """The number of threads for a call that was given `threads`, in the core's terms.

    Raises:
        TypeError: no integer.
        ValueError: outside 1..256.
    """
    if threads is None:
        return _chosen.get()
    count = to_int(threads, "threads")
    if not 1 <= count <= _MOST:  # less would mean the default, more may pass the core's int
        raise ValueError(f"threads={count} is outside 1..256")
    return count


def set_num_threads(n: int) -> None:
    """Set the default number of threads of this process.

    Until it is called the default is what the environment variable QKERNELS_THREADS says when
    qkernels is imported (1 to 256, anything else is an ImportError), or the first number of
    OMP_NUM_THREADS, where it is one. Without them it is the number of processors that the calling
    thread may use: its affinity mask, cut to the CPU quota of its control groups (v1 or v2, nested
    or not) in whole processors, at least 1. That follows a mask or a quota that changes, and is a
    forked child's own; a mask counts within 20 ms, a quota within a second. Calls with torch's
    tensors run on torch's threads, from torch 2.10 on: as many as `torch.set_num_threads` says
    unless this or QKERNELS_THREADS has chosen, and never more than torch has.

    Args:
        n: 1 to 256.

    Raises:
        TypeError: n is no integer.
        ValueError: n is outside 1..256.
    """
    _core.set_threads(thread_count(to_int(n, "n")))


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use n threads inside a `with` block, in this thread of Python (or task) alone.

    Args:
        n: 1 to 256.

    Raises:
        TypeError: n is no integer.
        ValueError: n is outside 1..256.
    """
    count = thread_count(to_int(n, "n"))
    token = _chosen.set(count)
    try:
        yield
    finally:
        _chosen.reset(token)


def current() -> int:
    """The number of threads that a call without `threads=` would use here."""
    chosen = _chosen.get()
    return _core.threads() if chosen == _DEFAULT else chosen
