"""The command `ringline`. Each command is a module, imported only when it is the one that was called."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line of this process and exits with its code."""
    from pipeline.cli.app import run

    sys.exit(run(sys.argv[1:]))
