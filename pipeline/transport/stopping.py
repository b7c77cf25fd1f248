"""A dispatcher that can stop a key, send old events of it again, and let it go on.

An audit that was restored from a backup lacks rows that were settled. Whatever comes next of such a key can
only be refused, so the key is stopped: nothing of it is sent, what is accepted is kept in its line. Then its
settled events are sent again, some at a time, in a line of their own, and after them the key goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.delivery import Delivery
from pipeline.messages import Fate, is_control
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.key_line import KeyLine, Pending

TRIES = 4
"""A key that was sent so often without anything settling may be one that the audit lacks rows of."""


def nobody(key: str) -> None:
    """Nobody wants to know."""
    del key


class StoppingDispatcher(Dispatcher):
    """`on_stuck(key)` is told, now and then, of a key of which nothing settles."""

    def __init__(self, *arguments: Any, on_stuck: Callable[[str], None] = nobody, **rest: Any) -> None:
        super().__init__(*arguments, **rest)
        self._on_stuck = on_stuck
        self._stopped: dict[str, KeyLine] = {}

    @property
    def stopped(self) -> int:
        """Events that wait in the lines of stopped keys."""
        return sum(len(line.line) for line in self._stopped.values())

    def stop(self, key: str, settled: int) -> None:
        """Nothing of `key` is sent any more; `settled` is its last settled key_seq by the journal."""
        line = self._lines.pop(key, None) or KeyLine(settled + 1)
        line.next, line.queued, line.hold_until_ns, line.tries = line.first, False, 0, 0
        self._stopped[key] = line
        self._moving.discard(key)

    def resend(self, key: str, deliveries: Sequence[Delivery], now_ns: int) -> None:
        """Sends settled events of a stopped key again: in order, those of one call right behind the last."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = KeyLine(deliveries[0].key_seq)
        for delivery in deliveries:
            if delivery.key_seq != line.last + 1:
                raise ValueError(f"{key}: key_seq {delivery.key_seq} is sent again after {line.last}")
            control = is_control(delivery.payload)
            line.line.append(Pending(delivery, now_ns, now_ns, True, control, True))
            self._unsettled += 1
        self._queue(key, line)

    def resending(self, key: str) -> int:
        """How many of those sent again are not settled yet."""
        line = self._lines.get(key) if key in self._stopped else None
        return len(line.line) if line is not None else 0

    def release(self, key: str) -> None:
        """The audit has it all again: the key goes on with what was kept. Nothing may be in flight of it."""
        line = self._stopped.pop(key)
        if line.line:
            self._lines[key] = line
            self._queue(key, line)

    def enqueue(
        self,
        delivery: Delivery,
        accepted_ns: int,
        *,
        enqueued_ns: int = 0,
        control: bool = False,
        dispatched: bool = False,
    ) -> None:
        line = self._stopped.get(delivery.key) if self._stopped else None
        if line is None:
            super().enqueue(
                delivery, accepted_ns, enqueued_ns=enqueued_ns, control=control, dispatched=dispatched
            )
            return
        if delivery.key_seq != line.last + 1:
            raise ValueError(f"{delivery.key}: key_seq {delivery.key_seq} enqueued after {line.last}")
        line.line.append(Pending(delivery, accepted_ns, enqueued_ns, dispatched, control))
        self._unsettled += 1

    def fated(self, key: str, key_seq: int, fate: Fate) -> None:
        line = self._stopped.get(key)
        pending = line.pending(key_seq) if line is not None else None
        if line is None or pending is None:
            super().fated(key, key_seq, fate)
            return
        pending.delivery.fate = fate
        if line.awaiting_fate == key_seq:
            line.awaiting_fate = 0

    def _settled(self, key: str, last: int, event_id: bytes) -> None:
        line = self._lines.get(key)
        if key in self._stopped and line is not None and last > line.last:
            last, event_id = line.last, b""  # an old copy of what is kept got through as well
        super()._settled(key, last, event_id)

    def _rewind(self, key: str, line: KeyLine) -> None:
        super()._rewind(key, line)
        if line.tries % (2 * TRIES) == TRIES:
            self._on_stuck(key)
