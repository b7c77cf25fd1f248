"""The policy beside its rivals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

from pipeline_operator.cli.app import COMMANDS, group, run
from pipeline_operator.policy import decide
from pipeline_operator.simulation.compare import (
    DEFAULT_STAGES,
    Comparison,
    Equal,
    Settings,
    compare,
    dominates,
    report,
)
from pipeline_operator.simulation.ours import Ours, spec_for
from pipeline_operator.simulation.plant import Plant
from pipeline_operator.simulation.render import headline
from pipeline_operator.simulation.run import Outcome
from pipeline_operator.simulation.run import run as run_trace
from pipeline_operator.simulation.traces import SHIPPED, Trace, stairs

JUMP = Trace("jump", "the load jumps once", stairs([(0, 150), (120, 900)], 300))


def test_the_verdict_is_a_sentence() -> None:
    base = Comparison(trace="t", meaning="", outcomes=())
    assert headline(report((base,), Settings())).startswith("Not dominated")
    dominated = structs.replace(base, dominated_by=("hpa at 70%",))
    assert headline(report((base, dominated), Settings())) == "On t ours is dominated by hpa at 70%."
    dear = Equal(rival="keda", target=0.8, sla_minutes=0, replica_minutes=5, saved_per_cent=-3.0)
    dearer = structs.replace(base, equal=(dear,))
    assert headline(report((dearer,), Settings())) == "On t keda is cheaper with as few SLA minutes."


def an_outcome(sla_minutes: float, replica_minutes: float) -> Outcome:
    return Outcome(trace="t", autoscaler="a", sla_minutes=sla_minutes, replica_minutes=replica_minutes,
                   changes=0, reaction_s=None, unmet=0, worst_backlog=0, worst_lag_s=0)  # fmt: skip


def test_one_dominates_by_being_no_worse_and_once_better() -> None:
    assert dominates(an_outcome(1, 1), an_outcome(1, 2))
    assert not dominates(an_outcome(1, 1), an_outcome(1, 1))
    assert not dominates(an_outcome(0, 3), an_outcome(1, 2))


def test_the_policy_reacts_within_a_second_and_its_records_replay() -> None:
    plant = Plant(DEFAULT_STAGES, 1)
    ours = Ours(spec_for(plant, 1000))
    outcome = run_trace(JUMP, ours, plant, 1.0)
    assert outcome.reaction_s is not None
    assert outcome.reaction_s <= 1
    assert outcome.unmet == 0
    assert plant.stages[0].queued < 500, "the backlog is gone"
    for record in ours.records:
        inputs = record.inputs
        assert decide(inputs.spec, inputs.observation, inputs.memory, record.at_us)[1] == record


def test_a_comparison_is_the_same_each_time_and_not_lost() -> None:
    first, again = compare(JUMP, Settings()), compare(JUMP, Settings())
    assert first == again
    assert isinstance(first, Comparison)
    assert first.met, first.dominated_by
    assert [outcome.autoscaler for outcome in first.outcomes] == ["ringline", "hpa", "keda", "knative"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("trace", SHIPPED, ids=lambda trace: trace.name)
def test_no_rival_does_as_well_for_less_on_any_shipped_trace(trace: Trace) -> None:
    comparison = compare(trace, Settings())
    assert comparison.dominated_by == ()
    assert comparison.met, comparison.equal


def test_the_command_reports_as_json_and_as_a_page(tmp_path: Path) -> None:
    csv, page = tmp_path / "minutes.csv", tmp_path / "page.html"
    csv.write_text("6000\n6000\n30000\n30000\n")
    words = ["simulate", "--csv", str(csv), "--no-sweep", "--json", "--html", str(page)]
    result = CliRunner().invoke(group, words, standalone_mode=False)
    report = json.loads(result.stdout)
    assert report["schema"] == 1
    assert report["comparisons"][0]["trace"] == "minutes"
    assert page.read_text().count("<svg") == 3
    table = CliRunner().invoke(group, [*words[:4]], standalone_mode=False).output
    assert "replica minutes" in table


def test_wrong_words_are_wrong_usage(tmp_path: Path) -> None:
    assert run(["simulate", "--trace", "nonsense"]) == 2
    assert run(["simulate", "--set", "nonsense=1"]) == 2
    assert run(["simulate", "--csv", str(tmp_path / "none.csv")]) == 3
    assert run(["simulate", "--list"]) == 0


def test_every_command_has_its_short_help_and_an_example() -> None:
    for name, text in COMMANDS.items():
        help_text = CliRunner().invoke(group, [name, "--help"]).output
        assert text in " ".join(help_text.split()), name
        assert "Example:" in help_text


def test_the_plant_has_its_own_stages_in_the_spec() -> None:
    spec = spec_for(Plant(DEFAULT_STAGES, 1), 1000)
    assert [stage.name for stage in spec.stages] == ["gateway", "agent", "exec", "audit"]
    assert structs.asdict(spec.stage("audit"))["max_replicas"] == 1
