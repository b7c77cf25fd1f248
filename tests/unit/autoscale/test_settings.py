from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import limits
from pipeline.autoscale.settings import Bounds, make_spec, parse_bounds, scaled_config, sketches
from pipeline.config import Config, resolve
from pipeline.errors import ConfigError, MissingError, UsageError

WIDE = {"throttles": [{"name": "desk", "max_trades": 9, "window_seconds": 60, "per": "global"}]}


def policy(folder: Path, spec: Any, name: str = "policy.json") -> Path:
    file = folder / name
    file.write_text(spec if isinstance(spec, str) else json.dumps(spec))
    return file


def test_without_a_policy_every_stage_behind_the_gateway_has_a_lag_of_a_second() -> None:
    spec = make_spec(Config(), {}, None)
    assert [(stage.name, stage.slas.lag_ms) for stage in spec.stages] == [
        ("gateway", None), ("agent", 1000), ("exec", 1000), ("audit", 1000),
    ]  # fmt: skip
    bounds = {stage.name: (stage.min_replicas, stage.max_replicas) for stage in spec.stages}
    assert bounds["gateway"] == bounds["audit"] == (1, 1)
    assert bounds["exec"][1] >= limits.AUTOSCALE_MOST


def test_an_agent_that_counts_over_symbols_stays_alone() -> None:
    spec = make_spec(resolve({"trading": WIDE}), {}, None)
    assert spec.stage("agent").max_replicas == 1
    assert spec.stage("exec").max_replicas > 1


def test_a_bound_that_the_configuration_cannot_bear_is_refused() -> None:
    config = resolve({"trading": WIDE})
    spec = make_spec(config, {"agent": Bounds(1, 3)}, None)
    with pytest.raises(ConfigError, match=r"agent\.max_replicas = 3: throttle desk counts over all symbols"):
        scaled_config(config, spec)


def test_the_scaled_configuration_starts_with_the_least_and_lists_members() -> None:
    config = resolve({"exec": {"workers": 5}})
    scaled = scaled_config(config, make_spec(config, {"exec": Bounds(2, 7)}, None))
    assert (scaled.exec.members, scaled.exec.workers, scaled.exec.max_replicas) == ("listed", 2, 7)
    assert scaled.audit == config.audit


@pytest.mark.parametrize("text", ["exec", "exec=3", "exec=3..1", "exec=0..2", "exec=1..65", "audit=1..2"])
def test_bounds_that_cannot_be_are_named(text: str) -> None:
    with pytest.raises(UsageError, match=text.replace(".", r"\.")):
        parse_bounds([text])


def test_bounds_by_stage() -> None:
    assert parse_bounds(["exec=1..8", "agent=2..2"]) == {"exec": Bounds(1, 8), "agent": Bounds(2, 2)}


def test_a_pipeline_as_the_operator_takes_it_is_followed(tmp_path: Path) -> None:
    stages = [
        {"name": "gateway", "target": "rl-gateway"},
        {"name": "exec", "target": "rl-exec", "upstream": ["gateway"], "maxReplicas": 9, "minReplicas": 2,
         "slas": {"lagMs": 250, "latency": [{"event": "FILL_GENERATION", "limitMs": 15}]}},
    ]  # fmt: skip
    whole = {"apiVersion": "ringline.dev/v1alpha1", "spec": {"stages": stages, "mode": "recommend"}}
    spec = make_spec(Config(), {}, policy(tmp_path, whole))
    assert (spec.mode, spec.stage("exec").slas.lag_ms) == ("recommend", 250)
    assert (spec.stage("exec").min_replicas, spec.stage("exec").max_replicas) == (2, 9)
    assert sketches(spec) == "FILL_GENERATION"
    assert (
        make_spec(Config(), {"exec": Bounds(1, 3)}, policy(tmp_path, whole)).stage("exec").max_replicas == 3
    )


def test_a_policy_may_be_toml_without_targets(tmp_path: Path) -> None:
    text = (
        '[[stages]]\nname = "gateway"\n[[stages]]\nname = "exec"\nupstream = ["gateway"]\nmaxReplicas = 3\n'
    )
    assert make_spec(Config(), {}, policy(tmp_path, text, "policy.toml")).stage("exec").max_replicas == 3


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{", "policy.json: "),
        ({"stages": [{"name": "exec", "maxReplicas": 0}]}, "maxReplicas"),
        ({"stages": [{"name": "valuation"}]}, "no stage of a pipeline"),
        ([], "expected an object"),
    ],
)
def test_a_policy_that_is_none_is_told_with_its_file(tmp_path: Path, spec: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_spec(Config(), {}, policy(tmp_path, spec))


def test_a_policy_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="No such file"):
        make_spec(Config(), {}, tmp_path / "none.json")
