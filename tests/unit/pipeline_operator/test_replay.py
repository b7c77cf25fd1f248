"""Recorded decisions, decided again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sights import START_US, a_spec, a_stage, learned, remembering, seen

from pipeline_operator.cli.app import group, run
from pipeline_operator.errors import RecordError, SpecError
from pipeline_operator.parse_spec import spec_to_body
from pipeline_operator.policy import decide
from pipeline_operator.record import encode_record
from pipeline_operator.replay import replay
from pipeline_operator.tuning import with_settings, with_tuning


def a_line() -> bytes:
    """Ten agents are wanted for 1,000/s at 100/s each."""
    memory = remembering(agent={"capacity": learned(100)}, exec={"capacity": learned(1000)})
    observation = seen(
        gateway=a_stage("gateway", ready=1, rate=1000), agent=a_stage("agent", rate=200, lag_ms=1500)
    )
    return encode_record(decide(a_spec(), observation, memory, START_US)[1])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(a_line() + b"\n" + a_line())
    return path


def test_the_same_settings_decide_the_same() -> None:
    result = replay([a_line()])
    assert (result.records, result.differing, result.same) == (1, 0, True)


def test_other_settings_show_where_the_decision_differs() -> None:
    result = replay([a_line()], lambda spec: with_settings(spec, ["stages.agent.maxReplicas=5"]))
    assert [(found.stage, found.again) for found in result.differences] == [("agent", 5)]
    assert "maxReplicas is 5" in result.differences[0].again_why


def test_a_line_that_is_no_record_is_named() -> None:
    with pytest.raises(RecordError, match="line 2: no decision record"):
        replay([a_line(), b"{}"])
    with pytest.raises(RecordError, match="schema 7"):
        replay([a_line().replace(b'"schema":1', b'"schema":7', 1)])


def test_the_command_answers_by_its_exit_code(file: Path, tmp_path: Path) -> None:
    assert run(["replay", str(file)]) == 0
    assert run(["replay", str(file), "--set", "stages.agent.maxReplicas=5"]) == 1
    assert run(["replay", str(file), "--set", "stages.agent.maxReplicas=x"]) == 2
    assert run(["replay", str(tmp_path / "nothing")]) == 3
    spec = tmp_path / "pipeline.json"
    spec.write_text(json.dumps(spec_to_body(a_spec(mode="paused"))))
    assert run(["replay", str(file), "--spec", str(spec)]) == 1
    spec.write_text("no json")
    assert run(["replay", str(file), "--spec", str(spec)]) == 2


def test_the_command_tells_programs_and_people(file: Path) -> None:
    words = ["replay", str(file), "--set", "stages.agent.maxReplicas=5"]
    told = json.loads(CliRunner().invoke(group, [*words, "--json"], standalone_mode=False).output)
    assert (told["records"], told["differing"]) == (2, 2)
    people = CliRunner().invoke(group, words, standalone_mode=False).output
    assert "5 now" in people
    assert "2 decisions, 2 differ" in people


@pytest.mark.parametrize(
    "assignment",
    ["x", "=1", "tuning.nonsense=1", "tuning.tickMs=1", "stages.nobody.maxReplicas=3", "a.b.c=1"],
)
def test_a_setting_that_cannot_be_is_refused_in_words(assignment: str) -> None:
    with pytest.raises(SpecError):
        with_settings(a_spec(), [assignment])


def test_a_tuning_is_set_with_or_without_its_section() -> None:
    assert with_tuning(["drainMs=5000", "tuning.tickMs=500"]).drain_ms == 5000
