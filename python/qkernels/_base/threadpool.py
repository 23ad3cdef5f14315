"""The threads of this library, as threadpoolctl sees and limits them.

threadpoolctl looks for libraries by the beginnings of their files' names, and then for functions
in them; what it looks for beyond what it knows itself has to be registered with it
(`threadpoolctl.register`, from 3.2 on). To import it for that would cost every program, so that it
is done when somebody else imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from qkernels import _core

_NAME = "threadpoolctl"


def register_with(threadpoolctl: ModuleType) -> None:
    """Register the core with threadpoolctl, if that is new enough to know how."""
    if not hasattr(threadpoolctl, "register"):
        return

    class QkernelsController(threadpoolctl.LibController):  # type: ignore[misc, name-defined]
        """The default number of threads, that of `qkernels.set_num_threads`."""

        user_api = "qkernels"
        internal_api = "qkernels"
        filename_prefixes = ("_core",)
        check_symbols = ("qkernels_get_num_threads", "qkernels_set_num_threads")

        def get_num_threads(self) -> int:
            return int(self.dynlib.qkernels_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.qkernels_set_num_threads(num_threads)

        def get_version(self) -> str:
            return _core.__version__

    threadpoolctl.register(QkernelsController)


class _WhenImported:
    """A finder that finds threadpoolctl as it would be found, and registers when it is there."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _NAME:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            register_with(module)
            sys.meta_path.remove(self)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register() -> None:
    """Register with threadpoolctl, now or when it is imported."""
    there = sys.modules.get(_NAME)
    if there is not None:
        register_with(there)
    else:
        sys.meta_path.insert(0, _WhenImported())
