"""`ringline-operator`: the command. One module a subcommand, loaded when it is called."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point."""
    from pipeline_operator.cli.app import run

    sys.exit(run(sys.argv[1:]))
