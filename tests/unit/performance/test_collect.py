from __future__ import annotations

import math
from typing import Any

import pytest

from pipeline.clock import FakeClock
from pipeline.errors import RinglineError
from pipeline.performance import Submission, collect_performance_baseline
from pipeline.performance.fake import ScriptedManager
from pipeline.performance.options import OptionsError
from pipeline.performance.report import whole
from pipeline.performance.resources import NO_PSUTIL, ProcessMeter, Resources

TAKEN = Submission(processing_ms=10, lag_ms=1, ordered=True)
REFUSED = Submission(
    processing_ms=5,
    lag_ms=2,
    ordered=False,
    reasons=("THROTTLE_WINDOW: limit=1 window_seconds=60 throttle=t",),
    throttle_state="rate_limited",
    throttle_message="Throttled: too many trades in short time (limit 1 trade per 1 minute)",
    retry_at="2026-01-01T00:01:00+00:00",
)
SCOPE = {
    "name": "t",
    "scope": {"strategy_id": "baseline", "symbol": "BASELINE"},
    "state": "rate_limited",
    "message": "",
    "retry_at": None,
    "remaining_trades": 0,
    "window_utilisation": 1.0,
    "throttle_remaining_notional": "900",
}
R3_OPTIONS = {
    "backlog_threshold_ms", "max_cpu_percent", "max_lag_ms", "max_memory_mb", "max_memory_percent",
    "max_processing_ms", "trade_throttle", "trades",
}  # fmt: skip


def collect(manager: ScriptedManager, **options: Any) -> dict[str, Any]:
    clock = FakeClock()
    return collect_performance_baseline(
        manager, clock=clock, sleep=lambda s: clock.advance(s=s), **{"rounds": 0} | options
    )


def test_it_has_exactly_the_parts_and_options_that_were_asked_for() -> None:
    found = collect(ScriptedManager([TAKEN]))
    assert set(found) == {"execution", "throughput", "performance", "reports", "throttle_scopes", "options"}
    assert set(found["options"]) == R3_OPTIONS
    assert {"samples", "max_processing_ms", "max_lag_ms", "healthy"} <= set(found["throughput"])
    assert {"threshold_ms", "max_lag_ms", "avg_lag_ms", "p95_lag_ms", "latest_lag_ms", "breach_rate",
            "max_breach_streak"} <= set(found["performance"]["backlog"])  # fmt: skip


def test_a_throttled_run_says_so_when_it_ends_and_is_healthy_all_the_same() -> None:
    found = collect(ScriptedManager([TAKEN, REFUSED], scopes=[SCOPE]), trades=6)
    execution = found["execution"]
    assert (execution["orders_submitted"], execution["orders_denied"], execution["throttled"]) == (1, 5, 5)
    assert execution["denials"] == {"THROTTLE_WINDOW": 5}
    throttle = execution["trade_throttle"]
    assert throttle["state"] == "rate_limited"
    assert throttle["message"].endswith("(limit 1 trade per 1 minute)")
    assert throttle["metadata"]["retry_at"] == "2026-01-01T00:01:00+00:00"
    assert throttle["metadata"]["window_utilisation"] == 1.0
    assert found["performance"]["throttle"] == {
        "state": "rate_limited",
        "retry_at": "2026-01-01T00:01:00+00:00",
        "context": {"symbol": "BASELINE", "strategy_id": "baseline"},
    }
    assert found["performance"]["healthy"] is True
    assert found["throttle_scopes"] == [SCOPE]


def test_trades_are_sent_in_an_open_loop() -> None:
    manager = ScriptedManager([TAKEN])
    collect(manager, trades=4, rate=10)
    gaps = [later - earlier for earlier, later in zip(manager.due_ns, manager.due_ns[1:], strict=False)]
    assert gaps == [100_000_000] * 3


@pytest.mark.parametrize(
    ("options", "breach"),
    [
        ({"max_processing_ms": 9}, "max_processing_ms = 10.000: the limit is 9 ms"),
        ({"max_lag_ms": 0.5, "backlog_threshold_ms": 5}, "max_lag_ms = 1.000: the limit is 0.5 ms"),
        ({"backlog_threshold_ms": 0.5}, "backlog p95_lag_ms = 1.000: the limit is 0.5 ms"),
        ({"max_cpu_percent": 75}, "cpu_percent = 80.0: the limit is 75"),
        ({"max_memory_mb": 99}, "memory_mb = 100.0: the limit is 99"),
        ({"max_memory_percent": 4}, "memory_percent = 5.0: the limit is 4"),
    ],
)
def test_each_limit_makes_it_unhealthy_and_is_named(options: dict[str, float], breach: str) -> None:
    used = Resources(cpu_percent=80, memory_mb=100, memory_percent=5, source="test")
    found = collect(ScriptedManager([TAKEN], resources=used), **options)
    assert found["performance"]["healthy"] is False
    assert found["performance"]["breaches"] == [breach]
    assert f"- {breach}" in found["reports"]["summary"]


def test_without_psutil_cpu_and_memory_are_null_and_it_is_said() -> None:
    used = ProcessMeter(module=None).read()
    assert (used.cpu_percent, used.memory_mb, used.memory_percent, used.source) == (None, None, None, None)
    found = collect(ScriptedManager([TAKEN], resources=used), max_cpu_percent=75)
    assert found["performance"]["healthy"] is True
    assert found["performance"]["unknown"] == [f"cpu_percent: not judged; {NO_PSUTIL}"]
    assert NO_PSUTIL in whole(found)


def test_with_psutil_they_are_figures() -> None:
    pytest.importorskip("psutil")
    used = ProcessMeter().read()
    assert used.memory_mb is not None
    assert used.memory_mb > 1
    assert used.cpu_percent is not None
    assert (used.source or "").startswith("psutil ")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"trades": 0}, "trades = 0: must be a whole number from 1 to 100,000"),
        ({"trades": True}, "trades = True: must be a whole number"),
        ({"trades": 10**9}, "trades = 1000000000: must be"),
        ({"calls": 19}, "calls = 19: must be a whole number from 20"),
        ({"rounds": -1}, "rounds = -1: must be"),
        ({"max_lag_ms": math.nan}, "max_lag_ms = nan: must be a finite number above 0"),
        ({"max_processing_ms": -1}, "max_processing_ms = -1: must be"),
        ({"max_processing_ms": 1e12}, "max_processing_ms = 1000000000000.0: must be"),
        ({"max_memory_percent": 101}, "max_memory_percent = 101: must be"),
        ({"rate": math.inf}, "rate = inf: must be"),
        ({"max_lag_ms": None}, "max_lag_ms = None: must be"),
    ],
)
def test_absurd_options_are_refused_by_name(options: dict[str, Any], line: str) -> None:
    with pytest.raises(OptionsError) as caught:
        collect(ScriptedManager([TAKEN]), **options)
    assert str(caught.value).startswith(line)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(OptionsError) as caught:
        collect(ScriptedManager([TAKEN]), trades=-1, max_lag_ms=math.nan)
    assert [fault.option for fault in caught.value.faults] == ["trades", "max_lag_ms"]


def test_a_manager_that_measures_nonsense_is_not_believed() -> None:
    with pytest.raises(ValueError, match="processing_ms = nan"):
        collect(ScriptedManager([Submission(processing_ms=math.nan, lag_ms=0, ordered=True)]))


def test_decisions_that_cannot_be_seen_are_null_and_not_zero() -> None:
    blind = Submission(processing_ms=1, lag_ms=0, ordered=None, throttle_state="unknown")
    execution = collect(ScriptedManager([blind]))["execution"]
    assert (execution["orders_submitted"], execution["orders_denied"], execution["throttled"]) == (None,) * 3
    with pytest.raises(RinglineError, match="only 1 of 3 trades were decided"):
        collect(ScriptedManager([TAKEN, blind]), trades=3)


def test_where_only_trades_can_be_timed_they_make_the_rounds() -> None:
    latency = collect(ScriptedManager([TAKEN]), trades=45, rounds=5)["performance"]["latency"]
    assert [item["calls"] for item in latency["rounds"]] == [20, 20]
    assert latency["p95_ms"] == 10


def test_rounds_time_the_calls_of_a_manager() -> None:
    manager = ScriptedManager([TAKEN], call=lambda: sum(range(2000)))
    latency = collect(manager, rounds=3, calls=20)["performance"]["latency"]
    assert len(latency["rounds"]) == 3
    assert 0 < latency["p50_ms"] <= latency["p95_ms"]


def test_what_would_break_a_table_is_escaped() -> None:
    odd = {**SCOPE, "name": "a|b\nc"}
    assert "| a\\|b c |" in collect(ScriptedManager([TAKEN], scopes=[odd]))["reports"]["throttle"]
