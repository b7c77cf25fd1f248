from __future__ import annotations

from pathlib import Path

import pytest
from steps_bench import KEY, StepsBench, deliveries

from pipeline.delivery import ORIGIN, Delivery, Tail, exec_digest
from pipeline.messages import Verdict, decode_decision, decode_fills
from pipeline.telemetry.events import EventID
from pipeline.telemetry.layout import Kind

COUNT = 60
DEAD = frozenset({1, 7, 8, 20, 40})


def decided(bench: StepsBench, count: int = COUNT) -> list[Delivery]:
    """What the agent hands to exec."""
    state = bench.agent.origin(KEY)
    out = []
    for delivery in deliveries(count, DEAD):
        state = bench.agent.step(state, delivery)
        out.append(delivery)
    return out


def test_only_what_builds_on_the_digest_it_holds_fits(tmp_path: Path) -> None:
    bench = StepsBench(1000, tmp_path)
    first, second, third = decided(bench, 3)
    state = bench.exec.origin(KEY)
    assert bench.exec.fits(state, first)
    assert not bench.exec.fits(state, second)
    state = bench.exec.step(state, first)
    assert bench.exec.fits(state, second)
    assert not bench.exec.fits(state, first)
    assert not bench.exec.fits(state, third)
    second.a_prev = bytes(31) + b"\x01"
    assert not bench.exec.fits(state, second), "decided on another history"
    second.a_prev = b""
    assert not bench.exec.fits(state, second)


def test_only_what_orders_anything_goes_to_a_venue(tmp_path: Path) -> None:
    bench = StepsBench(1000, tmp_path)
    ordering = [delivery for delivery in decided(bench) if bench.exec.orders(delivery)]
    again = [one for one in decided(StepsBench(1000, tmp_path / "again")) if one.live]
    ordered = [
        one
        for one in again
        if any(leg.verdict == Verdict.ORDERED for leg in decode_decision(one.decision).legs)
    ]
    assert 0 < len(ordering) < COUNT
    assert [delivery.key_seq for delivery in ordering] == [delivery.key_seq for delivery in ordered]


def test_a_rebuilt_state_fits_what_follows_it(tmp_path: Path) -> None:
    bench = StepsBench(2, tmp_path)
    first, second, third = decided(bench, 3)
    state = bench.exec.origin(KEY)
    for delivery in (first, second):
        state = bench.exec.step(state, delivery)
        bench.store.append([delivery])
    rebuilt = bench.exec.rebuild(bench.tail())
    assert bench.exec.fits(rebuilt, third)
    assert not bench.exec.fits(rebuilt, second)


def test_a_step_fills_what_exec_adds(tmp_path: Path) -> None:
    bench = StepsBench(1000, tmp_path)
    state, before = bench.exec.origin(KEY), ORIGIN
    for delivery in decided(bench):
        state = bench.exec.step(state, delivery)
        assert (delivery.x_prev, delivery.x, delivery.a) == (before, *state[1:])
        assert delivery.x == exec_digest(before, delivery.key_seq, delivery.a, delivery.fills)
        before = delivery.x
        assert bool(delivery.fills) is delivery.live


@pytest.mark.parametrize("state_every", [1, 7, 1000])
def test_a_state_rebuilt_from_any_tail_is_the_stepped_one(state_every: int, tmp_path: Path) -> None:
    bench = StepsBench(state_every, tmp_path)
    state = bench.exec.origin(KEY)
    assert bench.exec.rebuild(Tail(KEY, 0)) == state
    filled = 0
    for delivery in decided(bench):
        state = bench.exec.step(state, delivery)
        bench.store.append([delivery])
        tail = bench.tail()
        assert tail.stored_seq == delivery.key_seq // state_every * state_every
        assert bench.exec.rebuild(tail) == state
        if delivery.live:
            filled += len(decode_fills(delivery.fills).fills)
    assert filled > 1, "the candles fill nothing"


def test_states_are_attached_every_nth_row_only(tmp_path: Path) -> None:
    bench = StepsBench(7, tmp_path)
    state = bench.exec.origin(KEY)
    attached = []
    for delivery in decided(bench):
        state = bench.exec.step(state, delivery)
        if delivery.exec_state:
            attached.append(delivery.key_seq)
    assert attached == list(range(7, COUNT + 1, 7))


def test_each_step_is_one_fill_generation_measured(tmp_path: Path) -> None:
    bench = StepsBench(1000, tmp_path)
    state = bench.exec.origin(KEY)
    for delivery in decided(bench):
        bench.recorder.written.clear()
        state = bench.exec.step(state, delivery)
        written = [(entry.kind, entry.event_id, entry.correlation) for entry in bench.recorder.written]
        assert written == [
            (Kind.START, EventID.FILL_GENERATION, delivery.key_seq),
            (Kind.DURATION, EventID.FILL_GENERATION, delivery.key_seq),
        ]
