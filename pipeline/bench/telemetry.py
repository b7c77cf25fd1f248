"""`ringline bench telemetry`: what recording costs, beside the clock, an empty call and other libraries.

Every subject has a process of its own. Rounds go from subject to subject, and within a round bursts of the
clock, of an empty call and of the subject alternate, so that all see the same machine. Ratios between two
subjects are taken of their ratios to the clock.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import metadata
from typing import Any

from msgspec import Struct, structs

from pipeline import limits
from pipeline.bench.telemetry_figures import (
    allocations,
    drain_per_s,
    fold_per_s,
    idle_ring_bytes,
    import_ms,
    percentile_speed,
)
from pipeline.bench.telemetry_operation import KINDS, Added, Median, operation_cost
from pipeline.bench.telemetry_pipeline import (
    ATTEMPTS,
    FLOOD_S,
    SCRAPES,
    STRETCHES,
    collector_cpu,
    lossless,
    scrape_ms,
)
from pipeline.figures import Bench, Result, at_least, at_most, shown
from pipeline.machine import machine, versions
from pipeline.telemetry.layout import ring_bytes
from pipeline.telemetry.native import VARIABLE, load

OURS = ("record", "span", "block", "pair", "sync", "async")
PEERS = {
    "prometheus": ("prometheus_client observe", "prometheus-client"),
    "prometheus_multiprocess": ("prometheus_client observe, multiprocess", "prometheus-client"),
    "opentelemetry": ("OpenTelemetry record", "opentelemetry-sdk"),
    "hdrh": ("hdrh record_value", "hdrhistogram"),
    "ddsketch": ("ddsketch add", "ddsketch"),
}
NAMES = {
    "record": "record",
    "span": "span, reused",
    "block": "with measure(…)",
    "pair": "record_start + record_end",
    "sync": "sync decorator, added",
    "async": "async decorator, added",
}
WRITERS = {"C": "", "Python": "python"}
PEAK_TARGET_BYTES = {"C": 0, "Python": 256}
"""In Python a call has objects of its own; what is kept would be far more after so many."""
TARGETS = {
    "C": {"clock": 1.0, "peer": 40.0, "span": 2.5, "sync": 2.0, "async": 6.0},
    "Python": {"clock": 9.0, "peer": 4.0, "span": 2.5, "sync": 2.0, "async": 3.0},
}
LOSSLESS_TARGET = {"C": 2.5e6, "Python": 1e6}
DRAINED = "read out of a ring's file and proven, on one core; the best of several"
OPERATION_TARGET_PERCENT = 0.01
CPU_RINGS, CPU_RATE = 8, 10_000
SCRAPE_RINGS = 64


class Cost(Struct, frozen=True):
    """Of one subject: ns, and times one call of the clock in the same process."""

    ns: float
    clocks: float
    calls: float


class Options(Struct, frozen=True, kw_only=True):
    """`rounds` of every subject."""

    rounds: int = 15


def run(options: Options, say: Callable[[str], None]) -> Bench:
    """Measures; `say` gets a line now and then."""
    with_c = load("")[0] is not None
    say(f"{options.rounds} rounds of every subject")
    costs = measure_subjects(options.rounds, with_c)
    results: list[Result] = list(_clock_rows(costs))
    for writer in WRITERS:
        if writer == "C" and not with_c:
            results.append(shown("C extension", None, "", "not built: there was no compiler"))
            continue
        results += _writer_rows(writer, costs)
        say(f"{writer}: operations of 10 ms, decorated and plain")
        for kind in KINDS:
            name = f"{writer}: added to a 10 ms operation that {kind}"
            results.append(operation_row(name, operation_cost(WRITERS[writer], kind)))
        say(f"{writer}: end to end, and allocations")
        results += _end_to_end_rows(writer)
    say("draining, percentiles, import")
    results += _figure_rows()
    say(f"a collector under {CPU_RATE:,} records/s from {CPU_RINGS} rings, and one with {SCRAPE_RINGS} rings")
    results += _collector_rows()
    return Bench(machine=machine(), versions=_versions(), results=tuple(results))


def measure_subjects(rounds: int, with_c: bool) -> dict[str, Cost]:
    """The cost of every subject that can be had; ours as `C record`, `Python record` …"""
    wanted = {
        f"{writer} {name}": (name, choice)
        for writer, choice in WRITERS.items()
        if with_c or writer != "C"
        for name in OURS
    }
    wanted |= {name: (name, "") for name in PEERS}
    with ExitStack() as stack:
        processes = {}
        for key, (name, choice) in wanted.items():
            process = stack.enter_context(_subject(name, choice))
            if "missing" not in _answer(process):
                processes[key] = process
        answers: dict[str, list[dict[str, float]]] = {key: [] for key in processes}
        for _ in range(rounds):
            for key, process in processes.items():
                _ask(process)
                answers[key].append(_answer(process))
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
    return {key: _cost(found) for key, found in answers.items()}


def _subject(name: str, choice: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.bench.telemetry_subjects", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: choice},
    )


def _ask(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline() or '{"missing": "it failed"}')
    return answer


def _cost(rounds: Sequence[dict[str, float]]) -> Cost:
    def median(of: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(map(of, rounds))

    return Cost(
        median(lambda one: one["subject"]),
        median(lambda one: one["subject"] / one["clock"]),
        median(lambda one: one["subject"] / one["call"]),
    )


def _clock_rows(costs: dict[str, Cost]) -> list[Result]:
    some = next(iter(costs.values()))
    rows = [
        shown("time.perf_counter_ns()", some.ns / some.clocks, "ns", "one call of it"),
        shown("an empty call", some.ns / some.calls, "ns", "a Python function without arguments"),
    ]
    for key, (name, distribution) in PEERS.items():
        cost = costs.get(key)
        rows.append(
            shown(name, cost.ns, "ns", "calls of the clock", cost.ns / cost.clocks)
            if cost
            else shown(name, None, "ns", f"{distribution} is not installed")
        )
    return rows


def _writer_rows(writer: str, costs: dict[str, Cost]) -> list[Result]:
    targets = TARGETS[writer]
    record = costs[f"{writer} record"]
    rows = [
        at_most(
            f"{writer}: record ÷ the clock",
            record.clocks,
            "×",
            targets["clock"],
            f"one call of perf_counter_ns; {record.ns:.4g} ns, {record.calls:.3g} empty calls",
            1.0,
        )
    ]
    peer = costs.get("prometheus_multiprocess")
    if peer is not None:
        ratio = peer.clocks / record.clocks
        rows.append(
            at_least(
                f"{writer}: prometheus multiprocess ÷ record", ratio, "×", targets["peer"], "record", 1.0
            )
        )
    else:
        rows.append(
            shown(
                f"{writer}: prometheus multiprocess ÷ record", None, "×", "prometheus-client is not installed"
            )
        )
    for name in OURS[1:]:
        cost = costs[f"{writer} {name}"]
        ratio = cost.clocks / record.clocks
        against = f"record; {cost.ns:.4g} ns"
        label = f"{writer}: {NAMES[name]} ÷ record"
        rows.append(
            at_most(label, ratio, "×", targets[name], against, 1.0)
            if name in targets
            else shown(label, ratio, "×", against, 1.0)
        )
    return rows


def operation_row(name: str, added: Added) -> Result:
    """What a decorated operation takes more than a plain one. The target is met when all of the median's
    interval is within it: what cannot be told from more is not less."""

    def told(found: Median) -> str:
        low, high = (ns / added.operation_ns * 100 for ns in (found.low_ns, found.high_ns))
        return f"95 % interval {low:.4f} to {high:.4f} %"

    whole = f"{added.whole.ns / added.operation_ns * 100:.3g} %, {told(added.whole)}"
    row = at_most(
        name,
        added.around.ns / added.operation_ns * 100,
        "%",
        OPERATION_TARGET_PERCENT,
        f"a plain one of {added.operation_ns / 1e6:.3g} ms; outside of its body {added.around.ns:.4g} ns, "
        f"{told(added.around)}; altogether {whole}",
        100.0,
    )
    return structs.replace(
        row, met=added.around.high_ns / added.operation_ns * 100 <= OPERATION_TARGET_PERCENT
    )


def _end_to_end_rows(writer: str) -> list[Result]:
    target = LOSSLESS_TARGET[writer]
    rate = lossless(WRITERS[writer], target)
    blocks, peak_bytes = allocations(WRITERS[writer])
    return [
        at_least(
            f"{writer}: lossless end to end, one writer",
            rate.running,
            "records/s",
            target,
            "all written to a ring of 131,072 were counted by a collector process, none dropped: the best "
            f"of {ATTEMPTS} tries of {FLOOD_S:g} s a rate, by the time that the writer had a processor",
            target,
        ),
        shown(
            f"{writer}: lossless end to end, by the clock on the wall",
            rate.wall,
            "records/s",
            "the same try, with the time in which the writer waited for a processor",
            rate.running,
        ),
        at_most(
            f"{writer}: memory blocks left by 10,000 records",
            blocks,
            "blocks",
            0,
            "the same loop without them",
            1,
        ),
        at_most(
            f"{writer}: highest memory during 10,000 records",
            peak_bytes,
            "bytes",
            PEAK_TARGET_BYTES[writer],
            "tracemalloc, beyond that of the same loop without them",
            1,
        ),
    ]


def _figure_rows() -> list[Result]:
    speed, ratio = percentile_speed()
    milliseconds, loads_zmq = import_ms()
    whole = ring_bytes(limits.DEFAULT_RING_ENTRIES)
    return [
        at_least(
            "drain, validated, batches of 4,096",
            drain_per_s(4096),
            "entries/s",
            20e6,
            DRAINED,
            20e6,
        ),
        shown("drain, validated, batches of 65,536", drain_per_s(65536), "entries/s", DRAINED, 20e6),
        shown(
            "drain and fold into all windows, batches of 65,536",
            fold_per_s(65536),
            "entries/s",
            "one core",
            20e6,
        ),
        at_least(
            "p50, p95, p99, p99.9 of a million values",
            ratio,
            "×",
            3.0,
            f"numpy.percentile's speed, by processor time; {speed:,.0f} values/s",
            1.0,
        ),
        at_most(
            "import of pipeline.telemetry",
            milliseconds,
            "ms",
            80.0,
            "an interpreter that imports nothing",
            80.0,
        ),
        at_most("zmq loaded by it", float(loads_zmq), "", 0, "0 is no", 1),
        at_most("a full ring", whole / 1e6, "MB", 4.2, "131,072 entries of 32 bytes", 4.2),
        shown(
            "memory of an idle thread's ring, in process",
            idle_ring_bytes() / 1e6,
            "MB",
            "a full one",
            whole / 1e6,
        ),
        shown(
            "memory of an idle thread's ring, published",
            ring_bytes(limits.PUBLISHED_RING_ENTRIES) / 1e6,
            "MB",
            "taken whole when it is made",
        ),
    ]


def _collector_rows() -> list[Result]:
    return [
        at_most(
            f"collector at {CPU_RATE:,} records/s over {CPU_RINGS} rings",
            collector_cpu(CPU_RINGS, CPU_RATE),
            "% of a core",
            1.0,
            "processor time, all calls within their SLA, the median of three stretches",
            100.0,
        ),
        at_most(
            f"/metrics with {SCRAPE_RINGS} rings",
            scrape_ms(SCRAPE_RINGS),
            "ms",
            5.0,
            f"one GET over loopback HTTP, connecting included, while 1,000 records/s come in; the least of "
            f"{STRETCHES} medians of {SCRAPES}",
            5.0,
        ),
    ]


def _versions() -> dict[str, str]:
    found = versions() | {"telemetry": "C" if load("")[0] is not None else "Python"}
    for _, distribution in PEERS.values():
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found
