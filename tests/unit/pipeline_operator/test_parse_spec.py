"""What a Pipeline may ask for, and what is said of one that asks for something else."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_operator.errors import SpecError
from pipeline_operator.parse_spec import parse_spec, spec_to_body

GATEWAY: dict[str, Any] = {"name": "gateway", "target": "ringline-gateway"}
AGENT: dict[str, Any] = {
    "name": "agent",
    "target": "ringline-agent",
    "upstream": ["gateway"],
    "maxReplicas": 8,
    "slas": {
        "lagMs": 1000,
        "throttlePerMille": 5,
        "latency": [{"event": "AGENT_DECISION", "percentileBasisPoints": 9500, "limitMs": 30}],
    },
}


def faults_of(*stages: dict[str, Any], **rest: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_spec({"spec": {"stages": list(stages), **rest}})
    return caught.value.faults


def test_a_sound_spec_is_typed_and_survives_the_way_back() -> None:
    spec = parse_spec({"spec": {"stages": [GATEWAY, AGENT], "replicaBudget": 9}})
    assert spec.stage("agent").slas.latency[0].percentile_basis_points == 9500
    assert spec.mode == "active"
    assert parse_spec(spec_to_body(spec)) == spec


def test_every_fault_is_listed_with_its_path_and_value() -> None:
    bad = {"name": "Agent", "target": "t", "minReplicas": 0, "slas": {"throttlePerMille": 1.5}, "extra": 1}
    faults = faults_of(bad, mode="fast", replicaBudget=-1)
    text = "\n".join(faults)
    assert len(faults) == 6
    for part in ("spec.mode = 'fast'", "[Agent].extra", "minReplicas = 0", "(allowed: 1 to 1000)",
                 "throttlePerMille = 1.5", "replicaBudget = -1"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"minReplicas": 9}, "minReplicas = 9: at most maxReplicas (8)"),
        ({"upstream": ["nobody"]}, "not a stage here"),
        ({"upstream": ["gateway", "gateway"]}, "named twice"),
        ({"upstream": []}, "a stage without upstream has no lag"),
        ({"target": "ringline-gateway"}, "also the target of gateway"),
        ({"name": "gateway", "upstream": []}, "used twice"),
        ({"upstream": ["agent"]}, "in a circle"),
    ],
)
def test_what_joins_fields_is_checked(change: dict[str, Any], said: str) -> None:
    assert any(said in fault for fault in faults_of(GATEWAY, AGENT | change))


def test_a_budget_below_the_minima_is_refused() -> None:
    assert "replicaBudget = 1: at least" in faults_of(GATEWAY, AGENT, replicaBudget=1)[0]


@pytest.mark.parametrize("raw", [None, [], "x", {"stages": []}, {"stages": "x"}, {"stages": [None]}, {}])
def test_what_is_no_spec_at_all_is_refused_in_words(raw: Any) -> None:
    with pytest.raises(SpecError):
        parse_spec({"spec": raw})
    with pytest.raises(SpecError):
        parse_spec({})
