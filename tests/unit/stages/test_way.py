"""An event's way is told as it was recorded, and nothing that is compared depends on it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steps_bench import ACCEPTED_US, KEY, StepsBench, deliveries

from pipeline.checks import ADDRESS, PATH, Checks, encode_checks
from pipeline.clock import FakeClock
from pipeline.delivery import Delivery
from pipeline.stages.appender import Appender
from pipeline.stages.way import ChecksStory, Step, checks_of, steps, utc, way_of
from pipeline.storage.audit import AuditRow, MemoryAuditStore
from pipeline.storage.audit.digest import run_digest
from pipeline.transport.steps import NoHand

DECIDED = ("decision", "a_prev", "a", "agent_state", "fills", "x_prev", "x", "exec_state", "outcome")


def walked(directory: Path, wall_us: Callable[[], int], checks: bytes = b"") -> list[Delivery]:
    """Rows of a key that went through agent, exec and audit by the clock `wall_us`."""
    bench = StepsBench(4, directory, wall_us=wall_us)
    store = MemoryAuditStore(4)
    appender = Appender(store, NoHand(), bench.recorder, FakeClock().monotonic_ns, wall_us=wall_us)
    agent, executed = bench.agent.origin(KEY), bench.exec.origin(KEY)
    for delivery in deliveries(24, frozenset({5})):
        delivery.checks = checks
        agent, executed = bench.agent.step(agent, delivery), bench.exec.step(executed, delivery)
        (word,) = appender.append([delivery])
        assert word.appended
    assert store.tail(KEY).last == 24
    return [AuditRow.of("memory", row.seq, row.h, row.body).delivery for row in store.rows]


def test_each_stage_says_when_it_was_done(tmp_path: Path) -> None:
    ticks = count(ACCEPTED_US + 1_000, 7)
    rows = walked(tmp_path, lambda: next(ticks))
    for place, row in enumerate(rows):
        first = ACCEPTED_US + 1_000 + 21 * place
        assert (row.decided_us, row.executed_us, row.audited_us) == (first, first + 7, first + 14)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=9), st.binary(max_size=40))
def test_what_is_decided_and_digested_depends_on_no_time_and_on_no_check(
    tmp_path_factory: pytest.TempPathFactory, times_us: list[int], checks: bytes
) -> None:
    folder = tmp_path_factory.mktemp("way")
    calls = count()
    untimed = walked(folder, lambda: 0)
    timed = walked(folder, lambda: times_us[next(calls) % len(times_us)], checks)
    for one, other in zip(untimed, timed, strict=True):
        assert [getattr(one, name) for name in DECIDED] == [getattr(other, name) for name in DECIDED]
    assert run_digest(untimed) == run_digest(timed)


def delivery(**fields: object) -> Delivery:
    made = Delivery("K", 1, b"e" * 16, "demo", "w", ACCEPTED_US, 0, b"")
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_the_way_is_told_in_order_with_the_time_since_acceptance() -> None:
    after = {"synced": 900, "dispatched": 1_000, "decided": 2_500, "executed": 2_400, "audited": 1_002_500}
    way = way_of(delivery(**{f"{step}_us": ACCEPTED_US + us for step, us in after.items()}))
    told = list(steps(utc(ACCEPTED_US), way))
    assert [one.name for one in told] == ["accepted", *after]
    assert [one.after_us for one in told] == [0, *after.values()]
    assert [one.at for one in told] == [utc(ACCEPTED_US + us) for us in (0, *after.values())]
    assert told[-1].at == "2023-11-14T22:13:21.002500Z"


def test_what_was_not_recorded_says_so() -> None:
    way = way_of(delivery(executed_us=ACCEPTED_US + 5))
    told = list(steps(utc(ACCEPTED_US), way))
    assert [one.name for one in told if one.after_us is None] == [
        "synced",
        "dispatched",
        "decided",
        "audited",
    ]
    assert told[1] == Step("synced", "", None)
    assert checks_of(delivery()) is None


@pytest.mark.parametrize("time_us", [-1, 2**63 - 1])
def test_a_time_that_no_calendar_has_is_not_recorded(time_us: int) -> None:
    assert way_of(delivery(decided_us=time_us)).decided_us is None


def test_checks_are_told_in_words() -> None:
    checks = Checks("hmac", "key-2", "x-id", 900, 3, ADDRESS | PATH, -40)
    assert checks_of(delivery(checks=encode_checks(checks))) == ChecksStory(
        profile="hmac", secret="key-2", named_by="x-id", body_bytes=900, index=3, age_ms=-40,
        passed=("address", "path token"),
    )  # fmt: skip
    alone = checks_of(delivery(checks=encode_checks(Checks("github", "key", "x-github-delivery", 9))))
    assert alone is not None
    assert (alone.index, alone.age_ms, alone.passed) == (None, None, ())
