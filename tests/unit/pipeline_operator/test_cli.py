"""The command `ringline-operator`."""

from __future__ import annotations

from click.testing import CliRunner

from pipeline_operator.cli import main


def test_it_says_what_it_is_for() -> None:
    assert "SLAs" in CliRunner().invoke(main, ["--help"]).output
