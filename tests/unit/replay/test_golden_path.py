from __future__ import annotations

from pipeline.replay.golden_path import REFERENCE_MS, STEPS, golden_path
from pipeline.snapshot import Latency
from pipeline.telemetry.events import EventID


def test_every_step_is_an_event_of_telemetry() -> None:
    assert [EventID[event].name for _, event, _ in STEPS] == [event for _, event, _ in STEPS]


def test_the_references_steps_add_up_to_its_whole() -> None:
    assert sum(ms or 0 for stage, _, ms in STEPS if stage != "all") == REFERENCE_MS == 45.0


def test_a_steps_share_is_its_p95_of_the_whole_budget() -> None:
    latency = Latency(event="AUDIT_WRITE", window_s=10, count=3, p50_ns=1, p95_ns=4_500_000, p99_ns=None)
    step = next(step for step in golden_path([latency]) if step.event == "AUDIT_WRITE")
    assert (step.share_percent, step.reference_ms, step.p99_ms) == (10.0, 7.0, None)


def test_a_step_without_records_is_still_in_the_table() -> None:
    steps = golden_path([])
    assert len(steps) == len(STEPS)
    assert {step.count for step in steps} == {0}
