from __future__ import annotations

from load_facts import good_facts

from loadtests.facts import Change
from loadtests.report import Report, StagePoint
from loadtests.samples import changes_of
from loadtests.scaling import scaling_table, worker_seconds

START_US = 1_700_000_000_000_000
SAID = {
    "stage": "exec", "before": 1, "after": 3, "breach_us": START_US + 12_000_000,
    "decided_us": START_US + 12_500_000, "ready_us": START_US + 13_800_000, "met_us": None,
    "sentence": "exec 1 → 3: lag.", "a later field": 1,
}  # fmt: skip


def point(at_s: float, execs: int) -> StagePoint:
    return StagePoint(elapsed_s=at_s, lag_ms={}, depth={}, replicas={"exec": execs}, end_to_end_p95_ms=None)


def report(*changes: Change) -> Report:
    return Report(
        ok=True, exit_code=0, headline="", started="2023-11-14T22:13:20Z", run="0", target="",
        started_by_test=True, generators=1, machine={}, versions={}, facts=good_facts(), verdicts=(),
        changes=changes, stage_points=(point(0, 1), point(10, 3), point(20, 1), point(30, 1)),
    )  # fmt: skip


def test_each_change_is_told_from_the_breach_on() -> None:
    (change,) = changes_of({"changes": [SAID]})
    table = scaling_table(report(change))
    assert table.rows == (("exec", "1 → 3", "12.0 s", "0.5 s", "1.8 s", "–"),)
    assert table.note == "exec 1 → 3: lag. exec took 50 worker seconds; a fixed 3 would be 90."


def test_without_an_autoscaler_there_is_nothing_to_tell() -> None:
    assert changes_of(None) == changes_of({"changes": "?"}) == ()
    assert scaling_table(report()).rows == ()
    assert worker_seconds((), "exec") == (0.0, 0, 0.0)
