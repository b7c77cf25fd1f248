"""Prometheus text (exposition format 0.0.4) and OpenMetrics of what a collector knows.

Histogram edges are powers of two in nanoseconds. They are edges of the sketch's buckets too, so every
exported count is exact; `le` is the last nanosecond below the edge, because `le` includes its bound.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.clock import NS_PER_S
from pipeline.telemetry.aggregate import OUTCOMES
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.counters import LOST, TOLD_REASONS, CounterKey
from pipeline.telemetry.events import EventID, name_in_rings, split_worker
from pipeline.telemetry.latencies import figures_of
from pipeline.telemetry.sketch import BUCKETS_AN_OCTAVE
from pipeline.telemetry.sla import Verdict
from pipeline.telemetry.view import Worker, workers_of

OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EXPONENTS = tuple(range(10, 38))
"""1.024 µs … 137 s, an octave each."""
_BOUNDS = [repr(((1 << exponent) - 1) / NS_PER_S) for exponent in EXPONENTS] + ["+Inf"]
_CUTS = np.array([0] + [1 + exponent * BUCKETS_AN_OCTAVE for exponent in EXPONENTS])
_COUNTERS = {
    EventID.HANDLED: ("ringline_handled_total", "Messages whose own work a worker has done."),
    EventID.FLOW_THROTTLED: (
        "ringline_flow_throttled_total",
        "Messages that waited for this worker's credit or were refused for lack of capacity.",
    ),
    EventID.TRADE_THROTTLED: ("ringline_trade_throttled_total", "Orders refused by a risk limit."),
    EventID.SHED: ("ringline_shed_total", "Requests refused for lack of capacity."),
    EventID.DUPLICATE: ("ringline_duplicates_total", "Repeats answered from the journal."),
    EventID.MALFORMED: ("ringline_malformed_frames_total", "Frames that were no message of ours."),
    EventID.STRANGER: ("ringline_link_strangers_total", "Peers turned away in the handshake of a link."),
}
_VERDICTS = {Verdict.MET: 0, Verdict.VIOLATED: 1, Verdict.UNKNOWN: -1}
_FACTS = frozenset((*_COUNTERS, EventID.BLOCKED, EventID.OUTCOME, LOST))
Label = tuple[str, str]


def render(collector: Collector, now_ns: int) -> bytes:
    """The whole page."""
    parts = (
        _latencies(collector),
        _percentiles(collector),
        _counters(collector),
        _workers(workers_of(collector, now_ns), now_ns),
        _slas(collector),
        _self(collector),
    )
    return "\n".join(line for part in parts for line in part).encode() + b"\n"


def as_openmetrics(page: bytes) -> bytes:
    """The same page as OpenMetrics 1.0: a counter family's name lacks `_total`, and the end is marked."""
    lines = [
        line.replace("_total ", " ", 1) if line.startswith(("# HELP ", "# TYPE ")) else line
        for line in page.decode().splitlines()
    ]
    return "\n".join([*lines, "# EOF"]).encode() + b"\n"


def family(name: str, kind: str, description: str, samples: Iterable[str]) -> Iterator[str]:
    """A metric family; nothing when it has no samples."""
    first = True
    for sample in samples:
        if first:
            yield f"# HELP {name} {description}"
            yield f"# TYPE {name} {kind}"
            first = False
        yield name + sample


@functools.lru_cache(maxsize=8192)
def labels(*pairs: Label) -> str:
    """`{a="b",c="d"}` with values escaped."""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _latencies(collector: Collector) -> Iterator[str]:
    def samples() -> Iterator[str]:
        latencies = collector.aggregate.latencies
        sums = latencies.totals.sums()
        for (stage, event_id), series in latencies.series.items():
            base = labels(("stage", stage), ("event", name_in_rings(event_id)))
            head = "_bucket" + base[:-1] + ',le="'
            counts = np.add.reduceat(latencies.totals.row(series), _CUTS).cumsum().tolist()
            for bound, count in zip(_BOUNDS, counts, strict=True):
                yield f'{head}{bound}"}} {count}'
            yield f"_sum{base} {int(sums[series]) / NS_PER_S!r}"
            yield f"_count{base} {counts[-1]}"

    return family(
        "ringline_latency_seconds",
        "histogram",
        "Latency of each event in each stage; counts are exact unless records were lost.",
        samples(),
    )


def _percentiles(collector: Collector) -> Iterator[str]:
    latencies = collector.aggregate.latencies
    window_s, window = max(latencies.windows.items())
    extremes = window.extremes()

    def samples() -> Iterator[str]:
        for (stage, event_id), series in latencies.series.items():
            figures = figures_of(window, (series,), extremes)
            for percentile, value in (
                ("50", figures.p50),
                ("95", figures.p95),
                ("99", figures.p99),
                ("99.9", figures.p99_9),
            ):
                if value is not None:
                    pairs = (("stage", stage), ("event", name_in_rings(event_id)), ("percentile", percentile))
                    yield f"{labels(*pairs)} {value / NS_PER_S!r}"

    return family(
        "ringline_latency_percentile_seconds",
        "gauge",
        f"Nearest-rank percentile over the last {window_s:g} s, within 0.39 %.",
        samples(),
    )


def _counters(collector: Collector) -> Iterator[str]:
    by_event: dict[int, list[tuple[CounterKey, int]]] = {}
    for key, total in collector.aggregate.counters.totals():
        by_event.setdefault(key.event_id, []).append((key, total))
    for event_id, (name, description) in _COUNTERS.items():
        counted = by_event.get(event_id, ())
        yield from family(
            name, "counter", description, (f"{_worker_labels(key.subject)} {total}" for key, total in counted)
        )
    yield from family(
        "ringline_blocked_seconds_total",
        "counter",
        "Time a worker had output and no credit for it.",
        (
            f"{_worker_labels(key.subject)} {total / NS_PER_S!r}"
            for key, total in by_event.get(EventID.BLOCKED, ())
        ),
    )
    outcomes = by_event.get(EventID.OUTCOME, ())
    yield from family(
        "ringline_outcomes_total",
        "counter",
        "Audited rows by outcome.",
        (
            f"{labels(('worker', key.subject), ('outcome', str(OUTCOMES[key.which])))} {total}"
            for key, total in outcomes
        ),
    )
    yield from family(
        "ringline_records_lost_total",
        "counter",
        "Telemetry records that were lost, by reason; percentiles understate the tail while this rises.",
        (
            f"{labels(('stage', key.subject), ('reason', TOLD_REASONS[key.which]))} {total}"
            for key, total in by_event.get(LOST, ())
        ),
    )
    own = ((key, total) for event, found in by_event.items() if event not in _FACTS for key, total in found)
    yield from family(
        "ringline_events_total",
        "counter",
        "Counts of any other event.",
        (
            f"{labels(('worker', key.subject), ('event', name_in_rings(key.event_id)))} {total}"
            for key, total in own
        ),
    )


def _workers(workers: list[Worker], now_ns: int) -> Iterator[str]:
    facts: tuple[tuple[str, str, str, list[tuple[Worker, float | int | None]]], ...] = (
        (
            "ringline_lag_seconds",
            "gauge",
            "Age of the oldest message destined for a worker and not done, taken by its senders.",
            [(worker, _seconds(worker.lag_ns)) for worker in workers],
        ),
        (
            "ringline_queue_depth",
            "gauge",
            "Messages waiting in the worker.",
            [(worker, worker.newest(EventID.DEPTH)) for worker in workers],
        ),
        (
            "ringline_credit",
            "gauge",
            "Messages its senders may still send it.",
            [(worker, worker.credit) for worker in workers],
        ),
        (
            "ringline_worker_cpu_seconds_total",
            "counter",
            "Processor time of the worker's process since it started.",
            [(worker, _seconds(worker.newest(EventID.CPU))) for worker in workers],
        ),
        (
            "ringline_worker_memory_bytes",
            "gauge",
            "Memory of the worker's process, shared pages counted by share.",
            [(worker, worker.newest(EventID.MEMORY)) for worker in workers],
        ),
        (
            "ringline_worker_silence_seconds",
            "gauge",
            "Time since the worker's last sign of life.",
            [(worker, _seconds(max(0, now_ns - worker.sign_ns))) for worker in workers],
        ),
    )
    for name, kind, description, values in facts:
        samples = (
            f"{_worker_labels(worker.name)} {value!r}" for worker, value in values if value is not None
        )
        yield from family(name, kind, description, samples)


def _slas(collector: Collector) -> Iterator[str]:
    def samples() -> Iterator[str]:
        for threshold, window_s, verdict in collector.verdicts():
            pairs = (
                ("event", name_in_rings(threshold.event_id)),
                ("percentile", f"{threshold.percentile:g}"),
                ("window", f"{window_s:g}s"),
            )
            yield f"{labels(*pairs)} {_VERDICTS[verdict]}"

    return family(
        "ringline_sla_verdict",
        "gauge",
        "1 = violated, 0 = met, -1 = unknown (too few calls, or lost).",
        samples(),
    )


def _self(collector: Collector) -> Iterator[str]:
    aggregate = collector.aggregate
    yield from family("ringline_rings", "gauge", "Rings being drained.", [f" {len(collector.sources)}"])
    yield from family(
        "ringline_records_total", "counter", "Telemetry records drained.", [f" {aggregate.entries}"]
    )
    yield from family(
        "ringline_writers_died_total",
        "counter",
        "Writers that died without closing their ring.",
        [f" {collector.deaths}"],
    )
    for name, description, refused in (
        ("ringline_records_refused_total", "Records whose values cannot be true.", aggregate.refused),
        ("ringline_files_refused_total", "Files that are no usable rings.", collector.folder.refused),
    ):
        samples = (f"{labels(('reason', reason))} {count}" for reason, count in refused.items())
        yield from family(name, "counter", description, samples)


def _worker_labels(worker: str) -> str:
    return labels(("stage", split_worker(worker)[0]), ("worker", worker))


def _seconds(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / NS_PER_S
