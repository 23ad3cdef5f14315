"""Lets `python -m qkernels` do what the command `qkernels` does."""

from qkernels.cli.app import main

main()
