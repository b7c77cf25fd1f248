from __future__ import annotations

from pipeline.clock import NS_PER_S
from pipeline.replay.sampler import MAX_MOMENTS, Sampler
from pipeline.replay.spec import Progress
from pipeline.snapshot import Snapshot


def progress(accepted: int) -> Progress:
    return Progress(elapsed_s=1, planned=100, accepted=accepted, repeated=0, retried=0)


def test_it_is_due_twice_a_second() -> None:
    sampler = Sampler(0)
    due = [sampler.due(moment * NS_PER_S // 10) for moment in range(11)]
    assert due.count(True) == 3


def test_rates_are_over_the_last_two_seconds(snapshot: Snapshot) -> None:
    sampler = Sampler(0)
    for half in range(10):
        view = sampler.take(half * NS_PER_S // 2, "replaying", progress(half * 100), half * 50, snapshot)
    assert view.accepted_per_s == 200.0
    assert view.audited_per_s == 100.0
    assert view.planned == 100
    assert sampler.moments[-1].lag_ms == {"agent": 3.25}


def test_what_is_audited_was_accepted_whatever_the_client_said_last() -> None:
    assert Sampler(0).take(1, "settling", progress(5), 8, None).accepted == 8


def test_the_first_look_has_no_rate() -> None:
    assert Sampler(0).take(0, "replaying", None, 0, None).accepted_per_s == 0.0


def test_a_long_run_keeps_a_bounded_number_of_moments() -> None:
    sampler = Sampler(0)
    for half in range(5 * MAX_MOMENTS):
        sampler.take(half * NS_PER_S // 2, "replaying", progress(half), half, None)
    assert MAX_MOMENTS // 4 < len(sampler.moments) <= MAX_MOMENTS
    steps = {
        round(after.elapsed_s - before.elapsed_s, 3)
        for before, after in zip(sampler.moments[10:], sampler.moments[11:-10], strict=False)
    }
    assert max(steps) <= 2 * min(steps)
