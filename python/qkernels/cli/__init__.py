"""The command `qkernels`: one module a group of commands, and what they share."""

from __future__ import annotations

import sys

from qkernels._base.extras import require


def main() -> None:
    """Run the command; the console script `qkernels` calls this."""
    try:
        for package in ("typer", "rich"):
            require("the command qkernels", package, "cli")
    except ModuleNotFoundError as error:
        sys.exit(f"qkernels: {error}")
    from qkernels.cli.app import main as run

    run()
