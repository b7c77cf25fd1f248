"""What a viewer of the live page costs the pipeline: processor time with and without one, taken in turns.

A viewer holds what a browser with the page open holds: the stream of frames and the feed of rows.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.bench.idle import SETTLE_S, cpu_ns
from pipeline.bench.page_viewer import Viewer
from pipeline.bench.pipeline import one_worker_a_stage
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.connection import local_address
from pipeline.errors import RinglineError
from pipeline.figures import Bench, Result, at_least, at_most, exactly, shown
from pipeline.machine import machine, versions
from pipeline.process import StopFlag
from pipeline.replay.drive import Drive
from pipeline.replay.running import Running
from pipeline.web.assets import assets

HERTZ = 1000 / limits.MIN_PAGE_MS
VIEWER_PERCENT = 2.0
"""Of a core, for a viewer who is told 10 times a second."""
TRANSFER_BYTES = 250_000
STAGES = ("collector", "feed")
"""The processes that a viewer gives work to."""


class Options(Struct, frozen=True, kw_only=True):
    """`viewers` look at one time; `rounds` of `seconds` with them and as many without."""

    seconds: float = 5.0
    rounds: int = 4
    viewers: int = 4
    rate: float = 50.0
    """Events per second that are posted meanwhile."""


class Figures(Struct, frozen=True, kw_only=True):
    """Percent of a core of collector and feed, a value a round."""

    without: tuple[float, ...]
    one: tuple[float, ...]
    many: tuple[float, ...]
    frames_per_s: float
    messages_per_s: float
    """Rows and heartbeats of the feed."""
    stream_bytes: int
    """The first second of stream and feed: hello, past, frame and book, rows."""
    missed: int
    doubled: int


def run(config: Config, options: Options, say: Callable[[str], None]) -> Bench:
    """On a fresh data folder beside the configured one. Raises RinglineError when the pipeline fails."""
    parent = Path(config.data_dir).resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".ringline-bench-", dir=parent))
    try:
        figures = measure(fast_page(one_worker_a_stage(config, folder)), options, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Bench(machine=machine(), versions=versions(), results=results(figures, options))


def fast_page(config: Config) -> Config:
    """The page at its highest rate, open to this machine without a token."""
    feed = msgspec.structs.replace(
        config.feed, page=True, enabled=True, page_ms=limits.MIN_PAGE_MS, read_token_env=(),
        read_token_files=(), control_token_env=(), control_token_files=(), host="127.0.0.1",
    )  # fmt: skip
    return msgspec.structs.replace(config, feed=feed)


def measure(config: Config, options: Options, say: Callable[[str], None]) -> Figures:
    """Rounds without, with one, and with all viewers in turn, so that drift falls on all alike."""
    stop = StopFlag()
    stop.listen()
    with Running(config, say) as running:
        if not running.start(stop):
            raise RinglineError("interrupted")
        whole_s = SETTLE_S + options.rounds * 3 * (options.seconds + 1)
        drive = Drive(running, stop, lambda _phase, _progress: None, SystemClock())
        task = msgspec.structs.replace(running.task("page"), keys=16, rate=options.rate, duration_s=whole_s)
        say(
            f"{options.rate:g} events/s for {whole_s:.0f} s; "
            f"0, 1 and {options.viewers} viewers at {HERTZ:g} Hz"
        )
        rounds = _Rounds(running, config, options)
        thread = threading.Thread(target=rounds.run, daemon=True)
        thread.start()
        posted = drive.post(task)
        if posted.fault or stop.is_set():
            raise RinglineError(posted.fault or "interrupted")
        drive.settle(posted)
        thread.join(whole_s + 30)
        if rounds.fault:
            raise RinglineError(rounds.fault)
        return rounds.figures()


class _Rounds:
    def __init__(self, running: Running, config: Config, options: Options) -> None:
        self._running = running
        self._address = (local_address(config.feed.host), config.feed.port)
        self._options = options
        self._percents: dict[int, list[float]] = {0: [], 1: [], options.viewers: []}
        self._frames: list[float] = []
        self._messages: list[float] = []
        self._missed = self._doubled = self._bytes = 0
        self.fault = ""

    def run(self) -> None:
        try:
            time.sleep(SETTLE_S)
            for _ in range(self._options.rounds):
                for count in self._percents:
                    self._percents[count].append(self._round(count))
        except (OSError, RinglineError, http.client.HTTPException) as error:
            self.fault = f"measuring: {error}"

    def figures(self) -> Figures:
        return Figures(
            without=tuple(self._percents[0]),
            one=tuple(self._percents[1]),
            many=tuple(self._percents[self._options.viewers]),
            frames_per_s=statistics.median(self._frames),
            messages_per_s=statistics.median(self._messages),
            stream_bytes=self._bytes,
            missed=self._missed,
            doubled=self._doubled,
        )

    def _round(self, count: int) -> float:
        with self._viewers(count) as viewers:
            time.sleep(1.0)
            if viewers:
                self._bytes = max(self._bytes, viewers[0].bytes)
            pids = [one.pid for one in self._running.supervisor.processes() if one.name in STAGES]
            before = sum(map(cpu_ns, pids))
            frames, messages = sum(one.frames for one in viewers), sum(one.messages for one in viewers)
            started_ns = time.monotonic_ns()
            time.sleep(self._options.seconds)
            elapsed_ns = time.monotonic_ns() - started_ns
            spent_ns = sum(map(cpu_ns, pids)) - before
            if viewers:
                seen = sum(one.frames for one in viewers) - frames
                self._frames.append(1e9 * seen / elapsed_ns / count)
                heard = sum(one.messages for one in viewers) - messages
                self._messages.append(1e9 * heard / elapsed_ns / count)
            self._missed += sum(one.points.missed for one in viewers)
            self._doubled += sum(one.points.doubled for one in viewers)
        return 100 * spent_ns / elapsed_ns

    @contextlib.contextmanager
    def _viewers(self, count: int) -> Iterator[list[Viewer]]:
        found: list[Viewer] = []
        try:
            for _ in range(count):
                found.append(Viewer(*self._address))
            yield found
        finally:
            for one in found:
                one.close()


def results(figures: Figures, options: Options) -> tuple[Result, ...]:
    """The figures judged. Pure."""
    without = statistics.median(figures.without)
    first = statistics.median(map(_less, figures.one, figures.without))
    each = statistics.median(map(_less, figures.many, figures.one)) / max(1, options.viewers - 1)
    shared = statistics.median(map(_less, figures.many, figures.without)) / options.viewers
    against = f"collector and feed without viewers, {without:.3g} %"
    static = sum(len(asset.packed) for asset in assets().values())
    return (
        shown("collector and feed without a viewer", without, "% of a core", f"{options.rate:g} events/s"),
        at_most(
            "the first viewer (stream and feed), with all that is made for any", first, "% of a core",
            VIEWER_PERCENT, against, without,
        ),
        at_most(
            f"a viewer (stream and feed), of {options.viewers}", shared, "% of a core", VIEWER_PERCENT,
            against, without,
        ),
        at_most(
            "each further viewer (stream and feed)", each, "% of a core", VIEWER_PERCENT, against, without
        ),
        at_least("frames a viewer", figures.frames_per_s, "frames/s", 0.9 * HERTZ, "asked for", HERTZ),
        at_most(
            "page and first second of its stream and feed", static + figures.stream_bytes, "bytes",
            TRANSFER_BYTES, "the limit of one transfer", TRANSFER_BYTES,
        ),
        shown("rows and heartbeats a viewer", figures.messages_per_s, "messages/s", "of the feed"),
        exactly("points missed", figures.missed, "points", 0, "numbers of points"),
        exactly("points doubled", figures.doubled, "points", 0, "numbers of points"),
    )  # fmt: skip


def _less(value: float, base: float) -> float:
    return value - base
