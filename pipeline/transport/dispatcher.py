"""The gateway's end of delivery: sends every journalled event of a key in order until it is settled.

Only the gateway redelivers. Per key it keeps the deliveries that are not settled and one number, the next
to send; a refusal, a dead link or a move sends again from the first unsettled, with a growing pause while
nothing settles. It alone decides `expired` and `dead_lettered`: journalled first, sent as a tombstone then.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterable

from msgspec import Struct

from pipeline import limits
from pipeline.clock import NS_PER_MS, no_time
from pipeline.delivery import Delivery
from pipeline.messages import Fate
from pipeline.transport import wire
from pipeline.transport.downlinks import Downlink, Downlinks, DownlinkStatistics
from pipeline.transport.key_line import KeyLine, Pending
from pipeline.transport.outbox import Act, Outbox
from pipeline.transport.settings import Meter, NoMeter, Timing, correlation_of

log = logging.getLogger(__name__)


class DispatcherStatistics(Struct, frozen=True):
    unsettled: int
    keys: int
    rewinds: int
    alarms: int
    links_lost: int
    oldest_ns: int | None
    hottest: tuple[tuple[str, int], ...]
    """The keys with most unsettled events, and how many."""
    downlinks: tuple[DownlinkStatistics, ...]


class Dispatcher:
    """Callbacks: `on_settled(pending)` once per event in order of its key; `on_fate(key, key_seq, fate)`
    asks the owner to journal a fate and call `fated` when it is synced; `on_alarm(text)` when the audit
    contradicts the journal."""

    def __init__(
        self,
        name: str,
        boot: int,
        timing: Timing,
        *,
        on_settled: Callable[[Pending], None],
        on_fate: Callable[[str, int, Fate], None],
        on_alarm: Callable[[str], None],
        expire_after_us: int = 0,
        wall_us: Callable[[], int] = no_time,
        meter: Meter | None = None,
    ) -> None:
        self.name = name
        self._depth = timing.depth
        self._on_settled = on_settled
        self._on_fate = on_fate
        self._on_alarm = on_alarm
        self._expire_after_us = expire_after_us
        self._wall_us = wall_us
        self._meter = meter or NoMeter()
        self._outbox = Outbox()
        self._down = Downlinks(
            name, "agent", boot, timing, self._outbox,
            on_settled=self._settled, on_refused=self._refused, on_died=self._died, on_change=self._rerouted,
        )  # fmt: skip
        self._lines: dict[str, KeyLine] = {}
        self._runnable: dict[int | None, deque[str]] = {}
        """Keys with something to send, by the ordinal that they wait for (None: no link at all)."""
        self._moving: set[str] = set()
        """Keys that wait for their last message on an old link before they take a new one."""
        self._held: list[tuple[int, str]] = []
        """(until ns, key): keys that pause after a refusal."""
        self._deaths: dict[tuple[str, int], set[tuple[str, int]]] = {}
        self._now_ns = 0
        self._blocked_since_ns: int | None = None
        self._unsettled = 0
        self._rewinds = 0
        self._alarms = 0

    # ---- driven from outside

    def set_members(self, ordinals: Iterable[int]) -> None:
        self._down.set_members(ordinals)

    def from_down(self, ordinal: int, frame: wire.Frame, now_ns: int) -> None:
        self._now_ns = now_ns
        self._down.receive(ordinal, frame, now_ns)

    def enqueue(
        self,
        delivery: Delivery,
        accepted_ns: int,
        *,
        enqueued_ns: int = 0,
        control: bool = False,
        dispatched: bool = False,
    ) -> None:
        """Takes over one synced event; those of a key must come in order, without a gap."""
        key = delivery.key
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = KeyLine(delivery.key_seq)
        elif delivery.key_seq != line.first + len(line.line):
            raise ValueError(
                f"{delivery.key}: key_seq {delivery.key_seq} enqueued after {line.last}: a gap in the journal"
            )
        line.line.append(Pending(delivery, accepted_ns, enqueued_ns, dispatched, control))
        self._unsettled += 1
        if not line.queued:
            self._queue(key, line)

    def fated(self, key: str, key_seq: int, fate: Fate) -> None:
        """The fate is in the journal: from now on the event travels as a tombstone."""
        line = self._lines.get(key)
        if line is None:
            return
        if line.awaiting_fate == key_seq:
            line.awaiting_fate = 0
        pending = line.pending(key_seq)
        if pending is None:  # settled after all, while its fate was on its way to the disk
            self._queue(key, line)
            return
        pending.delivery.fate = fate
        self._deaths.pop((key, key_seq), None)
        line.next = min(line.next, key_seq)
        self._rewind(key, line)

    def tick(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._down.tick(now_ns)

    def take(self, now_ns: int) -> list[Act]:
        """Sends what may be sent now and returns all actions."""
        self._now_ns = now_ns
        while self._held and self._held[0][0] <= now_ns:
            _, key = heapq.heappop(self._held)
            if line := self._lines.get(key):
                self._queue(key, line)
        blocked = self._pump(now_ns)
        if self._blocked_since_ns is not None:
            self._meter.blocked(now_ns - self._blocked_since_ns)
        self._blocked_since_ns = now_ns if blocked else None
        return self._outbox.take()

    def next_due_ns(self) -> int | None:
        """When a pausing key may go on; None when none pauses."""
        return self._held[0][0] if self._held else None

    @property
    def unsettled(self) -> int:
        return self._unsettled

    # ---- sending

    def _queue(self, key: str, line: KeyLine) -> None:
        if line.queued or not self._may_send(line, self._now_ns):
            return
        link = self._down.route(key) or self._down.routed(key)
        line.queued = True
        self._runnable.setdefault(link.ordinal if link else None, deque()).append(key)

    def _pump(self, now_ns: int) -> bool:
        """Sends while there is credit, one message a key in turn; whether anything had to wait."""
        blocked = False
        for ordinal in list(self._runnable):
            waiting = self._runnable.pop(ordinal)
            while waiting:
                key = waiting.popleft()
                line = self._lines.get(key)
                if line is None:
                    continue
                line.queued = False
                if not self._may_send(line, now_ns):
                    continue
                if not self._send_next(key, line, now_ns):
                    blocked = True
                    if key in self._moving:
                        continue  # comes back when nothing of it is in flight
                    line.queued = True
                    waiting.appendleft(key)
                    break
                if self._may_send(line, now_ns):
                    line.queued = True
                    waiting.append(key)
            if waiting:
                self._runnable.setdefault(ordinal, deque()).extend(waiting)
        return blocked

    def _may_send(self, line: KeyLine, now_ns: int) -> bool:
        sent = line.next - line.first
        return (
            sent < len(line.line)
            and sent < self._depth
            and line.hold_until_ns <= now_ns
            and not line.awaiting_fate
        )

    def _send_next(self, key: str, line: KeyLine, now_ns: int) -> bool:
        """Sends the key's next event; False when it must wait for a link or for credit."""
        before = self._down.routed(key)
        link = self._down.route(key)
        pending = line.line[line.next - line.first]
        if link is None:
            if before is not None and key in before.by_key:
                self._moving.add(key)
            return False
        if self._moving:
            self._moving.discard(key)
        if link.free <= 0:
            return False
        if before is not None and before is not link and line.next != line.first:
            line.next = line.first  # moved: from the oldest unsettled again
            return True
        if self._expire_after_us and self._expires(pending):
            line.awaiting_fate = line.next
            self._on_fate(key, line.next, Fate.EXPIRED)
            return True
        if not pending.published:
            pending.published = True
            correlation = correlation_of(pending.delivery.event_id)
            self._meter.published(max(0, now_ns - pending.enqueued_ns), correlation)
        line.next += 1
        pending.delivery.dispatched_us = (
            self._wall_us()
        )  # of the last copy sent, which may be the one that counts
        self._down.transmit(link, pending.delivery, pending.accepted_ns)
        return True

    def _expires(self, pending: Pending) -> bool:
        """Only before its first dispatch: a dispatched event never expires, a control event never does."""
        if pending.published or pending.control:
            return False
        delivery = pending.delivery
        return delivery.live and self._wall_us() - delivery.accepted_us > self._expire_after_us

    def _park(self, key: str, line: KeyLine) -> None:
        line.queued = True
        link = self._down.route(key) or self._down.routed(key)
        self._runnable.setdefault(link.ordinal if link else None, deque()).append(key)

    def _rerouted(self) -> None:
        """A link came, went or is leaving: keys look for their way anew."""
        keys = [key for waiting in self._runnable.values() for key in waiting]
        self._runnable.clear()
        for key in keys:
            if line := self._lines.get(key):
                self._park(key, line)
        for key in list(self._moving):
            self._moving.discard(key)
            if line := self._lines.get(key):
                self._queue(key, line)

    # ---- answers

    def _settled(self, key: str, last: int, event_id: bytes) -> None:
        line = self._lines.get(key)
        if line is None:
            return
        if last < line.first:
            self._queue(key, line)  # what it was waiting for may just have left the link
            return
        if last > line.last:
            self._alarm(f"{key}: audit has settled {last}, the journal ends at {line.last}")
            return
        waiting = line.line
        if event_id and waiting[last - line.first].delivery.event_id != event_id:
            self._alarm(f"{key}: audit has another event at key_seq {last} than the journal")
            return
        for key_seq in range(line.first, last + 1):
            pending = waiting.popleft()
            if self._deaths:
                self._deaths.pop((key, key_seq), None)
            line.first = key_seq + 1
            self._unsettled -= 1
            self._on_settled(pending)
        line.next = max(line.next, line.first)
        line.tries = 0
        if line.line:
            self._queue(key, line)
        else:
            del self._lines[key]
            self._moving.discard(key)
            self._down.forget(key)

    def _alarm(self, text: str) -> None:
        self._alarms += 1
        log.error(text)
        self._on_alarm(text)

    def _refused(self, key: str) -> None:
        if line := self._lines.get(key):
            line.next = line.first
            self._rewind(key, line)

    def _rewind(self, key: str, line: KeyLine) -> None:
        """From the first unsettled again, after a pause that doubles while nothing settles."""
        self._rewinds += 1
        line.tries = line.tries + 1 if line.mark == line.first else 0
        line.mark = line.first
        line.next = line.first
        if line.tries:
            pause_ms = min(limits.MAX_BACKOFF_MS, 2 ** min(line.tries, 9))
            line.hold_until_ns = self._now_ns + pause_ms * NS_PER_MS
            heapq.heappush(self._held, (line.hold_until_ns, key))
        else:
            line.hold_until_ns = 0
        self._queue(key, line)

    def _died(self, key: str, key_seq: int, worker: str, boot: int) -> None:
        """A worker died with this event in hand. Three distinct deaths, and it is given up."""
        line = self._lines.get(key)
        pending = line.pending(key_seq) if line else None
        if line is None or pending is None or pending.control or not pending.delivery.live:
            return
        deaths = self._deaths.setdefault((key, key_seq), set())
        deaths.add((worker, boot))
        log.warning(
            "%s died with %s:%d in hand (%d of %d)",
            worker, key, key_seq, len(deaths), limits.DEATHS_UNTIL_DEAD_LETTER,
        )  # fmt: skip
        if len(deaths) >= limits.DEATHS_UNTIL_DEAD_LETTER and line.awaiting_fate != key_seq:
            line.awaiting_fate = key_seq
            self._on_fate(key, key_seq, Fate.DEAD_LETTERED)

    # ---- looking

    def lags_ns(self, now_ns: int) -> dict[int, int]:
        """Age of the oldest event destined for each agent and not `done` there, by ordinal."""
        oldest = {ordinal: since or now_ns for ordinal, since in self._down.oldest_ns().items()}
        for key, line in self._lines.items():
            if line.next > line.last:
                continue
            link = self._route_of(key)
            if link is not None:
                since_ns = line.line[line.next - line.first].accepted_ns
                oldest[link.ordinal] = min(oldest.get(link.ordinal, now_ns), since_ns)
        return {ordinal: max(0, now_ns - since_ns) for ordinal, since_ns in oldest.items()}

    def count_waiting(self) -> None:
        """Counts, once each, the events that wait for the credit of a link. Call a few times a second:
        counting at each attempt to send would cost a pass over all keys for every message."""
        for link in self._down:
            if not link.up or link.free > 0:
                continue
            for key in self._runnable.get(link.ordinal, ()):
                if line := self._lines.get(key):
                    counted = max(line.throttled, line.next - 1)
                    for _ in range(line.last - counted):
                        self._meter.throttled(link.ordinal)
                    line.throttled = max(line.throttled, line.last)

    def _route_of(self, key: str) -> Downlink | None:
        return self._down.routed(key) or self._down.route(key)

    def statistics(self) -> DispatcherStatistics:
        heads = [line.line[0].accepted_ns for line in self._lines.values() if line.line]
        hottest = heapq.nlargest(5, self._lines.items(), key=lambda item: len(item[1].line))
        return DispatcherStatistics(
            unsettled=self._unsettled,
            keys=len(self._lines),
            rewinds=self._rewinds,
            alarms=self._alarms,
            links_lost=self._down.links_lost,
            oldest_ns=min(heads, default=None),
            hottest=tuple((key, len(line.line)) for key, line in hottest),
            downlinks=self._down.statistics(),
        )
