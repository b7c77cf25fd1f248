"""`ringline-operator`: the command."""

from __future__ import annotations

import click


@click.group()
def main() -> None:
    """Keeps the stages of a pipeline within their SLAs by the number of their replicas."""
