"""Makes a frame of a collector's snapshot and the workers' link reports. Pure: the time comes in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from pipeline import limits
from pipeline.clock import NS_PER_MS
from pipeline.golden_steps import STEPS
from pipeline.limits import MIB
from pipeline.snapshot import Counts, Dead, Latency, Replica, Snapshot, Stage
from pipeline.web.view import LAGGING, Frame, LinkView, Point, ReplicaView, StageView, Steps, StepView

WINDOW_S = 5.0
MINUTE_S = 60.0
MINUTE_MS = 60_000
STALE_LINK_MS = 15_000
"""A sender with nothing to do tells of its links every 5 s; after three times that it may be gone."""
LEAST_RATE_MS = 400
"""Two reports of a link that are nearer to each other than this tell no rate."""
NEXT = {"gateway": "agent", "agent": "exec", "exec": "audit"}
US_PER_MS = 1000
_NO_COUNTS = Counts(window_s=WINDOW_S)


class SentLink(Struct, frozen=True):
    """A link in a worker's report; the fields that are read here, by their names there."""

    ordinal: int
    up: bool
    leaving: bool
    credit: int
    free: int
    oldest_ns: int | None
    in_flight: int = 0
    sent: int = 0


class Report(Struct, frozen=True):
    """A worker's report (`run/links/NAME.json`)."""

    name: str
    taken_us: int
    links: tuple[SentLink, ...] = ()
    taken_ns: int = 0
    """The same moment on the monotonic clock of `oldest_ns`; 0: not told."""
    standing: tuple[str, ...] = ()
    """The controls that keys first seen later begin under."""


class Rates:
    """Messages a second on each link, from two reports of its sender."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], tuple[int, int]] = {}
        self._rates: dict[tuple[str, int], float] = {}

    def of(self, report: Report, link: SentLink) -> float | None:
        """None until two reports of the same session are known."""
        name = (report.name, link.ordinal)
        before = self._seen.get(name)
        if before is None or link.sent < before[1]:
            self._seen[name] = (report.taken_us, link.sent)
            self._rates.pop(name, None)
            return None
        elapsed_ms = (report.taken_us - before[0]) / US_PER_MS
        if elapsed_ms >= LEAST_RATE_MS:
            self._rates[name] = 1000 * (link.sent - before[1]) / elapsed_ms
            self._seen[name] = (report.taken_us, link.sent)
        return self._rates.get(name)


def frame_of(
    snapshot: Snapshot | None,
    reports: Iterable[Report],
    rates: Rates,
    *,
    number: int,
    now_us: int,
    fault: str = "",
    decisions: Sequence[Mapping[str, str]] = (),
) -> Frame:
    """The frame of `now_us`; `snapshot` is the last one there was, None when there never was any."""
    now_ms = now_us // US_PER_MS
    told = tuple(dict(one) for one in decisions)
    reports = list(reports)
    standing = tuple(dict.fromkeys(text for report in reports for text in report.standing))
    if snapshot is None:
        return Frame(
            number=number, taken_ms=0, sent_ms=now_ms, age_ms=None, fault=fault,
            links=links_of(reports, rates, now_us), decisions=told, standing=standing,
        )  # fmt: skip
    count: dict[str, int] = {}
    for replica in snapshot.replicas:
        count[replica.stage] = count.get(replica.stage, 0) + 1
    return Frame(
        number=number,
        taken_ms=snapshot.taken_us // US_PER_MS,
        sent_ms=now_ms,
        age_ms=max(0.0, (now_us - snapshot.taken_us) / US_PER_MS),
        fault=fault,
        uptime_s=round(snapshot.uptime_s, 1),
        stages=tuple(_stage(stage, count.get(stage.stage, 0)) for stage in snapshot.stages),
        replicas=tuple(_replica(replica) for replica in snapshot.replicas),
        links=links_of(reports, rates, now_us),
        dead=tuple(_died(dead) for dead in snapshot.dead[-5:] if dead.age_ms < limits.PAGE_DEATH_MS),
        lost=snapshot.lost,
        decisions=told,
        standing=standing,
    )


def point_of(snapshot: Snapshot, number: int) -> Point:
    """The plots' next moment."""
    found = next(
        (one for one in snapshot.latencies if one.event == "END_TO_END" and one.window_s == WINDOW_S), None
    )
    lags = {stage.stage: stage.lag_ms for stage in snapshot.stages}
    empty = found is None or not found.count
    return Point(
        number=number,
        at_ms=snapshot.taken_us // US_PER_MS,
        count=0 if found is None else found.count,
        lost=0 if found is None else found.lost,
        p50_ms=None if empty or found is None else _ms(found.p50_ns),
        p95_ms=None if empty or found is None else _ms(found.p95_ns),
        p99_ms=None if empty or found is None else _ms(found.p99_ns),
        rate_per_s=0.0 if found is None else round(found.count / WINDOW_S, 1),
        lag_ms=tuple(_rounded(lags.get(stage)) for stage in LAGGING),
    )


def golden_path_of(snapshot: Snapshot) -> Steps:
    """Of a whole snapshot; a brief one has no latencies."""
    return Steps(
        minute=steps_of(latency for latency in snapshot.latencies if latency.window_s == MINUTE_S),
        whole=steps_of(snapshot.totals),
    )


def steps_of(latencies: Iterable[Latency]) -> tuple[StepView, ...]:
    """Every step of the golden path, also one that recorded nothing."""
    by_event = {latency.event: latency for latency in latencies}
    return tuple(_step(stage, event, budget, by_event.get(event)) for stage, event, budget in STEPS)


def links_of(reports: Iterable[Report], rates: Rates, now_us: int) -> tuple[LinkView, ...]:
    """Every link of every sender."""
    return tuple(_link(report, link, rates, now_us) for report in reports for link in report.links)


def _link(report: Report, link: SentLink, rates: Rates, now_us: int) -> LinkView:
    age_ms = max(0.0, (now_us - report.taken_us) / US_PER_MS)
    state = "leaving" if link.leaving else "up" if link.up else "down"
    return LinkView(
        sender=report.name,
        receiver=f"{NEXT.get(report.name.partition('-')[0], 'next')}-{link.ordinal}",
        state="stale" if age_ms > STALE_LINK_MS else state,
        rate_per_s=_rounded(rates.of(report, link), 1),
        lag_ms=_link_lag(report, link),
        credit=link.credit,
        free=link.free,
        in_flight=link.in_flight,
        blocked=link.up and link.free == 0 and link.in_flight > 0,
        age_ms=round(age_ms),
    )


def _link_lag(report: Report, link: SentLink) -> float | None:
    """How long the oldest message had waited when the sender told of it."""
    if link.oldest_ns is None or not report.taken_ns:
        return None
    return _ms(max(0, report.taken_ns - link.oldest_ns))


def _stage(stage: Stage, replicas: int) -> StageView:
    counts = _counts(stage.counts)
    return StageView(
        stage=stage.stage,
        replicas=replicas,
        lag_ms=_rounded(stage.lag_ms),
        depth=stage.depth,
        handled_per_s=_per_s(counts),
        blocked_percent=_blocked(counts, replicas),
        flow_throttled=counts.flow_throttled,
        trade_throttled=counts.trade_throttled,
        shed=counts.shed,
    )


def _replica(replica: Replica) -> ReplicaView:
    counts = _counts(replica.counts)
    return ReplicaView(
        name=replica.name,
        stage=replica.stage,
        age_ms=round(replica.age_ms),
        lag_ms=_rounded(replica.lag_ms),
        depth=replica.depth,
        credit=replica.credit,
        cpu_percent=_rounded(replica.cpu_percent, 1),
        memory_mb=None if replica.memory_bytes is None else round(replica.memory_bytes / MIB, 1),
        handled_per_s=_per_s(counts),
        blocked_percent=_blocked(counts, 1),
    )


def _step(stage: str, event: str, budget_ms: float | None, found: Latency | None) -> StepView:
    count, lost = (0, 0) if found is None else (found.count, found.lost)
    known = found if found is not None and count else None
    p95_ms = None if known is None else _ms(known.p95_ns)
    verdict = "unknown"
    if p95_ms is not None and budget_ms is not None and not (lost and p95_ms <= budget_ms):
        verdict = "met" if p95_ms <= budget_ms else "over"
    return StepView(
        stage=stage,
        event=event,
        count=count,
        lost=lost,
        p50_ms=None if known is None else _ms(known.p50_ns),
        p95_ms=p95_ms,
        p99_ms=None if known is None else _ms(known.p99_ns),
        budget_ms=budget_ms,
        verdict=verdict,
    )


def _died(dead: Dead) -> str:
    inside = f" inside {' > '.join(dead.inside)}" if dead.inside else ""
    minutes = int(dead.age_ms // MINUTE_MS)
    since = f"{minutes} min ago" if minutes else "less than a minute ago"
    return f"{dead.name} (pid {dead.pid}) died {since}{inside}"


def _counts(counts: Iterable[Counts]) -> Counts:
    for one in counts:
        if one.window_s == WINDOW_S:
            return one
    return _NO_COUNTS


def _per_s(counts: Counts) -> float:
    return round(counts.handled / counts.window_s, 1)


def _blocked(counts: Counts, replicas: int) -> float:
    return round(min(100.0, counts.blocked_ms / (10 * counts.window_s * max(1, replicas))), 1)


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else _rounded(value_ns / NS_PER_MS)


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
