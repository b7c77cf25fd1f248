from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from steps_bench import KEY, StepsBench, deliveries

from pipeline.delivery import ORIGIN, Tail, agent_digest
from pipeline.messages import Verdict, decode_decision
from pipeline.telemetry.events import EventID
from pipeline.telemetry.layout import Kind

COUNT = 60
DEAD = frozenset({1, 7, 8, 20, 40})


def test_a_step_fills_what_the_agent_adds(tmp_path: Path) -> None:
    bench = StepsBench(1000, tmp_path)
    state, before = bench.agent.origin(KEY), ORIGIN
    for delivery in deliveries(COUNT, DEAD):
        assert bench.agent.fits(state, delivery)
        state = bench.agent.step(state, delivery)
        assert delivery.code
        assert (delivery.a_prev, delivery.a) == (before, state[1])
        assert delivery.a == agent_digest(
            before, delivery.key_seq, delivery.fate, delivery.payload, delivery.decision
        )
        before = delivery.a
        assert bool(delivery.decision) is delivery.live


def test_a_tombstone_changes_the_digest_and_not_the_state(tmp_path: Path) -> None:
    bench = StepsBench(1, tmp_path)
    state = bench.agent.origin(KEY)
    for delivery in deliveries(8, DEAD):
        before, state = state, bench.agent.step(state, delivery)
        assert (state[0] == before[0]) is not delivery.live
        assert state[1] != before[1]


def test_a_failed_step_leaves_the_state_it_was_given(tmp_path: Path) -> None:
    bench = StepsBench(1, tmp_path)
    first, second = deliveries(2)
    state = bench.agent.step(bench.agent.origin(KEY), first)
    encoded = first.agent_state
    second.payload = b"\xff"
    with pytest.raises(msgspec.DecodeError):
        bench.agent.step(state, second)
    (_, again) = deliveries(2)
    bench.agent.step(state, again)
    assert first.agent_state == encoded
    assert again.a_prev == first.a


@pytest.mark.parametrize("state_every", [1, 7, 1000])
def test_a_state_rebuilt_from_any_tail_is_the_stepped_one(state_every: int, tmp_path: Path) -> None:
    bench = StepsBench(state_every, tmp_path)
    state, executed = bench.agent.origin(KEY), bench.exec.origin(KEY)
    assert bench.agent.rebuild(Tail(KEY, 0)) == state
    verdicts = set()
    for delivery in deliveries(COUNT, DEAD):
        state = bench.agent.step(state, delivery)
        executed = bench.exec.step(executed, delivery)
        bench.store.append([delivery])
        tail = bench.tail()
        assert tail.stored_seq == delivery.key_seq // state_every * state_every
        assert bench.agent.rebuild(tail) == state
        if delivery.live:
            verdicts |= {leg.verdict for leg in decode_decision(delivery.decision).legs}
    assert {Verdict.ORDERED, Verdict.DENIED} <= verdicts, "the candles decide nothing of interest"


def test_states_are_attached_every_nth_row_only(tmp_path: Path) -> None:
    bench = StepsBench(7, tmp_path)
    state = bench.agent.origin(KEY)
    attached = []
    for delivery in deliveries(COUNT, DEAD):
        state = bench.agent.step(state, delivery)
        if delivery.agent_state:
            attached.append(delivery.key_seq)
    assert attached == list(range(7, COUNT + 1, 7))


def test_each_step_is_one_decision_measured_and_denials_are_counted(tmp_path: Path) -> None:
    bench = StepsBench(1000, tmp_path)
    state = bench.agent.origin(KEY)
    denied = 0
    for delivery in deliveries(COUNT, DEAD):
        bench.recorder.written.clear()
        state = bench.agent.step(state, delivery)
        written = [(entry.kind, entry.event_id, entry.correlation) for entry in bench.recorder.written]
        assert written == [
            (Kind.START, EventID.AGENT_DECISION, delivery.key_seq),
            (Kind.DURATION, EventID.AGENT_DECISION, delivery.key_seq),
        ]
        if delivery.live:
            legs = decode_decision(delivery.decision).legs
            denied += sum(leg.verdict == Verdict.DENIED for leg in legs)
    assert bench.meter.trade_throttled == denied > 0
