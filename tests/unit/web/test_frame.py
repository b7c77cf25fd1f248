"""A frame says what the snapshot and the reports say, and no more."""

from __future__ import annotations

import pytest
from msgspec import structs

from pipeline import limits
from pipeline.golden_steps import STEPS
from pipeline.snapshot import Counts, Dead, Latency, Replica, Snapshot, Stage
from pipeline.web.frame import Rates, Report, SentLink, frame_of, links_of, point_of, steps_of

NOW_US = 1_767_225_600_000_000


def latency(event: str = "END_TO_END", window_s: float = 60, **changes: object) -> Latency:
    given = {"count": 100, "p50_ns": 2_000_000, "p95_ns": 5_000_000, "p99_ns": 9_000_000} | changes
    return Latency(event=event, window_s=window_s, **given)  # type: ignore[arg-type]


def snapshot(**changes: object) -> Snapshot:
    counts = (Counts(window_s=5, handled=50, blocked_ms=2500, shed=3), Counts(window_s=1, handled=99))
    given = {
        "taken_us": NOW_US - 250_000,
        "uptime_s": 12.0,
        "stages": (Stage(stage="agent", lag_ms=1.25, depth=4, counts=counts, latencies=()),),
        "replicas": (
            Replica(stage="agent", ordinal=0, name="agent-0", age_ms=10, counts=counts, memory_bytes=2**20),
        ),
        "latencies": (latency(), latency(window_s=5, count=25, lost=2)),
    } | changes
    return Snapshot(**given)  # type: ignore[arg-type]


def report(taken_us: int, sent: int, **changes: object) -> Report:
    given = {"up": True, "leaving": False, "credit": 256, "free": 250, "oldest_ns": 3_000_000, "in_flight": 6}
    link = SentLink(ordinal=1, sent=sent, **(given | changes))  # type: ignore[arg-type]
    return Report("gateway-0", taken_us, (link,), taken_ns=7_500_000)


def test_the_age_is_that_of_the_snapshot_and_the_rates_those_of_five_seconds() -> None:
    frame = frame_of(snapshot(), (), Rates(), number=3, now_us=NOW_US)
    assert frame.age_ms == 250
    assert (frame.stages[0].handled_per_s, frame.stages[0].shed) == (10, 3)
    assert frame.stages[0].blocked_percent == frame.replicas[0].blocked_percent == 50
    assert frame.replicas[0].memory_mb == 1


def test_without_a_snapshot_there_is_no_age_but_the_fault_and_the_links() -> None:
    frame = frame_of(None, [report(NOW_US, 5)], Rates(), number=1, now_us=NOW_US, fault="collector away")
    assert frame.age_ms is None
    assert frame.fault == "collector away"
    assert frame.links[0].receiver == "agent-1"


def test_every_step_of_the_golden_path_is_there_with_a_verdict() -> None:
    steps = {step.event: step for step in steps_of([latency(), latency("AUDIT_WRITE", p95_ns=8_000_000)])}
    assert list(steps) == [event for _, event, _ in STEPS]
    assert steps["END_TO_END"].verdict == "met"
    assert steps["AUDIT_WRITE"].verdict == "over"
    assert (steps["EXEC_CONSUME"].verdict, steps["EXEC_CONSUME"].p95_ms) == ("unknown", None)


@pytest.mark.parametrize(("p95_ns", "verdict"), [(5_000_000, "unknown"), (90_000_000, "over")])
def test_a_tail_that_lost_records_is_never_said_to_be_met(p95_ns: int, verdict: str) -> None:
    step = steps_of([latency(lost=1, p95_ns=p95_ns)])[-1]
    assert (step.verdict, step.lost) == (verdict, 1)


def test_a_links_rate_is_what_was_sent_between_two_reports() -> None:
    rates = Rates()
    assert links_of([report(NOW_US, 100)], rates, NOW_US)[0].rate_per_s is None
    later_us = NOW_US + 2_000_000
    assert links_of([report(later_us, 150)], rates, later_us)[0].rate_per_s == 25
    assert links_of([report(later_us, 150)], rates, later_us)[0].rate_per_s == 25, "the same report again"
    assert links_of([report(later_us + 1, 3)], rates, later_us)[0].rate_per_s is None, "a new session"


@pytest.mark.parametrize(
    ("changes", "state", "blocked"),
    [
        ({}, "up", False),
        ({"up": False}, "down", False),
        ({"leaving": True}, "leaving", False),
        ({"free": 0}, "up", True),
        ({"free": 0, "in_flight": 0}, "up", False),
    ],
)
def test_a_link_is_blocked_when_its_credit_is_used_up(
    changes: dict[str, object], state: str, blocked: bool
) -> None:
    link = links_of([report(NOW_US, 1, **changes)], Rates(), NOW_US)[0]
    assert (link.state, link.blocked) == (state, blocked)


def test_a_sender_that_fell_silent_tells_of_no_link() -> None:
    assert links_of([report(NOW_US - 16_000_000, 1)], Rates(), NOW_US)[0].state == "stale"


def test_a_point_has_count_and_loss_and_no_percentile_of_nothing() -> None:
    point = point_of(snapshot(), 7)
    assert (point.number, point.count, point.lost, point.rate_per_s) == (7, 25, 2, 5)
    assert point.lag_ms == (1.25, None, None)
    empty = point_of(snapshot(latencies=()), 8)
    assert (empty.count, empty.p95_ms) == (0, None)


def test_what_died_says_when_and_inside_of_what_and_is_told_for_a_while() -> None:
    dead = (
        Dead(name="audit-0", pid=6, silent_ms=5, age_ms=limits.PAGE_DEATH_MS),
        Dead(name="agent-0", pid=6, silent_ms=5, age_ms=125_000),
        Dead(name="exec-1", pid=7, silent_ms=5, inside=("FILL_GENERATION",), age_ms=59_999),
    )
    frame = frame_of(snapshot(dead=dead), (), Rates(), number=1, now_us=NOW_US)
    assert frame.dead == (
        "agent-0 (pid 6) died 2 min ago",
        "exec-1 (pid 7) died less than a minute ago inside FILL_GENERATION",
    )


def test_a_links_lag_is_an_age_and_not_the_instant_since_which_it_counts() -> None:
    def lag_ms(**changes: object) -> float | None:
        return links_of([report(NOW_US, 1, **changes)], Rates(), NOW_US)[0].lag_ms

    assert lag_ms(oldest_ns=3_000_000) == 4.5
    assert lag_ms(oldest_ns=8_000_000) == 0
    assert lag_ms(oldest_ns=None) is None
    untold = structs.replace(report(NOW_US, 1, oldest_ns=3_000_000), taken_ns=0)
    assert links_of([untold], Rates(), NOW_US)[0].lag_ms is None


def test_a_halt_that_no_key_has_seen_is_told_once_with_and_without_a_snapshot() -> None:
    reports = [structs.replace(report(NOW_US, 5), standing=("halt: before the open",))] * 2
    for known in (None, snapshot()):
        frame = frame_of(known, reports, Rates(), number=1, now_us=NOW_US)
        assert frame.standing == ("halt: before the open",)
