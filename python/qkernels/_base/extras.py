"""Packages that only some of qkernels needs: its extras, named where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(what: str, package: str, extra: str) -> ModuleType:
    """Import a package of an extra.

    Args:
        what: needs the package.
        package: its name.
        extra: the extra of qkernels that brings it.

    Raises:
        ModuleNotFoundError: it is not installed; the message has the line that installs it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise  # the package is there, and lacks one itself
        raise ModuleNotFoundError(missing(what, package, extra), name=package) from None


def missing(what: str, package: str, extra: str) -> str:
    """What to say of a package that is not installed."""
    return f'{what} needs {package}: python -m pip install "qkernels[{extra}]"'
