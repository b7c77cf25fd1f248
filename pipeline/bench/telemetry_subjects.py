"""One subject of the telemetry bench, in a process of its own.

    python -m pipeline.bench.telemetry_subjects NAME

Each line on standard input asks for one round: bursts of nothing, of the clock, of an empty call and of the
subject, one after the other; the answer is a line of JSON with the ns of the best burst of each.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from pipeline import limits

BURST = 2000
BURSTS_A_ROUND = 5
WARM_UP_BURSTS = limits.DEFAULT_RING_ENTRIES // BURST + 1
"""Once round the ring: the first touch of a page is the kernel's work, and done when a real ring is made."""
EVENT = 15
Burst = Callable[[], int]
"""Runs BURST times; returns ns."""


class Subject(NamedTuple):
    """`statement` with these names, less what `base` costs; `before` comes before each burst, untimed."""

    statement: str
    names: dict[str, Any]
    base: str = "pass"
    before: Callable[[], object] = lambda: None
    is_async: bool = False


def empty() -> None:
    """The cheapest call there is."""


async def empty_async() -> None:
    """The same to await."""


def burst_of(statement: str, names: dict[str, Any], is_async: bool = False) -> Burst:
    """A loop around `statement` with its names bound as locals."""
    arguments = ", ".join(f"{name}={name}" for name in names)
    scope = {**names, "_clock": time.perf_counter_ns}
    source = (
        f"{'async ' if is_async else ''}def run(_clock=_clock, {arguments}):\n"
        "    begun = _clock()\n"
        f"    for _ in range({BURST}):\n"
        f"        {statement}\n"
        "    return _clock() - begun"
    )
    exec(source, scope)  # noqa: S102 - our own text; a call in between would be measured too
    run: Any = scope["run"]
    return (lambda: asyncio.run(run())) if is_async else run


def _record() -> Subject:
    recorder, emptied = _recorder()
    return Subject(f"record({EVENT}, 77)", {"record": recorder.record}, before=emptied)


def _span() -> Subject:
    recorder, emptied = _recorder()
    return Subject("with span: pass", {"span": recorder.span(EVENT)}, before=emptied)


_kept: list[Any] = []
"""A recorder that is forgotten closes its ring."""


def _recorder() -> tuple[Any, Callable[[], None]]:
    from pipeline.telemetry import layout
    from pipeline.telemetry.recorder import RingRecorder
    from pipeline.telemetry.ring import memory_ring

    ring = memory_ring("bench", limits.DEFAULT_RING_ENTRIES)

    def emptied() -> None:  # as a reader would: a full ring takes another way
        ring.words[layout.TAIL] = ring.words[layout.HEAD]

    recorder = RingRecorder(ring)
    _kept.append(recorder)
    return recorder, emptied


def _measured(
    statement: str, names: Callable[[], dict[str, Any]], base: str = "pass", **more: Any
) -> Subject:
    """Something of MetricsCollector's, whose ring is emptied by asking for figures."""
    from pipeline.telemetry import MetricsCollector

    metrics = MetricsCollector()
    return Subject(statement, names(), base, lambda: metrics.stats, **more)


def _block() -> Subject:
    from pipeline.telemetry import measure

    return _measured(f"with measure({EVENT}): pass", lambda: {"measure": measure})


def _pair() -> Subject:
    from pipeline.telemetry import MetricsCollector

    one = MetricsCollector()
    return _measured(
        f"end({EVENT}, start({EVENT}))", lambda: {"end": one.record_end, "start": one.record_start}
    )


def _sync() -> Subject:
    from pipeline.telemetry import measure_sync

    return _measured(
        "timed()", lambda: {"timed": measure_sync(EVENT)(lambda: None), "plain": lambda: None}, "plain()"
    )


def _async() -> Subject:
    from pipeline.telemetry import measure_async

    names = {"timed": measure_async(EVENT)(empty_async), "plain": empty_async}
    return _measured("await timed()", lambda: names, "await plain()", is_async=True)


def _prometheus() -> Subject:
    client = importlib.import_module("prometheus_client")
    return Subject("observe(0.001)", {"observe": client.Histogram("bench", "bench").observe})


def _prometheus_multiprocess() -> Subject:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="ringline-bench-")
    return _prometheus()


def _opentelemetry() -> Subject:
    sdk = importlib.import_module("opentelemetry.sdk.metrics")
    export = importlib.import_module("opentelemetry.sdk.metrics.export")
    provider = sdk.MeterProvider(metric_readers=[export.InMemoryMetricReader()])
    return Subject("record(0.001)", {"record": provider.get_meter("bench").create_histogram("bench").record})


def _hdrh() -> Subject:
    histogram = importlib.import_module("hdrh.histogram").HdrHistogram(1, 10**12, 2)
    return Subject("record(123456)", {"record": histogram.record_value})


def _ddsketch() -> Subject:
    return Subject("add(123456.0)", {"add": importlib.import_module("ddsketch").DDSketch(0.01).add})


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "record": _record,
    "span": _span,
    "block": _block,
    "pair": _pair,
    "sync": _sync,
    "async": _async,
    "prometheus": _prometheus,
    "prometheus_multiprocess": _prometheus_multiprocess,
    "opentelemetry": _opentelemetry,
    "hdrh": _hdrh,
    "ddsketch": _ddsketch,
}


def serve(subject: Subject) -> None:
    """Answer one round a line."""
    clock = burst_of("clock()", {"clock": time.perf_counter_ns})
    call = burst_of("call()", {"call": empty})
    nothing = burst_of("pass", {})
    base = burst_of(subject.base, subject.names, subject.is_async)
    timed = burst_of(subject.statement, subject.names, subject.is_async)
    bursts = {"nothing": nothing, "clock": clock, "call": call, "base": base, "subject": timed}
    for _ in range(WARM_UP_BURSTS):
        subject.before()
        timed()
    print("{}", flush=True)  # noqa: T201 - the protocol
    for _ in sys.stdin:
        best = dict.fromkeys(bursts, 1 << 62)
        for _ in range(BURSTS_A_ROUND):
            for name, burst in bursts.items():
                subject.before()
                best[name] = min(best[name], burst())
        cost = {name: ns / BURST for name, ns in best.items()}
        answer = {
            "clock": cost["clock"] - cost["nothing"],
            "call": cost["call"] - cost["nothing"],
            "subject": cost["subject"] - cost["base"],
        }
        print(json.dumps(answer), flush=True)  # noqa: T201


def main(name: str) -> int:
    """Says why on standard output when the subject cannot be had."""
    try:
        subject = SUBJECTS[name]()
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), flush=True)  # noqa: T201
        return 0
    serve(subject)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
