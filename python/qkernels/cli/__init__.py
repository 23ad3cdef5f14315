"""The command `qkernels`: one module a group of commands, and what they share."""

from __future__ import annotations


def main() -> None:
    """Run the command; the console script `qkernels` calls this."""
    from qkernels.cli.app import main as run

    run()
