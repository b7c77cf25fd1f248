"""A simulated venue: alone, and in a whole pipeline under faults."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_pipeline import World, rough

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.transport.venue import Venue

LATENCY_NS = 10 * NS_PER_MS


def venue(places: int) -> Venue[int]:
    return Venue(LATENCY_NS, places, wants=lambda _: True)


def test_so_many_orders_are_out_at_a_time_and_each_takes_its_time() -> None:
    asked = venue(2)
    for number in range(5):
        asked.ask(number, 0)
    assert asked.due_ns == LATENCY_NS
    assert asked.answered(LATENCY_NS - 1) == []
    assert asked.answered(LATENCY_NS) == [0, 1]
    assert asked.answered(2 * LATENCY_NS - 1) == []
    assert len(asked) == 3
    assert asked.answered(3 * LATENCY_NS) == [2, 3, 4]
    assert asked.due_ns is None
    assert len(asked) == 0


def test_a_place_is_taken_when_it_becomes_free_however_late_somebody_looks() -> None:
    asked = venue(1)
    for number in range(3):
        asked.ask(number, 0)
    assert asked.answered(10 * LATENCY_NS) == [0, 1, 2]


def test_who_comes_later_than_the_place_became_free_takes_the_whole_time() -> None:
    asked = venue(1)
    asked.ask(0, 0)
    asked.ask(1, LATENCY_NS + 5)
    assert asked.answered(LATENCY_NS + 6) == [0]
    assert asked.due_ns == 2 * LATENCY_NS + 5


@given(
    places=st.integers(1, 8),
    gaps_ms=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    look_every_ms=st.integers(1, 50),
)
def test_nothing_is_lost_doubled_reordered_early_or_beyond_the_places(
    places: int, gaps_ms: list[int], look_every_ms: int
) -> None:
    asked = venue(places)
    came: list[int] = []
    answers: list[int] = []
    now_ns = 0
    for number, gap_ms in enumerate(gaps_ms):
        now_ns += gap_ms * NS_PER_MS
        answers += asked.answered(now_ns)
        asked.ask(number, now_ns)
        came.append(now_ns)
    started_ns = now_ns
    while len(asked):
        now_ns += look_every_ms * NS_PER_MS
        for number in asked.answered(now_ns):
            assert now_ns - came[number] >= LATENCY_NS
            answers.append(number)
    assert answers == list(range(len(gaps_ms)))
    rounds = -(-len(gaps_ms) // places)
    assert now_ns - started_ns <= rounds * LATENCY_NS + look_every_ms * NS_PER_MS


def test_a_key_waits_for_its_own_order_and_the_others_do_not() -> None:
    world = World(venue=(LATENCY_NS, 2))
    for n in range(10):
        world.post("a", b"%d" % n)
    started_ns = world.network.now_ns
    world.settle()
    world.check()
    assert world.network.now_ns - started_ns >= 10 * LATENCY_NS
    for n in range(4):
        world.post(f"k{n}", b"1")
    started_ns = world.network.now_ns
    world.settle()
    assert 2 * LATENCY_NS <= world.network.now_ns - started_ns < 4 * LATENCY_NS


def test_more_execs_are_faster() -> None:
    took = {}
    for execs in (1, 3):
        world = World(execs=execs, venue=(LATENCY_NS, 1))
        started_ns = world.network.now_ns
        for n in range(90):
            world.post(f"k{n % 30}", b"1")
        world.settle(within_s=30)
        world.check()
        took[execs] = world.network.now_ns - started_ns
    assert took[3] < 0.6 * took[1]


def test_what_is_at_the_venue_is_not_done_and_its_lag_counts() -> None:
    world = World(venue=(NS_PER_S, 1))
    world.post("a", b"1")
    world.network.run(500 * NS_PER_MS)
    exec_ = world.worker("exec-0")
    assert exec_.depth == 1
    assert world.worker("agent-0").lags_ns(world.network.now_ns)[0] >= 400 * NS_PER_MS
    exec_.leave()
    assert not exec_.drained
    world.settle()
    assert exec_.depth == 0
    assert world.worker("agent-0").lags_ns(world.network.now_ns)[0] == 0


@pytest.mark.parametrize("seed", range(20))
def test_kills_and_bad_weather_lose_nothing_of_what_is_at_the_venue(seed: int) -> None:
    dice = random.Random(seed)
    world = World(agents=2, execs=2, weather=rough(seed), venue=(LATENCY_NS, 2))
    for n in range(120):
        world.post(f"k{n % 9}", b"%d" % n)
        world.network.run(2 * NS_PER_MS)
        if n % 30 == 20:
            world.restart(dice.choice(("agent-0", "exec-0", "exec-1", "audit-0", "gateway-0")))
    world.settle(within_s=60)
    world.check()
