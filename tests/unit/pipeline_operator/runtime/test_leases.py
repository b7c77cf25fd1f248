"""Which operator may decide on which Pipeline: one, however their wishes overlap."""

from __future__ import annotations

from typing import Any

import kopf
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import FakeClock
from pipeline_operator.kube.access import Access
from pipeline_operator.kube.client import Api
from pipeline_operator.runtime.leases import Leases
from pipeline_operator.runtime.seen import SeenPipeline

NAMES = ("", "one", "two", "three")


def leases(name: str) -> Leases:
    api = Api(Access(kopf.ConnectionInfo(server="http://127.0.0.1:9"), rotates=False))
    return Leases(api, ["trading"], name, "me", FakeClock())


def a_pipeline(operator: object) -> SeenPipeline:
    spec: dict[str, Any] = {} if operator == "" else {"operator": operator}
    return SeenPipeline("trading", "p", "u", 1, "", spec, {})


def test_a_named_operator_serves_its_own_pipelines_and_those_of_nobody() -> None:
    assert [leases("one").serves(a_pipeline(name)) for name in NAMES] == [True, True, False, False]
    assert [leases("").serves(a_pipeline(name)) for name in NAMES] == [True] * 4


def test_a_lease_is_wanted_for_each_name_that_is_served() -> None:
    named, wide = leases("one"), leases("")
    assert set(named.told()) == {("trading", "ringline-operator"), ("trading", "ringline-operator-one")}
    assert set(wide.told()) == {("trading", "ringline-operator")}
    pipelines = [a_pipeline(name) for name in NAMES]
    assert not named.want(pipelines), "those of others are none of its business"
    assert wide.want(pipelines)
    assert set(wide.told()) == {
        ("trading", "ringline-operator"),
        *(("trading", f"ringline-operator-{name}") for name in NAMES if name),
    }
    assert not wide.want(pipelines)
    assert not wide.want([])
    assert set(wide.told()) == {("trading", "ringline-operator")}


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_any_two_operators_that_serve_a_pipeline_want_the_same_lease_for_it(
    first: str, second: str, operator: str
) -> None:
    pipeline = a_pipeline(operator)
    wanted = []
    for one in (leases(first), leases(second)):
        if one.serves(pipeline):
            base = set(one.told())
            one.want([pipeline])
            of_it = "ringline-operator" + (f"-{operator}" if operator else "")
            wanted.append(of_it)
            assert ("trading", of_it) in one.told()
            assert set(one.told()) <= base | {("trading", of_it)}
        assert not one.held(pipeline), "nothing is decided before a Lease was taken"
    assert len(set(wanted)) <= 1


def test_what_is_no_name_is_meant_for_anybody() -> None:
    assert SeenPipeline("trading", "p", "u", 1, "", None, {}).operator == ""
    assert a_pipeline(7).operator == ""
