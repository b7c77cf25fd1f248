"""What the API server would refuse of a single object does not render; a sentence or the schema says why."""

from __future__ import annotations

from typing import Any

import pytest
from hostile_values import REFUSED
from odd_values import ON, TAKEN
from rendered_chart import WHY_NOT, refused, rendered

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.mark.parametrize(("values", "said"), REFUSED, ids=lambda part: str(part)[:60])
def test_what_no_api_server_takes_is_not_rendered(values: dict[str, Any], said: str) -> None:
    assert said in refused(values)


@pytest.mark.parametrize("values", TAKEN, ids=lambda values: str(values)[:60])
def test_what_is_odd_and_all_right_is_rendered(values: dict[str, Any]) -> None:
    assert list(rendered(ON | values))


def test_a_label_of_a_stage_beats_those_of_all_pods_and_these_beat_those_of_all_objects() -> None:
    values = {
        "commonLabels": {"team": "a", "desk": "x"},
        "podLabels": {"team": "b"},
        "agent.podLabels": {"team": "c"},
        "operator.podLabels": {"team": "d"},
    }
    objects = rendered(values)
    assert objects.stage("agent")["metadata"]["labels"]["team"] == "a"
    labels = {
        name: objects.stage(name)["spec"]["template"]["metadata"]["labels"] for name in ("agent", "exec")
    }
    assert (labels["agent"]["team"], labels["exec"]["team"]) == ("c", "b")
    assert {one["desk"] for one in labels.values()} == {"x"}
    (operator,) = objects.of("Deployment").values()
    assert operator["spec"]["template"]["metadata"]["labels"]["team"] == "d"


def test_a_selector_of_one_s_own_spreads_by_that_alone_and_others_by_the_stage_s() -> None:
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    own = {"matchLabels": {"tier": "x"}}
    both = [spread | {"labelSelector": own}, spread | {"topologyKey": "node"}]
    objects = rendered({"topologySpreadConstraints": both})
    for stage in ("agent", "exec"):
        first, second = objects.stage(stage)["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert first["labelSelector"] == own
        assert second["labelSelector"] == {
            "matchLabels": objects.stage(stage)["spec"]["selector"]["matchLabels"]
        }
