"""Recorded decisions, decided again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sights import START_US, a_spec, a_stage, learned, remembering, seen

from pipeline_operator.cli.app import group, run
from pipeline_operator.errors import RecordError, SpecError
from pipeline_operator.parse_spec import spec_to_body
from pipeline_operator.policy import decide
from pipeline_operator.record import decode_record, encode_record, named
from pipeline_operator.replay import UNNAMED, replay
from pipeline_operator.spec import PipelineSpec
from pipeline_operator.tuning import with_settings, with_tuning


def a_line(namespace: str = "trading", pipeline: str = "p") -> bytes:
    """Ten agents are wanted for 1,000/s at 100/s each."""
    memory = remembering(agent={"capacity": learned(100)}, exec={"capacity": learned(1000)})
    observation = seen(
        gateway=a_stage("gateway", ready=1, rate=1000), agent=a_stage("agent", rate=200, lag_ms=1500)
    )
    return encode_record(named(decide(a_spec(), observation, memory, START_US)[1], namespace, pipeline))


def of_version_1(line: bytes) -> bytes:
    """As an older operator wrote it."""
    told = json.loads(line)
    del told["namespace"], told["pipeline"]
    return json.dumps(told | {"schema": 1}, separators=(",", ":")).encode() + b"\n"


def fewer_agents(_: str, spec: PipelineSpec) -> PipelineSpec:
    return with_settings(spec, ["stages.agent.maxReplicas=5"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(a_line() + b"\n" + a_line())
    return path


def test_the_same_settings_decide_the_same() -> None:
    result = replay([a_line()])
    assert (result.records, result.differing, result.same) == (1, 0, True)


def test_other_settings_show_where_the_decision_differs() -> None:
    result = replay([a_line()], fewer_agents)
    [one] = result.pipelines
    assert [(found.stage, found.again) for found in one.differences] == [("agent", 5)]
    assert "maxReplicas is 5" in one.differences[0].again_why
    agent = next(stage for stage in one.stages if stage.stage == "agent")
    assert (agent.differing, agent.again) == (1, (5, 5))
    assert agent.recorded == (one.differences[0].recorded,) * 2


def test_each_pipeline_is_told_by_itself() -> None:
    lines = [a_line(), a_line("trading", "q"), a_line("other", "p"), a_line()]
    result = replay(lines, fewer_agents)
    assert [(one.pipeline, one.records, one.differing) for one in result.pipelines] == [
        ("other/p", 1, 1), ("trading/p", 2, 2), ("trading/q", 1, 1),
    ]  # fmt: skip
    assert (result.records, result.differing) == (4, 4)
    assert [one.pipeline for one in replay(lines, only=["p"]).pipelines] == ["other/p", "trading/p"]
    assert [one.pipeline for one in replay(lines, only=["trading/q"]).pipelines] == ["trading/q"]
    with pytest.raises(
        RecordError, match="no record of Pipeline x/p; there are some of other/p, trading/p, t"
    ):
        replay(lines, only=["x/p", "q"])


def test_settings_that_fit_only_some_pipelines_leave_the_others_out_and_say_so() -> None:
    def change(name: str, spec: PipelineSpec) -> PipelineSpec:
        return fewer_agents(name, spec) if name == "trading/p" else with_settings(spec, ["stages.b.x=1"])

    result = replay([a_line(), a_line("trading", "q")], change)
    assert [one.pipeline for one in result.pipelines] == ["trading/p"]
    assert "there is no b here" in result.unfit["trading/q"]
    with pytest.raises(SpecError, match="there is no b here"):
        replay([a_line("trading", "q")], change)


def test_records_of_an_older_operator_are_read() -> None:
    result = replay([of_version_1(a_line()), a_line()])
    assert [one.pipeline for one in result.pipelines] == [UNNAMED, "trading/p"]
    assert result.same


def test_a_record_names_what_it_is_about() -> None:
    record = decode_record(a_line("trading", "p"))
    assert (record.schema, record.namespace, record.pipeline) == (2, "trading", "p")


LOG = b"2026-01-01 00:00:00,000 INFO pipeline_operator.runtime.service: watching trading\n"


def test_other_lines_are_counted_and_told_not_fatal() -> None:
    prefixed = b"[pod/op] 2026-01-01T00:00:00Z " + a_line()
    newer = a_line().replace(b'"schema":2', b'"schema":7', 1).rstrip()
    result = replay([LOG, a_line(), b"{}\n", prefixed, b"\n", b"\xff\n", newer])
    assert (result.records, result.other_lines, result.torn_line) == (2, 4, None)
    assert [one.line for one in result.other_examples] == [1, 3, 6, 7]
    assert "schema 7: expected 1 to 2" in result.other_examples[-1].why


@settings(max_examples=30, deadline=None)
@given(st.integers(1, len(a_line()) - 2))
def test_a_torn_last_line_is_said_wherever_it_is_torn(length: int) -> None:
    torn = a_line()[:length]
    result = replay([a_line(), torn])
    assert (result.records, result.other_lines, result.torn_line) == (1, 0, 2)
    whole = replay([a_line(), torn + b"\n"])
    assert (whole.other_lines, whole.torn_line) == (1, None)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "no decision record: it is empty"),
        ([b"\n", b"  \n"], "no decision record: it is empty"),
        ([LOG, LOG], "none of 2 lines is one; line 1: "),
        ([a_line()[:50]], "line 1 is torn"),
    ],
)
def test_a_file_without_any_record_is_an_error(lines: list[bytes], told: str) -> None:
    with pytest.raises(RecordError, match=told):
        replay(lines)


def test_the_command_answers_by_its_exit_code(file: Path, tmp_path: Path) -> None:
    assert run(["replay", str(file)]) == 0
    assert run(["replay", str(file), "--set", "stages.agent.maxReplicas=5"]) == 1
    assert run(["replay", str(file), "--set", "stages.agent.maxReplicas=x"]) == 2
    assert run(["replay", str(tmp_path / "nothing")]) == 3
    spec = tmp_path / "pipeline.json"
    spec.write_text(json.dumps(spec_to_body(a_spec(mode="paused"))))
    assert run(["replay", str(file), "--spec", str(spec)]) == 1
    both = tmp_path / "both.jsonl"
    both.write_bytes(a_line() + a_line("trading", "q"))
    assert run(["replay", str(both), "--spec", str(spec)]) == 2
    assert run(["replay", str(both), "--spec", str(spec), "--pipeline", "q"]) == 1
    assert run(["replay", str(both), "--pipeline", "nobody"]) == 2
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert run(["replay", str(empty)]) == 2
    spec.write_text("no json")
    assert run(["replay", str(file), "--spec", str(spec)]) == 2


def test_the_command_tells_programs_and_people(file: Path) -> None:
    words = ["replay", str(file), "--set", "stages.agent.maxReplicas=5"]
    told = json.loads(CliRunner().invoke(group, [*words, "--json"], standalone_mode=False).output)
    assert (told["records"], told["differing"]) == (2, 2)
    people = CliRunner().invoke(group, words, standalone_mode=False).output
    assert "5 now" in people
    assert "trading/p: 2 decisions, 2 differ" in people
    assert re.search(r"agent +2 +[0-9]+ +5\n", people)


def test_the_command_tells_what_it_passed_over(file: Path) -> None:
    file.write_bytes(LOG + a_line() + a_line()[:100])
    people = CliRunner().invoke(group, ["replay", str(file)], standalone_mode=False).output
    assert "1 line is no record; line 1: " in people
    assert "line 3, the last one, is torn" in people
    assert people.endswith("1 decision, 0 differ\n")


@pytest.mark.parametrize(
    "assignment",
    ["x", "=1", "tuning.nonsense=1", "tuning.tickMs=1", "stages.nobody.maxReplicas=3", "a.b.c=1"],
)
def test_a_setting_that_cannot_be_is_refused_in_words(assignment: str) -> None:
    with pytest.raises(SpecError):
        with_settings(a_spec(), [assignment])


def test_a_tuning_is_set_with_or_without_its_section() -> None:
    assert with_tuning(["drainMs=5000", "tuning.tickMs=500"]).drain_ms == 5000
