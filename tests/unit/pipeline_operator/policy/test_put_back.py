"""Replicas that an upgrade or rollback of the release put down are had again at once; nobody is blamed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from sights import START_US, a_spec, a_stage, remembering, seen

from pipeline_operator.policy import decide
from pipeline_operator.record import Record
from pipeline_operator.spec import PipelineSpec


def decided(spec: PipelineSpec, *, now: int, before: int, **signals: Any) -> Record:
    agent = structs.replace(a_stage("agent", replicas=now, ready=now, **signals), put_back_from=before)
    _, record = decide(spec, seen(gateway=a_stage("gateway", ready=1), agent=agent), remembering(), START_US)
    return record


def test_they_are_had_again_however_little_is_known() -> None:
    record = decided(a_spec(), now=1, before=4, rate=0)
    assert record.stage("agent").after == 4
    assert "an upgrade or rollback of the release put 4 back to 1" in record.stage("agent").sentence
    assert not any(one.type.value == "Contested" and one.status == "True" for one in record.conditions)


@given(
    now=st.integers(1, 19), more=st.integers(1, 12), rate=st.integers(0, 300), lag_ms=st.integers(0, 9_000)
)
def test_never_beyond_what_is_allowed_nor_below_what_ran(now: int, more: int, rate: int, lag_ms: int) -> None:
    after = decided(a_spec(), now=now, before=now + more, rate=rate, lag_ms=lag_ms).stage("agent").after
    assert min(20, now + more) <= after <= 20


def test_once_they_are_there_again_they_are_decided_as_ever() -> None:
    assert "release" not in decided(a_spec(), now=4, before=4, rate=0).stage("agent").sentence


def test_a_paused_pipeline_is_left_as_it_is() -> None:
    spec = structs.replace(a_spec(), mode="paused")
    assert decided(spec, now=1, before=4, rate=50).stage("agent").after == 1
