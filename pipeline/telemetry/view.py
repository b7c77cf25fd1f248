"""Builds the snapshot: the one view of a pipeline that people, programs and the autoscaler share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pipeline import limits
from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.snapshot import Counts, Dead, Latency, Replica, Sla, Snapshot, Stage
from pipeline.telemetry.aggregate import OUTCOMES, Aggregate
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.events import GONE, NEXT_STAGE, STAGES, EventID, name_in_rings, split_worker
from pipeline.telemetry.latencies import Figures, Totals, Window, figures_of
from pipeline.telemetry.sketch import Ints
from pipeline.telemetry.sla import SLAResult
from pipeline.telemetry.source import Death, Source

STALE_GAUGE_NS = 5 * NS_PER_S
"""A sender's word about a worker holds this long; a link that is closed is not written about any more."""
_COLUMNS = (
    EventID.HANDLED, EventID.FLOW_THROTTLED, EventID.TRADE_THROTTLED, EventID.SHED, EventID.BLOCKED,
)  # fmt: skip
_OF_RECEIVERS = (int(EventID.LAG), int(EventID.CREDIT))
"""Gauges that a sender writes about whom it sends to."""
Extremes = tuple[Ints, Ints]


@dataclass(slots=True)
class Worker:
    """What the rings say of one worker: its own, and those of its senders."""

    stage: str
    ordinal: int
    name: str
    sign_ns: int = 0
    lag_ns: int | None = None
    credit: int | None = None
    own: list[Source] = field(default_factory=list)

    def newest(self, event_id: EventID) -> int | None:
        """The newest of its own gauges of this event."""
        found = [source.gauges[event_id, 0] for source in self.own if (event_id, 0) in source.gauges]
        return max(found)[1] if found else None

    def cpu_percent(self) -> float | None:
        """Of its process: the sources of one process share it, and one of them reports it."""
        percents = [percent for source in self.own if (percent := source.cpu_percent()) is not None]
        return max(percents) if percents else None


def build_snapshot(
    collector: Collector,
    now_ns: int,
    wall_us: int,
    sketches: Collection[str] = (),
    *,
    brief: bool = False,
    events: Collection[str] = (),
    counts_s: Collection[float] = (),
) -> Snapshot:
    """Everything `collector` knows at `now_ns`, with the buckets of the events named in `sketches`.

    A `brief` one has no latencies and no verdicts on them, which are most of the work. With `events` there
    are only their latencies, of all workers together, and no verdicts; with `counts_s` only counts over these
    windows.
    """
    facts = collector.facts if brief else collector.aggregate  # first: workers are known by it too
    workers = workers_of(collector, now_ns)
    uptime_s = (now_ns - collector.started_ns) / NS_PER_S
    latencies = None if brief else _LatencyView(collector, sketches, events)
    by_stage = None if events else latencies
    counts = _CountView(facts, counts_s)
    return Snapshot(
        taken_us=wall_us,
        uptime_s=uptime_s,
        brief=brief,
        stages=tuple(_stage(name, workers, counts, by_stage) for name in _stages(facts, workers)),
        replicas=tuple(_replica(worker, now_ns, counts) for worker in workers),
        latencies=latencies.of(None) if latencies else (),
        totals=latencies.totals(uptime_s) if latencies else (),
        outcomes=_outcomes(facts),
        lost=collector.lost(),
        dead=tuple(_dead(death, now_ns) for death in collector.dead),
        slas=() if brief or events else tuple(sla_state(result) for result in collector.results()),
    )


def _dead(death: Death, now_ns: int) -> Dead:
    age_ms = (now_ns - death.seen_ns) / NS_PER_MS
    return Dead(name=death.name, pid=death.pid, silent_ms=death.silent_ms, inside=death.inside, age_ms=age_ms)


def sla_state(result: SLAResult) -> Sla:
    """A verdict as snapshots and the stream carry it."""
    return Sla(
        event=name_in_rings(result.threshold.event_id),
        percentile=result.threshold.percentile,
        limit_ns=result.threshold.limit_ns,
        window_s=result.window_seconds,
        verdict=result.verdict,
        count=result.count,
        lost=result.lost,
        value_ns=result.value_ns,
    )


def flow_order(stage: str) -> tuple[int, str]:
    """Sorts stages as events flow, others by name after them."""
    return (STAGES.index(stage), "") if stage in STAGES else (len(STAGES), stage)


def workers_of(collector: Collector, now_ns: int) -> list[Worker]:
    """Every worker that has a ring here or is written about by a sender, in flow order."""
    known: dict[str, Worker] = {}
    for source in collector.sources:
        worker = known.setdefault(source.worker, Worker(source.stage, source.ordinal, source.worker))
        worker.own.append(source)
        worker.sign_ns = max(worker.sign_ns, source.last_sign_ns(now_ns))
    for source in collector.sources:
        for (event_id, which), (at_ns, value) in source.gauges.items():
            if event_id in _OF_RECEIVERS and now_ns - at_ns <= STALE_GAUGE_NS:
                _note_sender(collector, known, source, event_id, which, at_ns, value)
    return sorted(known.values(), key=lambda worker: (*flow_order(worker.stage), worker.ordinal, worker.name))


def _note_sender(
    collector: Collector,
    known: dict[str, Worker],
    sender: Source,
    event_id: int,
    ordinal: int,
    at_ns: int,
    value: int,
) -> None:
    stage = NEXT_STAGE.get(sender.stage)
    if stage is None or ordinal >= limits.MAX_ORDINAL:
        return
    name = f"{stage}-{ordinal}"
    if name not in known:  # it lives in another pod, or has died: its sender is all there is
        known[name] = Worker(stage, ordinal, name, collector.last_signs.get(name, at_ns))
    worker = known[name]
    if event_id == EventID.LAG:
        worker.lag_ns = value if worker.lag_ns is None else max(worker.lag_ns, value)
    else:
        worker.credit = value if worker.credit is None else worker.credit + value


def _replica(worker: Worker, now_ns: int, counts: _CountView) -> Replica:
    return Replica(
        stage=worker.stage,
        ordinal=worker.ordinal,
        name=worker.name,
        age_ms=max(0.0, (now_ns - worker.sign_ns) / NS_PER_MS),
        lag_ms=None if worker.lag_ns is None else worker.lag_ns / NS_PER_MS,
        depth=worker.newest(EventID.DEPTH) or 0,
        credit=worker.credit,
        cpu_percent=worker.cpu_percent(),
        memory_bytes=worker.newest(EventID.MEMORY),
        counts=counts.of_worker(worker.name),
    )


class _CountView:
    """Reads all counters of a snapshot at one time: a table of them a window."""

    def __init__(self, facts: Aggregate, windows_s: Collection[float] = ()) -> None:
        """Over `windows_s`, if there are any."""
        counters = facts.counters
        table = counters.table(_COLUMNS)
        self._rows = table.rows
        self._windows = [
            (window_s, counters.read(window_s, table))
            for window_s in facts.latencies.windows
            if not windows_s or window_s in windows_s
        ]

    def of_worker(self, name: str) -> tuple[Counts, ...]:
        row = self._rows.get(name)
        return self._counts(() if row is None else (row,))

    def of_stage(self, name: str) -> tuple[Counts, ...]:
        """Also of workers that have gone: what they did within the window was done."""
        return self._counts([row for worker, row in self._rows.items() if split_worker(worker)[0] == name])

    def _counts(self, rows: Sequence[int]) -> tuple[Counts, ...]:
        return tuple(_sum(window_s, [sums[row] for row in rows]) for window_s, sums in self._windows)


def _sum(window_s: float, rows: Sequence[Sequence[int]]) -> Counts:
    if not rows:
        return Counts(window_s=window_s)
    handled, flow, trade, shed, blocked_ns = rows[0] if len(rows) == 1 else map(sum, zip(*rows, strict=True))
    return Counts(
        window_s=window_s, handled=handled, flow_throttled=flow, trade_throttled=trade, shed=shed,
        blocked_ms=blocked_ns / NS_PER_MS,
    )  # fmt: skip


def _stages(facts: Aggregate, workers: Sequence[Worker]) -> list[str]:
    found = {worker.stage for worker in workers}
    found |= {group for group, _ in facts.latencies.series} - {GONE}
    return sorted(found, key=flow_order)


def _stage(name: str, workers: Sequence[Worker], counts: _CountView, latencies: _LatencyView | None) -> Stage:
    own = [worker for worker in workers if worker.stage == name]
    lags = [worker.lag_ns for worker in own if worker.lag_ns is not None]
    return Stage(
        stage=name,
        lag_ms=max(lags) / NS_PER_MS if lags else None,
        depth=sum(worker.newest(EventID.DEPTH) or 0 for worker in own),
        counts=counts.of_stage(name),
        latencies=latencies.of(name) if latencies else (),
    )


class _LatencyView:
    """Reads each window's extremes once for all the figures of a snapshot."""

    def __init__(
        self, collector: Collector, sketches: Collection[str] = (), events: Collection[str] = ()
    ) -> None:
        """Only of `events`, if there are any."""
        self._collector = collector
        self._sketches = sketches
        latencies = collector.aggregate.latencies
        self._series = {
            key: series
            for key, series in latencies.series.items()
            if not events or name_in_rings(key[1]) in events
        }
        self._views: list[tuple[float, Window, Extremes]] = [
            (window_s, window, window.extremes()) for window_s, window in latencies.windows.items()
        ]
        self._seen: dict[tuple[float, tuple[int, ...]], Figures] = {}

    def of(self, stage: str | None) -> tuple[Latency, ...]:
        """Every event over every window, of one stage or of all together."""
        return tuple(
            _latency(
                event_id,
                window_s,
                self._figures(window_s, window, series, extremes),
                self._collector.lost_within(groups, window_s),
                None if stage is None else self._sketch(event_id, series, window_s),
            )
            for event_id, series, groups in self._events(stage)
            for window_s, window, extremes in self._views
        )

    def _sketch(self, event_id: int, series: tuple[int, ...], window_s: float) -> bytes | None:
        if name_in_rings(event_id) not in self._sketches:
            return None
        return self._collector.aggregate.latencies.sketch(series, window_s).to_bytes()

    def totals(self, uptime_s: float) -> tuple[Latency, ...]:
        """Every event since the start."""
        totals: Totals = self._collector.aggregate.latencies.totals
        extremes = totals.extremes()
        return tuple(
            _latency(
                event_id, uptime_s, figures_of(totals, series, extremes), self._collector.lost_of(groups)
            )
            for event_id, series, groups in self._events(None)
        )

    def _events(self, stage: str | None) -> list[tuple[int, tuple[int, ...], set[str]]]:
        found: dict[int, list[tuple[int, str]]] = {}
        for (group, event_id), series in self._series.items():
            if stage is None or group == stage:
                found.setdefault(event_id, []).append((series, group))
        return [
            (event_id, tuple(series for series, _ in pairs), {group for _, group in pairs})
            for event_id, pairs in sorted(found.items())
        ]

    def _figures(
        self, window_s: float, window: Window, series: tuple[int, ...], extremes: Extremes
    ) -> Figures:
        key = (window_s, series)
        if key not in self._seen:
            self._seen[key] = figures_of(window, series, extremes)
        return self._seen[key]


def _latency(
    event_id: int, window_s: float, figures: Figures, lost: int, sketch: bytes | None = None
) -> Latency:
    return Latency(
        event=name_in_rings(event_id),
        window_s=window_s,
        count=figures.count,
        lost=lost,
        p50_ns=figures.p50,
        p95_ns=figures.p95,
        p99_ns=figures.p99,
        p99_9_ns=figures.p99_9,
        min_ns=figures.minimum,
        max_ns=figures.maximum,
        mean_ns=figures.mean,
        sketch=sketch,
    )


def _outcomes(facts: Aggregate) -> dict[str, int]:
    found: dict[str, int] = {}
    for key, total in facts.counters.totals(int(EventID.OUTCOME)):
        outcome = str(OUTCOMES[key.which])
        found[outcome] = found.get(outcome, 0) + total
    return found
