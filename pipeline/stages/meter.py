"""Joins the links' measurements to telemetry: what transport reports, as entries in this worker's ring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline.stages.malformed import MalformedFrames
from pipeline.telemetry.events import EventID
from pipeline.telemetry.recorder import Recorder


class LinkMeter:
    """A transport.Meter. Latencies are written as they happen; what can be summed is summed and written
    with the self-report, so that a blocked worker does not fill its ring with the news of it."""

    def __init__(
        self, recorder: Recorder, malformed: MalformedFrames, consume: int = 0, publish: int = 0
    ) -> None:
        """`consume` and `publish` are the events of this stage's golden path (0: it has none)."""
        self._recorder = recorder
        self._record = recorder.record
        self._malformed = malformed
        self._consume = consume
        self._publish = publish
        self._blocked_ns = 0
        self._throttled: Counter[int] = Counter()
        self.strangers = 0
        self.handled = 0
        self.trade_throttled = 0

    def consumed(self, duration_ns: int, correlation: int) -> None:
        self.handled += 1
        if self._consume:
            self._record(self._consume, duration_ns, correlation)

    def published(self, duration_ns: int, correlation: int) -> None:
        if self._publish:
            self._record(self._publish, duration_ns, correlation)

    def throttled(self, ordinal: int) -> None:
        self._throttled[ordinal] += 1

    def blocked(self, duration_ns: int) -> None:
        self._blocked_ns += duration_ns

    def malformed(self, frame: bytes) -> None:
        self._recorder.count(EventID.MALFORMED)
        self._malformed.keep(frame)

    @property
    def stirred(self) -> bool:
        """Whether anything happened since the last flush."""
        return bool(self.handled or self._blocked_ns or self._throttled)

    def stranger(self) -> None:
        """A peer was turned away in the handshake of a link."""
        self.strangers += 1
        self._recorder.count(EventID.STRANGER)

    def flush(self, lags_ns: Mapping[int, int], free: Mapping[int, int]) -> None:
        """Writes the sums, and for each downstream worker its lag and how much of its credit is free."""
        recorder = self._recorder
        for event, total in (
            (EventID.BLOCKED, self._blocked_ns),
            (EventID.HANDLED, self.handled),
            (EventID.TRADE_THROTTLED, self.trade_throttled),
        ):
            if total:
                recorder.count(event, total)
        for ordinal, count in self._throttled.items():
            recorder.count(EventID.FLOW_THROTTLED, count, ordinal)
        for ordinal, lag_ns in lags_ns.items():
            recorder.gauge(EventID.LAG, lag_ns, ordinal)
        for ordinal, credit in free.items():
            recorder.gauge(EventID.CREDIT, credit, ordinal)
        self._blocked_ns = self.handled = self.trade_throttled = 0
        self._throttled.clear()
