"""Drains every ring of a telemetry directory into one aggregate, and outlives all that it may find there."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.telemetry.aggregate import Aggregate, Span
from pipeline.telemetry.counters import FACTS_LOST, LOST, loss_keys
from pipeline.telemetry.discovery import RingFolder
from pipeline.telemetry.flight import keep_flight
from pipeline.telemetry.gone import Gone
from pipeline.telemetry.latencies import WINDOWS_S
from pipeline.telemetry.layout import DURATION, ENTRY_WORDS, RefusedRingError
from pipeline.telemetry.native import reading
from pipeline.telemetry.ring import Now
from pipeline.telemetry.ring_words import Entries
from pipeline.telemetry.sla import (
    COLLECTOR_SLA,
    SLAResult,
    SLAThreshold,
    Verdict,
    allowed_slow,
    decide,
    judge,
)
from pipeline.telemetry.source import Death, OwnEvents, Source, kinds_of
from pipeline.telemetry.watch import Subject, Watch
from pipeline.telemetry.windows import SLOT_NS

logger = logging.getLogger(__name__)

TICK_NS = SLOT_NS
"""Between two drains, unless a ring fills faster: one step of the finest window, which a drain then seldom
cuts in two."""
PEEK_NS = (34 if reading is not None else 51) * NS_PER_MS
"""Between two looks at how full the rings are: a default one takes 3.8 million records a second, or, where
looking is Python's and dearer, 2.5 million."""
BUSY_PEEK_NS = 5 * NS_PER_MS
"""The same after a ring was a quarter full."""
AFTER_STEP_NS = 1 * NS_PER_MS
"""A drain comes this much after a step has ended."""
SCAN_EVERY_NS = 200 * NS_PER_MS
"""Between two looks for new rings and for dead writers."""
SCRATCH_ENTRIES = 1 << 16
"""2 MiB, touched only as far as batches fill it."""
FOLD_ABOVE = 1 << 14
FOLD_EVERY_NS = 1 * NS_PER_S
"""What was drained waits to be added up until so many entries or so much time have come together."""
LEAST_ROOM = 1 << 10
"""The scratch is folded when less is left."""

SlaKey = tuple[SLAThreshold, float]


class Collector:
    """The reading side of a telemetry directory. One thread; `tick` about every TICK_NS."""

    def __init__(
        self,
        directory: Path,
        *,
        thresholds: Sequence[SLAThreshold] = COLLECTOR_SLA,
        windows_s: Sequence[float] = WINDOWS_S,
        now: Now = time.monotonic_ns,
        own_events: OwnEvents | None = None,
        renew_lock: Callable[[], None] = lambda: None,
    ) -> None:
        """`own_events`: those whose ids `thresholds` have; `renew_lock` comes before rings are looked for."""
        self._renew_lock = renew_lock
        self._watch = Watch(thresholds)
        self._aggregate = Aggregate(windows_s, self._watch)
        self._least_limit_ns = min((one.limit_ns for one in thresholds), default=limits.MAX_DURATION_NS)
        self._to_judge = False
        """A window held calls that break a threshold when last judged, or a slow one was taken since."""
        self.folder = RingFolder(directory)
        self._folder_name = os.fsencode(directory)
        self.sources: list[Source] = []
        self.dead: deque[Death] = deque(maxlen=limits.MAX_REMEMBERED_DEAD)
        self.deaths = 0
        """Writers that died since the start."""
        self._gone = Gone()
        self.last_signs: dict[str, int] = {}
        """Of workers that have no ring any more: when they last gave a sign of life."""
        self.started_ns = now()
        self._violated: set[SlaKey] = set()
        self._own_events = OwnEvents() if own_events is None else own_events
        self._now = now
        self._scratch: Entries = np.empty((SCRATCH_ENTRIES, ENTRY_WORDS), dtype=np.int64)
        self._scratch_bytes = self._scratch.data.cast("B")
        self._steps = np.arange(SCRATCH_ENTRIES)
        self._filled = 0
        self._spans: list[Span] = []
        self._sifted = self._sifted_spans = 0
        """Up to where `_scratch` and `_spans` have only durations, as `facts` left them."""
        self._scan_due_ns = 0
        self._judged_step = -1
        """Of the finest window: SLAs are judged once in each, however often or late drains come."""
        self._fold_due_ns = 0
        self._step_ends_ns = 0

    @property
    def aggregate(self) -> Aggregate:
        """All that was drained, up to date."""
        self._catch_up(self._now())
        return self._aggregate

    @property
    def facts(self) -> Aggregate:
        """The same, but durations of the last moments may be missing: who asks often for counts and gauges
        leaves them to be added up together."""
        self._sift(self._now())
        return self._aggregate

    def tick(self, *, final: bool = False) -> list[SLAResult]:
        """Take what is new out of the rings. Returns the SLAs that were not violated before and are now.

        What was taken is added up when somebody looks, when a call was too slow for some threshold or when
        much has come together: one large batch costs a fraction of many small ones.
        `final` looks for new rings and dead writers now, not when it is their time.
        Raises what `renew_lock` raises.
        """
        now_ns = self._now()
        scan = final or now_ns >= self._scan_due_ns or self.folder.changed()
        if scan:
            self._scan_due_ns = now_ns + SCAN_EVERY_NS
            self._renew_lock()
            self.sources.extend(self.folder.scan(now_ns))
            for source in list(self.sources):
                self._hear_of_removed(source, now_ns)
        self._take(now_ns)
        if scan:
            for source in [source for source in self.sources if source.reader.writer_is_gone()]:
                self._bury(source, now_ns)
            self._gone.add_up(self._aggregate, {source.worker for source in self.sources})
        much = self._filled >= FOLD_ABOVE or now_ns >= self._fold_due_ns
        if self._to_judge or much or final:
            self._catch_up(now_ns)
        if self._to_judge and (now_ns // SLOT_NS != self._judged_step or final):
            self._judged_step = now_ns // SLOT_NS
            return self._judge()
        return []

    @property
    def urgent(self) -> bool:
        """Drain before the regular time: some ring is a quarter full, or a new one may be there."""
        return any(source.reader.filling for source in self.sources) or self.folder.changed()

    def sleep(self, due_ns: int, peek_ns: int) -> bool | None:
        """Sleep until `due_ns`, or until it is `urgent` (True), looking every `peek_ns`: in C, for a third of
        the price. None, at once, where that takes Python."""
        looks = [source.reader.look for source in self.sources]
        if reading is None or None in looks:
            return None
        urgent: bool = reading.wait(looks, self._folder_name, self.folder.seen_ns, due_ns, peek_ns)
        return urgent

    def lost(self) -> int:
        """Calls whose records were lost since the start, for whatever reason."""
        return sum(count for key, count in self.facts.counters.totals(LOST) if key.which < FACTS_LOST)

    def lost_of(self, stages: set[str]) -> int:
        """Records that writers of these stages lost since the start."""
        return sum(map(self.facts.counters.total, loss_keys(stages)))

    def lost_within(self, stages: set[str], window_s: float) -> int:
        """Records that writers of these stages lost within a window."""
        return self.facts.counters.within(window_s, loss_keys(stages))

    def results(self) -> list[SLAResult]:
        """Every SLA with data, over every window."""
        windows = self.aggregate.latencies.windows
        return [
            self._result(subject, window_s)
            for subject in self._watch.subjects.values()
            for window_s in windows
        ]

    def verdicts(self) -> Iterator[tuple[SLAThreshold, float, Verdict]]:
        """The same without percentiles, for a fraction of the price."""
        aggregate = self.aggregate
        for subject in self._watch.subjects.values():
            losses = loss_keys(subject.groups)
            for window_s, window in aggregate.latencies.windows.items():
                slow = int(window.slow[subject.pairs].sum())
                perhaps = slow + int(window.counts.running[subject.cut].sum()) if subject.cut else slow
                count, lost = window.calls[subject.series].sum(), aggregate.counters.within(window_s, losses)
                verdict = decide(int(count), slow, perhaps, subject.hundredths, lost)
                yield subject.threshold, window_s, verdict

    def close(self) -> None:
        """Let go of every ring. Those of living writers stay for the next collector."""
        for source in self.sources:
            source.reader.close()
        self.sources.clear()

    def _take(self, now_ns: int) -> None:
        """Drain every ring, and note whether a call took as long as some threshold allows, or may have."""
        if len(self._scratch) - self._filled < FOLD_ABOVE:
            self._catch_up(now_ns)
        slow, others = self._take_at_once() if reading is None else self._take_each()
        self._to_judge |= slow
        for source in others:
            self._drain(source, now_ns)

    def _is_slow(self, entries: Entries) -> bool:
        slow = entries[:, 1] >= self._least_limit_ns
        return bool(slow.any() and (kinds_of(entries[slow]) == DURATION).any())

    def _take_each(self) -> tuple[bool, list[Source]]:
        """What `_take_at_once` does, ring by ring, in C."""
        filled, slow, others = self._filled, False, []
        for source in self.sources:
            count, some_slow = source.reader.take(self._scratch_bytes, filled, self._least_limit_ns)
            if count > 0:
                self._spans.append(Span(source, filled, filled + count))
                filled += count
                slow |= some_slow
            elif count < 0:
                others.append(source)
        self._filled = filled
        return slow, others

    def _take_at_once(self) -> tuple[bool, list[Source]]:
        """Copy what is new in every ring and prove all of it together, which costs hardly more than one
        ring. Returns whether a call was slow, and the sources that must be drained one by one."""
        begin = filled = self._filled
        spans: list[Span] = []
        firsts: list[int] = []
        others: list[Source] = []
        for source in self.sources:
            reader = source.reader
            try:
                count = reader.copy(self._scratch, filled)
                source.learn_names(self._own_events)
            except RefusedRingError:  # said again, and dealt with, by those who drain it alone
                count = -1
            if count > 0:
                spans.append(Span(source, filled, filled + count))
                firsts.append(reader.tail + 1 - filled)
                filled += count
            elif count < 0:
                others.append(source)
        if spans:
            expected = np.repeat(firsts, [span.stop - span.start for span in spans])
            expected += self._steps[begin:filled]
            if not (self._scratch[begin:filled, 3] == expected).all():
                return False, list(self.sources)
            for span in spans:
                try:
                    span.source.reader.accept(span.stop - span.start)
                except RefusedRingError:
                    others.append(span.source)
        self._filled = filled
        self._spans += spans
        return bool(spans) and self._is_slow(self._scratch[begin:filled]), others

    def _drain(self, source: Source, now_ns: int, *, final: bool = False) -> None:
        self._aggregate.advance(now_ns)
        try:
            source.reader.check()
            source.learn_names(self._own_events)
            more = True
            left = SCRATCH_ENTRIES + source.reader.identity.capacity  # a fast writer does not keep us here
            while more and left > 0:
                if len(self._scratch) - self._filled < LEAST_ROOM:
                    self._fold(now_ns)
                drained = source.reader.drain(self._scratch[self._filled :], final=final)
                source.learn_names(self._own_events)
                if drained.lost:
                    self._aggregate.lose(source, drained, now_ns)
                if drained.kept:
                    self._to_judge = True  # seldom enough to judge without a look at each
                    self._spans.append(Span(source, self._filled, self._filled + drained.kept))
                    self._filled += drained.kept
                left -= drained.kept + 1
                more = drained.more and (final or self._filled == len(self._scratch))
        except RefusedRingError as error:
            self._refuse(source, error, now_ns)

    def _refuse(self, source: Source, error: RefusedRingError, now_ns: int) -> None:
        """What was taken before counts."""
        self._fold(now_ns)
        self.folder.refuse(source, error)
        self._forget(source)

    def _hear_of_removed(self, source: Source, now_ns: int) -> None:
        """Count what was in rings that this writer removed while nobody collected."""
        try:
            if calls := source.reader.take_removed():
                self._aggregate.advance(now_ns)
                self._aggregate.lose_others(calls, now_ns)
        except RefusedRingError as error:
            self._refuse(source, error, now_ns)

    def _catch_up(self, now_ns: int) -> None:
        if not self._filled and now_ns < self._step_ends_ns:
            return
        self._step_ends_ns = (now_ns // SLOT_NS + 1) * SLOT_NS
        self._fold_due_ns = now_ns + FOLD_EVERY_NS
        self._aggregate.advance(now_ns)
        self._fold(now_ns)

    def _fold(self, now_ns: int) -> None:
        if self._filled:
            filled, spans = self._filled, self._spans
            self._filled, self._spans = 0, []
            self._sifted = self._sifted_spans = 0
            self._aggregate.fold(self._scratch[:filled], spans, now_ns)

    def _sift(self, now_ns: int) -> None:
        """Fold what is no duration, and close the gaps that it leaves."""
        begin, fresh = self._sifted, self._spans[self._sifted_spans :]
        if not fresh and now_ns < self._step_ends_ns:
            return
        self._aggregate.counters.advance(now_ns)
        if not fresh:
            return
        spans = [Span(source, start - begin, stop - begin) for source, start, stop in fresh]
        left, left_spans = self._aggregate.fold_facts(self._scratch[begin : self._filled], spans, now_ns)
        self._spans[self._sifted_spans :] = [
            Span(source, start + begin, stop + begin) for source, start, stop in left_spans if start < stop
        ]
        self._filled = self._sifted = begin + len(left)
        self._sifted_spans = len(self._spans)
        self._scratch[begin : self._filled] = left

    def _bury(self, source: Source, now_ns: int) -> None:
        """Fold what a gone writer left, say how it went, and remove its ring."""
        self._drain(source, now_ns, final=True)
        self._fold(now_ns)
        if source in self.sources:
            self._hear_of_removed(source, now_ns)
        if source not in self.sources:  # refused meanwhile
            return
        if not source.reader.closed:
            self.deaths += 1
            keep_flight(source.reader)
            inside = source.inside(now_ns)
            silent_ms = (now_ns - source.last_sign_ns(now_ns)) / NS_PER_MS
            pid = source.reader.identity.pid
            self.dead.append(Death(source.worker, pid, silent_ms, inside, now_ns))
            logger.warning(
                "worker %s (pid %d) died; last sign of life %.1f s before this was seen, inside %s",
                source.worker,
                pid,
                silent_ms / 1000,
                ", ".join(inside) or "nothing that was being measured",
            )
        self.last_signs[source.worker] = source.last_sign_ns(now_ns)
        while len(self.last_signs) > limits.MAX_RINGS:
            del self.last_signs[next(iter(self.last_signs))]
        self.folder.remove(source)
        self._forget(source)

    def _forget(self, source: Source) -> None:
        source.reader.close()
        self.sources.remove(source)
        self._gone.note(source.worker, source.stage)

    def _judge(self) -> list[SLAResult]:
        """The rule's first half for every threshold and window: is it violated? And was it before?"""
        violated: dict[SlaKey, Subject] = {}
        self._to_judge = False
        for window_s, window in self._aggregate.latencies.windows.items():
            if not window.slow[: len(self._watch)].any():
                continue
            self._to_judge = True
            for subject in self._watch.subjects.values():
                slow = int(window.slow[subject.pairs].sum())
                if slow and self._is_violated(subject, window_s, slow):
                    violated[subject.threshold, window_s] = subject
        new = [
            self._result(subject, key[1]) for key, subject in violated.items() if key not in self._violated
        ]
        self._violated = set(violated)
        return new

    def _is_violated(self, subject: Subject, window_s: float, slow: int) -> bool:
        count = int(self._aggregate.latencies.windows[window_s].calls[subject.series].sum())
        if count < subject.least:
            return False
        lost = self._aggregate.counters.within(window_s, loss_keys(subject.groups))
        return slow > allowed_slow(count + lost, subject.hundredths)

    def _result(self, subject: Subject, window_s: float) -> SLAResult:
        window = self._aggregate.latencies.windows[window_s]
        counts = np.sum([window.row(series) for series in subject.series], axis=0)
        lost = self._aggregate.counters.within(window_s, loss_keys(subject.groups))
        return judge(counts, subject.threshold, window_s, lost)
