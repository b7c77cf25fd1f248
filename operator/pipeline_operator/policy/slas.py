"""Each SLA of a stage, judged: on the last second for raising, on the last minute for lowering."""

from __future__ import annotations

from pipeline.telemetry.events import EventID
from pipeline_operator import limits
from pipeline_operator.memory import Second
from pipeline_operator.observation import SlaVerdict, StageSignals
from pipeline_operator.record import SlaState
from pipeline_operator.spec import LatencySla, StageSpec

PRODUCT_EVENTS = {event.name for event in EventID if event < EventID.LAG}
"""Latencies that the stages record themselves."""
RAISE_WINDOW_MS, LOWER_WINDOW_MS = 1_000, 60_000


def now_states(stage: StageSpec, signals: StageSignals, least_count: int) -> tuple[SlaState, ...]:
    """On the 1 s window; lag as it is."""
    return _states(stage, signals, RAISE_WINDOW_MS, signals.lag_ms, least_count)


def minute_states(
    stage: StageSpec, signals: StageSignals, seconds: tuple[Second, ...], least_count: int
) -> tuple[SlaState, ...]:
    """On the 60 s window; the worst lag of the minute."""
    lags = [second.lag_ms for second in seconds]
    lag_ms = max(lags) if lags else signals.lag_ms
    return _states(stage, signals, LOWER_WINDOW_MS, lag_ms, least_count)


def throttled_per_mille(stage: StageSpec, signals: StageSignals, window_ms: int) -> tuple[int, int]:
    """Per mille of messages that waited for credit or were refused, and of how many messages.

    A message that waited is handled later, so those handled are the whole, unless fewer than waited were.
    """
    counts = signals.window(window_ms)
    if stage.upstream:
        total, slow = max(counts.handled, counts.flow_throttled), counts.flow_throttled
    else:
        total, slow = counts.handled + counts.shed, counts.shed
    return (slow * 1000 // total if total else 0), total


def percentile_text(basis_points: int) -> str:
    """9950 → p99.5"""
    whole, rest = divmod(basis_points, 100)
    return f"p{whole}" + (f".{rest:02d}".rstrip("0") if rest else "")


def latency_name(sla: LatencySla) -> str:
    return f"latency {sla.event} {percentile_text(sla.percentile_basis_points)}"


def unknown_events(stage: StageSpec, signals: StageSignals) -> tuple[str, ...]:
    """Those of latency SLAs that nobody records, so that these are never judged.

    An event of the product is believed to come as long as nothing was handled; any other name is taken for
    wrong once the stage's pods tell of events and not of it.
    """
    wanted = {sla.event for sla in stage.slas.latency} - set(signals.events)
    if not signals.events or len(signals.events) >= limits.MAX_EVENTS_TOLD:
        return ()
    if not signals.window(LOWER_WINDOW_MS).handled:
        wanted -= PRODUCT_EVENTS
    return tuple(sorted(wanted))


def _states(
    stage: StageSpec, signals: StageSignals, window_ms: int, lag_ms: int | None, least_count: int
) -> tuple[SlaState, ...]:
    found = []
    slas = stage.slas
    if slas.lag_ms is not None:
        verdict = SlaVerdict.UNKNOWN if lag_ms is None else _verdict(lag_ms <= slas.lag_ms)
        found.append(SlaState(name="lag", verdict=verdict, value=lag_ms, limit=slas.lag_ms, unit="ms"))
    if slas.throttle_per_mille is not None:
        share, total = throttled_per_mille(stage, signals, window_ms)
        verdict = _verdict(share <= slas.throttle_per_mille) if total >= least_count else SlaVerdict.UNKNOWN
        value = share if total else None
        limit = slas.throttle_per_mille
        found.append(SlaState(name="throttle", verdict=verdict, value=value, limit=limit, unit="per mille"))
    found += [_latency(sla, signals, window_ms) for sla in slas.latency]
    return tuple(found)


def _latency(sla: LatencySla, signals: StageSignals, window_ms: int) -> SlaState:
    verdict, value = SlaVerdict.UNKNOWN, None
    for told in signals.latencies:
        if (told.event, told.percentile_basis_points, told.limit_ms, told.window_ms) == (
            sla.event,
            sla.percentile_basis_points,
            sla.limit_ms,
            window_ms,
        ):
            verdict, value = told.verdict, told.value_us
    return SlaState(
        name=latency_name(sla), verdict=verdict, value=value, limit=sla.limit_ms * 1000, unit="us"
    )


def _verdict(met: bool) -> SlaVerdict:
    return SlaVerdict.MET if met else SlaVerdict.VIOLATED
