"""`helm upgrade --reuse-values` gives the templates the old chart's values, which lack what is new."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from rendered_chart import CHART, SCENARIOS, WHY_NOT, Objects, rendered

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
CHOSEN = ("config", "slas", "resources")
"""Whoever takes these away has none."""
EVERYTHING = next(path for path in SCENARIOS if path.stem.startswith("everything"))
CHART_TEMPLATES = [*(CHART / "templates").rglob("*.yaml"), CHART / "templates" / "NOTES.txt"]


def _shown(objects: Objects) -> list[dict[str, Any]]:
    """All but what is made by chance."""
    found = copy.deepcopy(list(objects))
    for one in found:
        if one["kind"] == "Secret":
            one["data"] = sorted(one["data"])
    return found


def _leaves(tree: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in tree.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and value and name not in CHOSEN:
            yield from _leaves(value, f"{path}.")
        elif name not in CHOSEN:
            yield path


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_block_that_the_old_values_lack_is_as_it_is_by_default(key: str) -> None:
    shown = _shown(rendered({key: None}))
    if key != "config":
        assert shown == _shown(rendered())


@pytest.mark.parametrize("key", [key for key, value in DEFAULTS.items() if isinstance(value, dict) and value])
def test_keys_that_the_old_values_lack_are_as_they_are_by_default(key: str) -> None:
    paths = list(_leaves({key: DEFAULTS[key]}))
    assert paths or key == "config" or set(DEFAULTS[key]) <= set(CHOSEN)
    assert _shown(rendered(dict.fromkeys(paths))) == _shown(rendered())


def test_all_of_them_at_once_are_too() -> None:
    assert _shown(rendered(dict.fromkeys(_leaves(DEFAULTS)))) == _shown(rendered())


@pytest.mark.parametrize("stage", ["gateway", "agent", "exec", "audit"])
def test_slas_and_resources_that_are_taken_away_stay_away(stage: str) -> None:
    objects = rendered({f"{stage}.slas": None, f"{stage}.resources.limits": None})
    (pipeline,) = objects.of("Pipeline").values()
    (spec,) = [one for one in pipeline["spec"]["stages"] if one["name"] == stage]
    assert "slas" not in spec
    (worker, *_) = objects.stage(stage)["spec"]["template"]["spec"]["containers"]
    assert "limits" not in worker["resources"]


def test_what_is_given_stays_as_it_is() -> None:
    objects = rendered(scenario=EVERYTHING)
    assert _shown(objects) == _shown(rendered({"tests": None, "ownEvents": None}, scenario=EVERYTHING))
    assert objects.configuration()["feed"]["control_source"] == "desk"


def test_every_template_begins_with_what_completes_the_values() -> None:
    begins = re.compile(r'\{\{- include "ringline\.complete" \. -\}\}\n')
    assert [file.name for file in CHART_TEMPLATES if not begins.match(file.read_text())] == []


def test_a_user_s_number_above_a_million_is_rendered_whole() -> None:
    user = 1_000_660_000  # as OpenShift gives them
    objects = rendered({"podSecurityContext.runAsUser": user, "podSecurityContext.fsGroup": user})
    for _, pod in objects.pods():
        assert type(pod["securityContext"]["runAsUser"]) is int
        assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]) == (user, user)
