"""`ringline bench overload`: ten times what a pipeline takes, for a minute, and what is left of it.

Twice: a source far above its own rate (429), and more than the stages behind the gateway settle, until the
journal is full (503). The second needs a pipeline that settles less than a client can post: every order waits
for a simulated venue, and the capacity that it leaves is measured first.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.bench.overload_results import Overload, results
from pipeline.bench.paced import Answers, Poster, Task
from pipeline.bench.pipeline import one_worker_a_stage
from pipeline.config import Config
from pipeline.config.schema import RateLimit, Source, Trading
from pipeline.errors import RinglineError
from pipeline.figures import Bench
from pipeline.machine import machine, versions
from pipeline.process import StopFlag
from pipeline.replay.running import Running
from pipeline.replay.tally import percentile
from pipeline.signing import secret_text

LIMITED, FREE = "limited", "free"
LOOK_S = 0.1
MEMORY_EVERY_S = 1.0
PROBES_PER_S = 50.0
WINDOW_S = 0.8
WINDOWS_BEFORE = 6
"""Of probes, before the overload: the worst of them is what is normal on this machine."""
CAPACITY_PER_S = 1500.0
"""Offered while the capacity is measured: several times what the venue leaves."""
GIVE_UP_S = 60.0
"""After the drain should have ended."""


class Options(Struct, frozen=True, kw_only=True):
    seconds: float = 60.0
    """Of each overload."""
    times: float = 10.0
    rate: int = 200
    """Events per second that the limited source may send."""
    connections: int = 256
    capacity_seconds: float = 4.0
    """For which events are posted to measure the capacity."""
    journal_bytes: int = limits.OVERLOAD_JOURNAL_BYTES


def run(config: Config, options: Options, say: Callable[[str], None]) -> Bench:
    """Measures on a fresh data folder beside the configured one, which is removed afterwards.

    Raises RinglineError when the pipeline fails on the way or does not settle what it took.
    """
    parent = Path(config.data_dir).resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".ringline-bench-", dir=parent))
    try:
        found, restarts = measure(config, options, say, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Bench(machine=machine(), versions=versions(), results=results(found, options.times, restarts))


def measure(
    config: Config, options: Options, say: Callable[[str], None], folder: Path
) -> tuple[list[Overload], int]:
    """Both overloads, and how often a worker had to be started again meanwhile."""
    secret = os.urandom(32)
    stop = StopFlag()
    stop.listen()
    poster = Poster()
    try:
        with Running(bench_config(config, options, folder, secret), say) as running:
            if not running.start(stop):
                raise RinglineError("interrupted")
            bench = _Bench(running, poster, stop, options, secret)
            capacity = bench.capacity_per_s()
            say(f"the pipeline settles {capacity:.0f} events/s; its source may send {options.rate}/s")
            found = []
            for source, base in ((LIMITED, float(options.rate)), (FREE, capacity)):
                say(f"{options.times * base:,.0f} events/s for {options.seconds:g} s to the {source} source")
                found.append(bench.overload(source, base, capacity))
            return found, running.supervisor.restarts
    finally:
        poster.close()


def bench_config(config: Config, options: Options, folder: Path, secret: bytes) -> Config:
    """One worker a stage, a venue that takes its time, a journal that a minute can fill."""
    replace = msgspec.structs.replace
    key = folder / "bench.whsec"
    key.write_text(secret_text(secret))
    key.chmod(0o600)
    own = one_worker_a_stage(config, folder / "data")
    source = Source(secret_files=(str(key),))
    limit = RateLimit(events=options.rate, burst=options.rate)
    return replace(
        own,
        gateway=replace(own.gateway, host="127.0.0.1", tls_cert_file="", tls_key_file=""),
        journal=replace(
            own.journal,
            max_bytes=options.journal_bytes,
            segment_bytes=limits.MIN_SEGMENT_BYTES,
            keep_settled_s=0,
        ),
        exec=replace(
            own.exec,
            fill_policy="signal_price",
            venue_latency_ms=limits.OVERLOAD_VENUE_MS,
            venue_concurrency=limits.OVERLOAD_VENUE_ORDERS,
        ),
        trading=Trading(strategies={}, throttles=()),
        sources={FREE: source, LIMITED: replace(source, rate_limit=limit)},
    )


class _Bench:
    """One pipeline and one client, in turns."""

    def __init__(
        self, running: Running, poster: Poster, stop: StopFlag, options: Options, secret: bytes
    ) -> None:
        self._running = running
        self._poster = poster
        self._stop = stop
        self._options = options
        self._secret = secret
        self._first = 0
        self._accepted = 0
        self._memory: dict[str, int] = {}
        self._memory_s = 0.0

    def capacity_per_s(self) -> float:
        """Events settled per second while there are more of them, without the first and the last fifth."""
        answers = self._post(FREE, CAPACITY_PER_S, self._options.capacity_seconds, during=self._note_rows())
        self._settle()
        count = answers.statuses.get(202, 0)
        if not count:
            raise RinglineError(f"nothing was accepted: {answers.statuses}")
        low, high = count // 5, 4 * count // 5
        began = next(when for when, rows in self._rows if rows >= low)
        ended = next(when for when, rows in self._rows if rows >= high)
        rows = dict(self._rows)
        return (rows[ended] - rows[began]) / max(ended - began, LOOK_S)

    def overload(self, source: str, base: float, capacity: float) -> Overload:
        options = self._options
        windows = [self._probe(source) for _ in range(WINDOWS_BEFORE)]
        normal_ms = max(_p95_ms(window) for window in windows)
        self._memory.clear()
        self._look_at_memory()
        rest = dict(self._memory)
        answers = self._post(source, options.times * base, options.seconds)
        ended = time.monotonic()
        backlog = self._accepted - self._running.audited()
        drain_s = max(0, backlog) / capacity
        normal_s = self._back_to_normal(source, normal_ms, ended, drain_s)
        probes = self._accepted
        settled_s = self._settle(ended + drain_s + GIVE_UP_S) - ended
        return Overload(
            name="limited source" if source == LIMITED else "whole pipeline",
            base="what it may send" if source == LIMITED else "what it settles",
            base_per_s=base,
            answers=answers,
            rest_bytes=rest,
            highest_bytes=dict(self._memory),
            normal_ms=normal_ms,
            drain_s=drain_s,
            normal_s=normal_s,
            settled_s=settled_s,
            accepted=probes,
            rows=self._running.audited(),
        )

    def _back_to_normal(self, source: str, normal_ms: float, ended: float, drain_s: float) -> float | None:
        """Seconds from the end of the overload until new requests are answered as before."""
        while (now := time.monotonic()) < ended + drain_s + GIVE_UP_S:
            window = self._probe(source)
            if set(window.statuses) == {202} and not window.lost and _p95_ms(window) <= normal_ms:
                return now - ended
        return None

    def _probe(self, source: str) -> Answers:
        return self._post(source, PROBES_PER_S, WINDOW_S)

    def _post(
        self, source: str, rate: float, seconds: float, during: Callable[[], None] = lambda: None
    ) -> Answers:
        port = self._running.config.gateway.port
        # Each request has its own connection until it is answered: a second's worth is enough.
        connections = min(self._options.connections, int(rate))
        task = Task(port, source, self._secret, self._first, rate, seconds, connections)
        self._poster.begin(task)
        while (answers := self._poster.poll(LOOK_S)) is None:
            during()
            self._look()
        self._first += answers.sent
        self._accepted += answers.statuses.get(202, 0)
        return answers

    def _note_rows(self) -> Callable[[], None]:
        self._rows: list[tuple[float, int]] = []
        return lambda: self._rows.append((time.monotonic(), self._running.audited()))

    def _settle(self, until_s: float | None = None) -> float:
        """Waits until all that was accepted is audited; when it was. Raises RinglineError if it never is."""
        limit_s = until_s or time.monotonic() + GIVE_UP_S
        while (rows := self._running.audited()) < self._accepted:
            if until_s is None:
                self._rows.append((time.monotonic(), rows))
            if time.monotonic() > limit_s:
                raise RinglineError(f"{rows} of {self._accepted} accepted events are audited")
            self._look()
            time.sleep(LOOK_S / 2)
        now = time.monotonic()
        if until_s is None:
            self._rows.append((now, rows))
        return now

    def _look(self) -> None:
        self._running.poll()
        if self._stop.is_set():
            raise RinglineError("interrupted")
        if time.monotonic() - self._memory_s > MEMORY_EVERY_S:
            self._look_at_memory()

    def _look_at_memory(self) -> None:
        self._memory_s = time.monotonic()
        for one in self._running.measure_memory():
            self._memory[one.name] = max(self._memory.get(one.name, 0), one.pss_bytes)


def _p95_ms(answers: Answers) -> float:
    return percentile(answers.waits_us, 95) / 1000 if answers.waits_us else float("inf")
