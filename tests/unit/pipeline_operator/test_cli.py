"""The command `ringline-operator`."""

from __future__ import annotations

from click.testing import CliRunner

from pipeline_operator.cli.app import group, run


def test_it_says_what_it_is_for() -> None:
    assert "SLAs" in CliRunner().invoke(group, ["--help"]).output


def test_an_unknown_command_is_wrong_usage() -> None:
    assert run(["nonsense"]) == 2
