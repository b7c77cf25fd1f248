"""Collects a baseline: trades in an open loop, then rounds that time the code; facts first, verdict last."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.clock import NS_PER_S, Clock, SystemClock
from pipeline.errors import RinglineError
from pipeline.performance.backlog import Backlog, BacklogTracker
from pipeline.performance.figures import median
from pipeline.performance.manager import OPEN, Manager, Submission
from pipeline.performance.options import Options, checked
from pipeline.performance.reference import NAME, machine, reference_ms
from pipeline.performance.report import reports
from pipeline.performance.resources import Resources
from pipeline.performance.rounds import PASSES, Round, round_of, take_rounds
from pipeline.performance.throughput import Throughput, ThroughputMonitor

LIVE_ROUND = 20
"""Where only trades can be timed, so many make a round: the fewest with a p95 that is not the maximum."""
TIMED = f"; the least of {PASSES} passes, less what other processes took"
_GUARDS = ("cpu_percent", "memory_mb", "memory_percent")
_OPTIONS = (
    "max_cpu_percent",
    "max_lag_ms",
    "max_memory_mb",
    "max_memory_percent",
    "max_processing_ms",
    "trades",
)


class Course(Struct, kw_only=True):
    """What the trades left behind."""

    submissions: list[Submission]
    throughput: Throughput
    backlog: Backlog
    resources: Resources
    rounds: tuple[Round, ...]
    timed: bool
    """Whether `rounds` timed calls; else they are made of trades."""


def collect_performance_baseline(
    manager: Manager,
    *,
    clock: Clock | None = None,
    sleep: Callable[[float], object] = time.sleep,
    **options: Any,
) -> dict[str, Any]:
    """Sends trades through `manager` and says how it did, as plain values.

    `options` are those of `options.Options`: `max_processing_ms`, `max_lag_ms`, `trades`, … The result has
    `execution`, `throughput`, `performance` (with `healthy`, `breaches` saying why not, and `latency`, which
    `ringline baseline diff` compares), `reports` (Markdown), `throttle_scopes` and `options`. Raises
    OptionsError naming every option that does not fit.
    """
    asked = checked(**options)
    course = _run(manager, asked, clock or SystemClock(), sleep)
    scopes = manager.get_trade_throttle_scope_snapshots()
    execution = _execution(manager, course, scopes)
    baseline: dict[str, Any] = {
        "execution": execution,
        "throughput": msgspec.to_builtins(course.throughput),
        "performance": _performance(manager, asked, course, execution),
        "reports": {},
        "throttle_scopes": scopes,
        "options": _options(manager, asked),
    }
    baseline["reports"] = reports(baseline)
    return baseline


def _run(manager: Manager, options: Options, clock: Clock, sleep: Callable[[float], object]) -> Course:
    monitor = ThroughputMonitor(
        max_processing_ms=options.max_processing_ms, max_lag_ms=options.max_lag_ms,
        window_s=60 + options.trades / options.rate, clock=clock,
    )  # fmt: skip
    tracker = BacklogTracker(options.threshold_ms)
    submissions: list[Submission] = []
    references_ms = [reference_ms()]
    manager.resources()
    started_ns, gap_ns = clock.monotonic_ns(), int(NS_PER_S / options.rate)
    for number in range(options.trades):
        due_ns = started_ns + number * gap_ns
        if (early_ns := due_ns - clock.monotonic_ns()) > 0:
            sleep(early_ns / NS_PER_S)
        submission = manager.submit(due_ns)
        submissions.append(submission)
        monitor.record(submission.processing_ms, submission.lag_ms)
        tracker.record(submission.lag_ms)
        if number % LIVE_ROUND == LIVE_ROUND - 1:
            references_ms.append(reference_ms())
    resources = manager.resources()
    rounds = take_rounds(manager.calls, options.rounds, options.calls) if options.rounds else ()
    return Course(
        submissions=submissions,
        throughput=monitor.snapshot(),
        backlog=tracker.snapshot(),
        resources=resources,
        timed=bool(rounds),
        rounds=rounds or _trade_rounds(submissions, references_ms),
    )


def _trade_rounds(submissions: Sequence[Submission], references_ms: Sequence[float]) -> tuple[Round, ...]:
    """Rounds made of trades, where nothing else can be timed; a rest below a whole round is left out."""
    return tuple(
        round_of(
            [item.processing_ms for item in submissions[number * LIVE_ROUND : (number + 1) * LIVE_ROUND]],
            references_ms[number : number + 2],
        )
        for number in range(len(submissions) // LIVE_ROUND)
    )


def _execution(manager: Manager, course: Course, scopes: list[dict[str, Any]]) -> dict[str, Any]:
    submissions = course.submissions
    seen = [item.ordered for item in submissions if item.ordered is not None]
    if seen and len(seen) != len(submissions):
        raise RinglineError(f"{manager.name}: only {len(seen)} of {len(submissions)} trades were decided")
    reasons = Counter(reason.partition(":")[0] for item in submissions for reason in item.reasons)
    return {
        "manager": manager.name,
        "trades": len(submissions),
        "orders_submitted": sum(seen) if seen else None,
        "orders_denied": len(seen) - sum(seen) if seen else None,
        "throttled": sum(item.throttle_state != OPEN for item in submissions) if seen else None,
        "denials": dict(sorted(reasons.items())),
        "trade_throttle": _trade_throttle(manager, submissions, scopes),
        "backlog": msgspec.to_builtins(course.backlog),
    }


def _trade_throttle(
    manager: Manager, submissions: Sequence[Submission], scopes: list[dict[str, Any]]
) -> dict[str, Any]:
    """The throttle as the last trade met it, with the payload of its scope."""
    denied = next((item for item in reversed(submissions) if item.throttle_state != OPEN), None)
    own = [scope for scope in scopes if _is_of(manager, scope)]
    scope = next((scope for scope in own if scope.get("state") != OPEN), own[0] if own else {})
    metadata = {key: value for key, value in scope.items() if key not in ("state", "message")}
    metadata["scope"] = {"strategy_id": manager.strategy_id, "symbol": manager.symbol}
    if denied is None:
        state, message = scope.get("state", OPEN), scope.get("message", "")
    else:
        state, message = denied.throttle_state, denied.throttle_message
        metadata["retry_at"] = denied.retry_at
        metadata["reasons"] = list(denied.reasons)
    return {"state": state, "message": message, "metadata": {"retry_at": None} | metadata}


def _is_of(manager: Manager, scope: dict[str, Any]) -> bool:
    wanted = {"strategy_id": manager.strategy_id, "symbol": manager.symbol}
    return all(scope.get("scope", {}).get(name) in (value, None) for name, value in wanted.items())


def _performance(
    manager: Manager, options: Options, course: Course, execution: dict[str, Any]
) -> dict[str, Any]:
    guards, breaches, unknown = _guarded(options, course.resources)
    throughput, backlog, throttle = course.throughput, course.backlog, execution["trade_throttle"]
    for what, value_ms, limit_ms in (
        ("max_processing_ms", throughput.max_processing_ms, options.max_processing_ms),
        ("max_lag_ms", throughput.max_lag_ms, options.max_lag_ms),
        ("backlog p95_lag_ms", backlog.p95_lag_ms, options.threshold_ms),
    ):
        if value_ms is None or value_ms > limit_ms:
            breaches.append(f"{what} = {_figure(value_ms)}: the limit is {limit_ms:g} ms")
    return {
        "healthy": not breaches,
        "breaches": breaches,
        "unknown": unknown,
        "backlog": msgspec.to_builtins(backlog),
        "throttle": {
            "state": throttle["state"],
            "retry_at": throttle["metadata"]["retry_at"],
            "context": {"symbol": manager.symbol, "strategy_id": manager.strategy_id},
        },
        "resources": msgspec.to_builtins(course.resources) | guards,
        "latency": _latency(manager, course),
        "machine": machine(),
    }


def _guarded(options: Options, resources: Resources) -> tuple[dict[str, Any], list[str], list[str]]:
    """The guardrails: their limits, those that are broken, and those nobody can judge."""
    guards, breaches, unknown = {}, [], []
    for name in _GUARDS:
        limit, value = getattr(options, f"max_{name}"), getattr(resources, name)
        guards[f"max_{name}"] = limit
        if limit is None:
            continue
        if value is None:
            unknown.append(f"{name}: not judged; {resources.note or 'nobody could measure it'}")
        elif value > limit:
            breaches.append(f"{name} = {value:.1f}: the limit is {limit:g}")
    return guards, breaches, unknown


def _latency(manager: Manager, course: Course) -> dict[str, Any]:
    """What a later baseline is compared with."""
    rounds = course.rounds
    return {
        "measures": manager.measures + (TIMED if course.timed else ""),
        "p50_ms": median([item.p50_ms for item in rounds]) if rounds else None,
        "p95_ms": median([item.p95_ms for item in rounds]) if rounds else None,
        "reference": NAME,
        "reference_ms": median([item.reference_ms for item in rounds]) if rounds else None,
        "rounds": msgspec.to_builtins(rounds),
    }


def _options(manager: Manager, options: Options) -> dict[str, Any]:
    """Exactly the six keys of a baseline."""
    found = {name: getattr(options, name) for name in _OPTIONS}
    found["backlog_threshold_ms"] = options.threshold_ms
    found["trade_throttle"] = manager.trade_throttle
    return dict(sorted(found.items()))


def _figure(value: float | None) -> str:
    return "nothing measured" if value is None else f"{value:.3f}"
