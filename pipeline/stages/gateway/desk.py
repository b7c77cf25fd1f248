"""Journal and dispatcher as one: what is synced is dispatched, what is settled is marked, a fate is
journalled before it is told. The gateway process runs it on real disks and links, the simulation on
simulated ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from pipeline.clock import NS_PER_US, US_PER_S, Clock
from pipeline.delivery import Delivery
from pipeline.messages import Fate, is_control
from pipeline.storage.journal import Journal
from pipeline.transport.key_line import Pending
from pipeline.transport.settings import Meter, Timing
from pipeline.transport.stopping import StoppingDispatcher, nobody

log = logging.getLogger(__name__)


class Desk:
    """`when_synced(action)` runs `action` once everything appended so far is on disk; `on_settled(pending)`
    is told of each settled event, `on_alarm(text)` when the audit contradicts the journal."""

    def __init__(
        self,
        name: str,
        boot: int,
        timing: Timing,
        journal: Journal,
        clock: Clock,
        *,
        when_synced: Callable[[Callable[[], None]], None],
        on_settled: Callable[[Pending], None],
        on_alarm: Callable[[str], None],
        expire_after_s: int = 0,
        meter: Meter | None = None,
        on_stuck: Callable[[str], None] = nobody,
    ) -> None:
        """`on_stuck(key)` is told of a key of which nothing settles."""
        self._journal = journal
        self._clock = clock
        self._when_synced = when_synced
        self._on_settled = on_settled
        self.dispatcher = StoppingDispatcher(
            name, boot, timing,
            on_settled=self._settled, on_fate=self._fate, on_alarm=on_alarm,
            expire_after_us=expire_after_s * US_PER_S, wall_us=clock.wall_us, meter=meter,
            on_stuck=on_stuck,
        )  # fmt: skip
        for delivery in journal.recovered:
            self._enqueue(delivery, dispatched=True)
        journal.recovered.clear()

    def dispatch(self, deliveries: Iterable[Delivery]) -> None:
        """Takes newly synced deliveries, in journal order."""
        for delivery in deliveries:
            self._enqueue(delivery, dispatched=False)

    def _enqueue(self, delivery: Delivery, *, dispatched: bool) -> None:
        """Lag counts from the accept time, also across a restart."""
        wall_us = self._clock.wall_us()
        if not dispatched:  # what was recovered was synced by a process that can no longer tell when
            delivery.synced_us = wall_us
        age_us = max(0, wall_us - delivery.accepted_us)
        now_ns = self._clock.monotonic_ns()
        self.dispatcher.enqueue(
            delivery, now_ns - age_us * NS_PER_US,
            enqueued_ns=now_ns, control=is_control(delivery.payload), dispatched=dispatched,
        )  # fmt: skip

    def _settled(self, pending: Pending) -> None:
        self._journal.settled(pending.delivery.key, pending.delivery.key_seq)
        self._on_settled(pending)

    def _fate(self, key: str, key_seq: int, fate: Fate) -> None:
        def synced() -> None:
            log.warning("%s:%d ends as %s", key, key_seq, fate.name.lower())
            self.dispatcher.fated(key, key_seq, fate)

        self._journal.fate(key, key_seq, fate)
        self._when_synced(synced)
