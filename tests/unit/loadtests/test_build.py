from __future__ import annotations

from collections.abc import Callable

import pytest
from load_facts import good_facts
from msgspec.structs import replace

from loadtests.build import dead_for_s, headline, recovered_s
from loadtests.facts import Ending
from loadtests.gates import judge
from loadtests.processes import cpu_percents, process_facts
from loadtests.samples import Reading
from loadtests.settings import Gates
from loadtests.shapes import SHAPES
from loadtests.tally import Second

SPIKE = SHAPES["spike"]


def seconds(first: int, last: int, is_good: Callable[[int], bool]) -> list[Second]:
    return [
        Second(second=number, met=20, p95_ns=5_000_000 if is_good(number) else 500_000_000)
        for number in range(first, last)
    ]


def test_a_spike_that_hurt_nobody_has_recovered_at_once() -> None:
    assert recovered_s(SPIKE, seconds(0, 600, lambda _: True), 0.0, 100.0) == 0.0


def test_recovery_counts_from_the_spikes_end() -> None:
    found = recovered_s(SPIKE, seconds(0, 600, lambda at: at < 120 or at >= 484), 0.0, 100.0)
    assert found == pytest.approx(4.0)


def test_one_good_second_between_bad_ones_is_no_recovery() -> None:
    found = recovered_s(SPIKE, seconds(0, 600, lambda at: at == 482 or at >= 490), 0.0, 100.0)
    assert found == pytest.approx(10.0)


def test_a_test_that_never_recovers_says_so() -> None:
    assert recovered_s(SPIKE, seconds(0, 600, lambda at: at < 120), 0.0, 100.0) is None


def test_silence_is_counted_from_the_last_answer() -> None:
    found = [Second(second=at, met=1 if at < 5 else 0, errors=1) for at in range(12)]
    assert dead_for_s(found, 12.5) == 7
    assert dead_for_s(found[:4], 4.0) == 0


def readings(growth_a_s: float) -> list[Reading]:
    return [
        Reading(
            at_s=float(at),
            pid=7,
            cpu_s=at * 0.25,
            cpu_percent=None,
            memory_bytes=50_000_000 + int(growth_a_s * at),
        )
        for at in range(0, 7200, 5)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mb_per_h", "verdict"), [(1, "met"), (9, "met"), (11, "violated"), (500, "violated")]
)
def test_a_leak_is_found_in_two_hours_of_readings(mb_per_h: float, verdict: str) -> None:
    gates = Gates()
    found = process_facts("agent-0", readings(mb_per_h * 1e6 / 3600), gates)
    facts = good_facts("soak", processes=(found,))
    assert {one.name: one.verdict for one in judge(facts, gates)}["leak agent-0"] == verdict


def test_growth_during_the_warm_up_alone_is_no_leak() -> None:
    grown = [
        replace(one, memory_bytes=min(90_000_000, 50_000_000 + int(1e5 * one.at_s))) for one in readings(0)
    ]
    found = process_facts("agent-0", grown, Gates())
    assert found.slope is not None
    assert found.slope.high == 0


def test_only_the_last_life_of_a_process_is_judged() -> None:
    lives = [replace(one, pid=1 if one.at_s < 3600 else 2) for one in readings(1e5)]
    found = process_facts("agent-0", lives, Gates())
    assert found.judged_s == pytest.approx(7195 - 3600 - 900)


def test_cpu_is_that_between_two_readings_of_one_life() -> None:
    assert set(cpu_percents(readings(0))) == {25.0}
    assert cpu_percents([]) == []


def test_a_headline_names_what_failed_and_what_cannot_be_told() -> None:
    facts = good_facts(p95_ms=200.0)
    assert headline(facts, judge(facts, Gates())) == "load: failed: p95"
    nothing = good_facts(ending=Ending(ran_s=0, fault="nobody there", missing=True), met=0)
    assert headline(nothing, judge(nothing, Gates())) == "load: did not run: nobody there"
