from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from pipeline.cli.simulate import command
from pipeline.simulation.rules import RULES


@pytest.fixture(autouse=True)
def _heard_afterwards() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def test_clean_seeds_exit_0_and_say_what_happened() -> None:
    result = CliRunner().invoke(command, ["links", "--seeds", "3", "--jobs", "1", "--json"])
    assert result.exit_code == 0, result.output
    outcome = json.loads(result.stdout)
    assert outcome["clean"] == outcome["seeds"] == 3
    assert outcome["counts"]["rows"] > 0


def test_the_rules_are_listed() -> None:
    result = CliRunner().invoke(command, ["links", "--rules"])
    assert all(name in result.output for name in RULES)


def test_an_unknown_rule_is_named_with_those_that_are() -> None:
    result = CliRunner().invoke(command, ["links", "--without", "gravity"])
    assert result.exit_code == 2
    assert "'gravity': expected one of tell-refusals" in result.output
