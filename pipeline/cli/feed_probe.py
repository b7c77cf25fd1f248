"""One-way latency of the feed: from the server's socket to here, corrected for the clocks' difference.

The difference is taken as NTP does (RFC 5905, section 8): for a question sent at t0 (our clock), received at
t1 and answered at t2 (the server's), back at t3 (ours),

    offset = ((t1 − t0) + (t2 − t3)) / 2        delay = (t3 − t0) − (t2 − t1)

and the true offset is within ± delay / 2, whatever the way there and back took each. The question with the
least delay counts.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from pipeline.cli.feed_client import receive
from pipeline.errors import RinglineError

QUESTIONS = 20
ANSWER_S = 5.0
PERCENTS = (50.0, 95.0, 99.0, 99.9)


class Offset(NamedTuple):
    """The server's clock minus ours, and half the delay of the question that told it; microseconds."""

    offset_us: float
    uncertainty_us: float


class Arrival(NamedTuple):
    """A message by the server's clock when it left and by ours when it came; microseconds."""

    kind: str
    sent_us: int
    received_us: int


class Latencies(Struct, frozen=True):
    """One-way, milliseconds. A negative one is within the clocks' uncertainty of nothing."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p99_9_ms: float | None
    max_ms: float | None


class Probe(Struct, frozen=True):
    """What a probe found. `offset_ms` is the server's clock minus ours, ± `offset_uncertainty_ms`."""

    offset_ms: float
    offset_uncertainty_ms: float
    rows: Latencies
    heartbeats: Latencies


def clock_offset(samples: Sequence[tuple[int, int, int, int]]) -> Offset:
    """From (t0, t1, t2, t3) of each question. Raises RinglineError without any."""
    if not samples:
        raise RinglineError("the feed answered no question for the time")
    t0, t1, t2, t3 = min(samples, key=lambda sample: (sample[3] - sample[0]) - (sample[2] - sample[1]))
    return Offset(((t1 - t0) + (t2 - t3)) / 2, max(0, (t3 - t0) - (t2 - t1)) / 2)


def latencies(arrivals: Sequence[Arrival], offset: Offset) -> Latencies:
    """One way, on one clock."""
    found = sorted((one.received_us + offset.offset_us - one.sent_us) / 1000 for one in arrivals)
    p50, p95, p99, p99_9 = (_percentile(found, percent) for percent in PERCENTS)
    return Latencies(len(found), p50, p95, p99, p99_9, round(found[-1], 3) if found else None)


def _percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The nearest rank: a value that was measured."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)], 3)


def probe(connection: ClientConnection, seconds: float, most_rows: int) -> Probe:
    """Asks for the time at the beginning and at the end, listens in between. Raises RinglineError."""
    samples: list[tuple[int, int, int, int]] = []
    arrivals: list[Arrival] = []
    try:
        _ask(connection, QUESTIONS, samples, arrivals)
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                _take(connection, left_s, arrivals)
            except TimeoutError:
                break
            if sum(one.kind == "row" for one in arrivals) >= most_rows:
                break
        _ask(connection, QUESTIONS, samples, arrivals)
    except ConnectionClosed as error:
        raise RinglineError(f"the feed closed the connection: {error}") from None
    offset = clock_offset(samples)
    return Probe(
        round(offset.offset_us / 1000, 3),
        round(offset.uncertainty_us / 1000, 3),
        latencies([one for one in arrivals if one.kind == "row"], offset),
        latencies([one for one in arrivals if one.kind == "heartbeat"], offset),
    )


def _ask(
    connection: ClientConnection,
    count: int,
    samples: list[tuple[int, int, int, int]],
    arrivals: list[Arrival],
) -> None:
    for _ in range(count):
        asked_us = time.time_ns() // 1000
        connection.send(json.dumps({"type": "time", "asked_us": asked_us}))
        deadline_s = time.monotonic() + ANSWER_S
        while True:
            try:
                message, received_us = receive(connection, max(0.0, deadline_s - time.monotonic()))
            except TimeoutError:
                raise RinglineError(
                    f"the feed did not answer a question for the time in {ANSWER_S:g} s"
                ) from None
            if message["type"] == "time" and message["asked_us"] == asked_us:
                samples.append((asked_us, message["received_us"], message["sent_us"], received_us))
                break
            _note(message, received_us, arrivals)


def _take(connection: ClientConnection, timeout_s: float, arrivals: list[Arrival]) -> None:
    message, received_us = receive(connection, timeout_s)
    _note(message, received_us, arrivals)


def _note(message: dict[str, object], received_us: int, arrivals: list[Arrival]) -> None:
    sent_us = message.get("sent_us")
    if message["type"] in ("row", "heartbeat") and isinstance(sent_us, int):
        arrivals.append(Arrival(str(message["type"]), sent_us, received_us))
