"""Writers for the telemetry bench, in a process of their own.

    python -m pipeline.bench.telemetry_writers flood DIRECTORY RATE SECONDS
    python -m pipeline.bench.telemetry_writers steady DIRECTORY RINGS RATE

`flood`: one writer, RATE records a second; says how many it wrote and dropped, and in how many seconds, not
counting those in which others had the processor, and with them.
`steady`: RINGS writers of a pipeline, RATE records a second together, until standard input ends.
"""

from __future__ import annotations

import json
import select
import sys
import time
from contextlib import suppress
from pathlib import Path

from pipeline import limits
from pipeline.clock import NS_PER_S, SystemClock
from pipeline.telemetry import EventID, SelfReport, open_recorder
from pipeline.telemetry.recorder import RingRecorder

TURN_S = 0.0005
LONGEST_BURST_S = 0.005
BEAT_S = 0.25
"""As often as workers report about themselves."""
STAGES = {
    "gateway": (9, 10, 11, 12, 13, 21),
    "agent": (14, 15, 16),
    "exec": (17, 18, 19),
    "audit": (20,),
}


def waited_s() -> float:
    """Time that this process was ready to run while others had the processors (proc(5), schedstat); 0 where
    the kernel does not tell."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / NS_PER_S
    return 0.0


def flood(directory: Path, rate: float, seconds: float) -> None:
    recorder = open_recorder(directory, "agent-0", limits.DEFAULT_RING_ENTRIES)
    assert isinstance(recorder, RingRecorder)
    record = recorder.record
    print(json.dumps({"rings": 1}), flush=True)  # noqa: T201 - the protocol
    sys.stdin.readline()
    written = skipped = 0
    most = int(rate * LONGEST_BURST_S)
    begun_on_wall = time.perf_counter()
    begun = begun_on_wall - waited_s()
    while (elapsed := time.perf_counter() - waited_s() - begun) < seconds:
        due = max(0, int(elapsed * rate) - written - skipped)  # what is told of waiting comes late
        if due > most:  # held up: what was not written then is not written all at once now
            skipped += due - most
            due = most
        for _ in range(due):
            record(EventID.AGENT_DECISION, 12_345)
        written += due
        if due < rate * TURN_S:
            time.sleep(TURN_S)
    ended = time.perf_counter()
    said: dict[str, float] = {"written": written, "dropped": recorder.ring.dropped}
    said |= {"seconds": ended - waited_s() - begun, "wall_seconds": ended - begun_on_wall}
    print(json.dumps(said), flush=True)  # noqa: T201
    sys.stdin.readline()
    recorder.close()


def steady(directory: Path, rings: int, rate: float) -> None:
    names = [f"{stage}-{ordinal}" for ordinal in range(-(-rings // 4)) for stage in STAGES][:rings]
    recorders = [open_recorder(directory, name, 1 << 14) for name in names]
    reports = [SelfReport(recorder, SystemClock()) for recorder in recorders]
    events = [STAGES[name.partition("-")[0]] for name in names]
    print(json.dumps({"rings": rings}), flush=True)  # noqa: T201
    begun = beat = time.monotonic()
    written = 0
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        now = time.monotonic()
        due = int((now - begun) * rate) - written
        for number in range(written, written + due):
            which = number % rings
            own = events[which]
            turn = number // rings
            recorders[which].record(own[turn % len(own)], 20_000 + turn * 7919 % 900_000)
        written += due
        if now >= beat:
            beat = now + BEAT_S
            for report, recorder in zip(reports, recorders, strict=True):
                report.report(3)
                recorder.count(EventID.HANDLED, 10)
                recorder.gauge(EventID.LAG, 1_000_000)
    for recorder in recorders:
        recorder.close()


if __name__ == "__main__":
    kind, folder, *figures = sys.argv[1:]
    if kind == "flood":
        flood(Path(folder), float(figures[0]), float(figures[1]))
    else:
        steady(Path(folder), int(figures[0]), float(figures[1]))
