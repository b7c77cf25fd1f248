"""`MetricsCollector`: latency telemetry of one process, for developers who want nothing else of Ringline.

    metrics = MetricsCollector()
    metrics.start()
    with measure(EventID.ORDER_PLACEMENT):
        place(order)
    print(metrics.get_stats(EventID.ORDER_PLACEMENT, window_seconds=5))

Every thread that records has a ring of its own. The rings are either aggregated here (`start`, or simply
by asking) or, after `publish`, drained by a collector process; never both.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline import limits
from pipeline.errors import UsageError
from pipeline.telemetry.calls import Calls, MakeBlock, RecordDuration, RecordEnd, RecordStart
from pipeline.telemetry.correlation import current_correlation, let_carry
from pipeline.telemetry.events import EventID
from pipeline.telemetry.layout import KIND_SHIFT, Kind, Mode
from pipeline.telemetry.make_calls import make_calls
from pipeline.telemetry.recorder import COUNT_BITS, GAUGE_BITS, put_fact
from pipeline.telemetry.ring import check_ring
from pipeline.telemetry.sampling import Load, adapted, check_rate
from pipeline.telemetry.thread_rings import ThreadRings

if TYPE_CHECKING:  # numpy is loaded when figures are asked for, not by recording
    from pipeline.telemetry.inprocess import InProcess
    from pipeline.telemetry.sla import SLAResult, SLAThreshold
    from pipeline.telemetry.stats import MetricsStats, PercentileStats

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.1
"""The aggregator takes what is new this often."""

_now = time.monotonic_ns

assert Kind.DURATION << KIND_SHIFT == 0


class MetricsCollector:
    """The process's one collector: every call of the class gives the same object."""

    _instance: ClassVar[MetricsCollector | None] = None
    _calls: Calls
    _making: ClassVar[threading.RLock] = threading.RLock()

    def __new__(cls) -> MetricsCollector:
        with cls._making:
            if cls._instance is None:
                instance = super().__new__(cls)
                calls = instance._calls = make_calls(lambda: instance._threads.open())
                instance.record_start, instance.record_end = calls.record_start, calls.record_end
                instance.record = calls.record
                instance.block = calls.block
                let_carry(calls)
                instance._set_up()
                cls._instance = instance
            return cls._instance

    def _set_up(self) -> None:
        self._enabled = True
        self._calls.set_recording(True)
        self._sampling_rate = 1.0
        self._load = Load()
        self._threads = ThreadRings(self._rate_now, self._is_sampled, self._note_calls, self._relieve)
        self._forget_process()

    def _forget_process(self) -> None:
        """What a forked child must not share with its parent."""
        self._calls.forget_threads(starts=self._threads.directory is not None)
        self._threads.forget()
        self._lock = threading.RLock()
        self._in_process: InProcess | None = None
        self._draining = False
        self._told = 0
        """Calls in the figures when somebody last asked for them."""
        self._thread: threading.Thread | None = None
        self._leave = threading.Event()

    # ---- recording ----------------------------------------------------------------------------------

    record_start: RecordStart
    """The time, to be given to `record_end`; 0 while recording is off."""
    record_end: RecordEnd
    """Record what began at `start_ts`. Never raises; 0 records nothing."""
    record: RecordDuration
    """Record a latency measured elsewhere that ends now. Never raises."""

    block: MakeBlock
    """A `with` block, for one use: what `measure` gives."""

    def count(self, event_id: int, n: int = 1) -> None:
        """Add `n` to a counter. Never raises."""
        self._write(event_id, n, COUNT_BITS)

    def gauge(self, event_id: int, value: int) -> None:
        """Set a value. Never raises."""
        self._write(event_id, value, GAUGE_BITS)

    def record_backlog(self, depth: int) -> None:
        """Say how many wait in a queue: the gauge QUEUE_BACKLOG."""
        self.gauge(EventID.QUEUE_BACKLOG, depth)

    def set_enabled(self, enabled: bool) -> None:
        """Switch recording on or off, at once. What is being measured at that moment is not recorded."""
        self._enabled = bool(enabled)
        self._calls.set_recording(self._enabled)

    def set_sampling_rate(self, rate: float) -> None:
        """Keep this share of the calls; counts stay right. Raises ValueError outside 0 … 1."""
        self._sampling_rate = check_rate(rate)
        self._resample()

    def set_adaptive_sampling(self, above_per_s: float | None) -> None:
        """Above this many calls a second of this process keep fewer, down to a tenth, and all again when they
        are less; None (the default) switches it off. Where no `start` is in force, each call is counted on
        its way, which costs about as much as sampling does.
        """
        if above_per_s is not None and not above_per_s > 0:
            raise ValueError(f"above_per_s = {above_per_s}: must be positive")
        self._load = Load(above_per_s)
        self._resample()

    @property
    def sampling_rate(self) -> float:
        """The share in force: the smaller of what was set and what adaptive sampling chose."""
        return self._rate_now()

    # ---- where records go ---------------------------------------------------------------------------

    def start(
        self,
        *,
        windows_seconds: Sequence[float] | None = None,
        report_every_seconds: float | None = None,
    ) -> None:
        """Aggregate in this process, every 100 ms, and log a report now and then if asked to.

        Again while it runs: nothing happens. Other windows than before begin with the figures so far, as far
        back as the old ones reached. Raises UsageError after `publish`, ValueError for senseless windows.
        """
        with self._lock:
            if self._thread is not None:
                return
            in_process = self._aggregator()
            if windows_seconds is not None:
                in_process.set_windows(windows_seconds)
            self._leave = threading.Event()
            self._thread = threading.Thread(
                target=self._aggregate,
                args=(self._leave, report_every_seconds),
                daemon=True,
                name="telemetry",
            )
            self._thread.start()

    def set_thresholds(self, thresholds: Sequence[SLAThreshold]) -> None:
        """Judge these SLAs instead of the default ones. Raises UsageError after `publish`."""
        with self._lock:
            self._aggregator().stats.thresholds = tuple(thresholds)

    def stop(self) -> None:
        """End what `start` began, after a last look at the rings. Figures stay."""
        thread = self._thread
        if thread is None:
            return
        self._leave.set()
        if thread is not threading.current_thread():
            thread.join()
        self._thread = None
        self._resample()

    def publish(
        self,
        directory: str | Path,
        worker: str,
        entries: int = limits.PUBLISHED_RING_ENTRIES,
        *,
        mode: Mode = Mode.DROP_NEWEST,
    ) -> None:
        """From now on write rings that the collector process of `directory` drains; each thread that records
        takes memory for all of its `entries`, 32 bytes each.

        Records made before, and not read, are handed over to that collector; what found no room is told to it
        as lost. What was read, because somebody asked for figures or by `start`, is not told again. (Of each
        other thread one call that ends at this very moment may be missed, in pure Python or without the
        interpreter lock.)

        Raises UsageError while `start` is in force, TypeError and ValueError for arguments that cannot be.
        """
        if self._thread is not None:
            raise UsageError("MetricsCollector.publish: stop() first; a ring has one reader")
        folder = check_ring(directory, worker, entries, mode)
        with self._lock:
            in_process = self._in_process
            untold = 0 if in_process is None else in_process.stats.calls - self._told
            self._in_process = None
            self._threads.publish(folder, worker, entries, Mode(mode))
            self._calls.forget_threads(starts=True)
            self._threads.hand_over(untold)

    # ---- figures ------------------------------------------------------------------------------------

    @property
    def stats(self) -> MetricsStats:
        """The figures, up to date. Raises UsageError after `publish`: the collector process has them."""
        with self._lock:
            stats = self._take()
            self._told = stats.calls
            return stats

    def get_stats(
        self, event_id: int, window_seconds: float | None = None, *, expected_interval_ns: int | None = None
    ) -> PercentileStats:
        """One event over the last 1, 5, 60 or any other number of seconds up to the longest window kept.
        None, here and below: the last minute, or the longest window kept where that is shorter.

        `expected_interval_ns`: corrected for coordinated omission, if calls were meant to come that often.
        """
        return self.stats.get_stats(event_id, window_seconds, expected_interval_ns=expected_interval_ns)

    def get_count(self, event_id: int, window_seconds: float | None = None) -> int:
        """A counter, over a window or since the beginning."""
        return self.stats.get_count(event_id, window_seconds)

    def get_gauge(self, event_id: int) -> int | None:
        """The newest value of a gauge; None when it was never set."""
        return self.stats.get_gauge(event_id)

    def get_refused(self) -> dict[str, int]:
        """Records that were written and cannot be true, such as a negative duration, by reason."""
        return self.stats.get_refused()

    def get_all_stats(self, window_seconds: float | None = None) -> dict[int, PercentileStats]:
        """Every event seen so far."""
        return self.stats.get_all_stats(window_seconds)

    def check_sla_violations(self, window_seconds: float | None = None) -> list[SLAResult]:
        """The thresholds that are violated for certain."""
        return self.stats.check_sla_violations(window_seconds)

    def export_json(self, window_seconds: float | None = None) -> str:
        """Every event over a window and what was refused since the start, as JSON."""
        import json  # 5 ms: not for those who only record

        window_seconds = self.stats.checked_window(window_seconds)
        events = [one.as_dict() for one in self.get_all_stats(window_seconds).values()]
        refused = self.get_refused()
        return json.dumps({"window_seconds": window_seconds, "events": events, "refused": refused})

    def clear(self) -> None:
        """Forget every figure and setting; rings of running threads are left behind. For tests."""
        self.stop()
        self._threads.close()
        self._set_up()

    # ---- inside -------------------------------------------------------------------------------------

    def _write(self, event_id: int, value: int, bits: int) -> None:
        if self._enabled and (ring := self._calls.part().ring) is not None:
            put_fact(ring.put, _now(), value, event_id, current_correlation(), bits)

    def _take(self) -> MetricsStats:
        """What is new, with the lock held."""
        aggregator = self._aggregator()
        rings = self._threads.in_memory()
        self._draining = True
        try:
            aggregator.drain(rings)
            self._threads.drained(rings)
        finally:
            self._draining = False
        return aggregator.stats

    def _relieve(self) -> None:
        """Take what ended threads left, where nobody asks for figures: each of their rings stays mapped."""
        if not self._draining and self._lock.acquire(blocking=False):  # else somebody is at it
            try:
                self._take()
            finally:
                self._lock.release()

    def _rate_now(self) -> float:
        return min(self._sampling_rate, self._load.rate)

    def _is_sampled(self) -> bool:
        """Whether records must pass the samplers of their threads: to be left out, or to be counted."""
        return self._rate_now() != 1.0 or (self._load.above_per_s is not None and self._thread is None)

    def _note_calls(self, calls: int, at_ns: int) -> None:
        if self._thread is None:  # else the aggregator counts them
            self._load.tell(calls, at_ns)

    def _resample(self) -> None:
        if self._is_sampled():
            self._threads.sample()

    def _aggregator(self) -> InProcess:
        if self._threads.directory is not None:
            raise UsageError("MetricsCollector: records are published; ask the collector process")
        if self._in_process is None:
            from pipeline.telemetry.inprocess import InProcess

            self._in_process = InProcess()
        return self._in_process

    def _aggregate(self, leave: threading.Event, report_every_s: float | None) -> None:
        import json

        report_due = time.monotonic() + (report_every_s or 0)
        while not leave.wait(LOOK_EVERY_S):
            stats = self.stats
            self._adapt(stats)
            if report_every_s is not None and time.monotonic() >= report_due:
                report_due += report_every_s
                with suppress(Exception):  # whatever a log handler raises, figures go on
                    for found in stats.get_all_stats(stats.windows_seconds[-1]).values():
                        logger.info("telemetry %s", json.dumps(found.as_dict()))
        _ = self.stats

    def _adapt(self, stats: MetricsStats) -> None:
        load = self._load
        if load.above_per_s is None:
            return
        load.rate = adapted(load.rate, load.above_per_s, stats.rate_per_s(stats.windows_seconds[0]))
        self._resample()


def _after_fork_in_child() -> None:
    MetricsCollector._making = threading.RLock()  # whoever held it is not there any more
    if MetricsCollector._instance is not None:
        MetricsCollector._instance._forget_process()


os.register_at_fork(after_in_child=_after_fork_in_child)
