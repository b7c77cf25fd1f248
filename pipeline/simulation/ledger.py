"""What the gateway's journal has promised over all its incarnations, and whether an opened one keeps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.delivery import Delivery
from pipeline.messages import Fate, is_control
from pipeline.simulation.story import ViolationError
from pipeline.storage.journal import Accepted, Journal


class _Promise:
    """An event whose accept was synced; `fate` is what was decided about it and synced."""

    __slots__ = ("control", "event_id", "fate")

    def __init__(self, event_id: bytes, *, control: bool) -> None:
        self.event_id = event_id
        self.control = control
        self.fate = Fate.LIVE


class Ledger:
    """Told what a journal takes in; promises begin when it is synced, what is not may come back or not."""

    def __init__(self, source: str, retention_s: int) -> None:
        self._source = source
        self._retention_us = retention_s * US_PER_S
        self._promises: dict[str, list[_Promise]] = {}
        """By key; its key_seqs begin with 1."""
        self._unsynced: list[tuple[int, str, Accepted]] = []
        self._undecided: list[tuple[int, str, int, Fate]] = []
        self._known: dict[str, Accepted] = {}
        self._deaths: Counter[tuple[str, int]] = Counter()
        self._accepted_us = 0
        self._seen_us = 0

    def accepted(self, webhook_id: str, accepted: Accepted) -> None:
        """Raises ViolationError when the accept time has fallen, or retention was not kept."""
        if accepted.accepted_us < self._accepted_us:
            raise ViolationError(f"{webhook_id}: its accept time is before that of an event synced before it")
        before, now_us = self._known.get(webhook_id), max(self._seen_us, accepted.accepted_us)
        if before is not None and now_us - before.accepted_us < self._retention_us:
            raise ViolationError(f"{webhook_id}: accepted again within retention")
        self._unsynced.append((accepted.jno, webhook_id, accepted))

    def seen(self, now_us: int) -> None:
        """The wall clock told the journal this: what is out of retention then may stay forgotten."""
        self._seen_us = max(self._seen_us, now_us, self._accepted_us)

    def died(self, key: str, key_seq: int) -> None:
        """A worker has died with this event in hand."""
        self._deaths[key, key_seq] += 1

    def decided(self, jno: int, key: str, key_seq: int, fate: Fate) -> None:
        """Raises ViolationError for a fate that the event may not have."""
        if self._promises[key][key_seq - 1].control:
            raise ViolationError(f"{key}:{key_seq} is a control event, and is to end as {fate.name}")
        if fate == Fate.DEAD_LETTERED and self._deaths[key, key_seq] < limits.DEATHS_UNTIL_DEAD_LETTER:
            raise ViolationError(
                f"{key}:{key_seq} is given up after {self._deaths[key, key_seq]} deaths: one was told twice"
            )
        self._undecided.append((jno, key, key_seq, fate))

    def synced(self, upto: int) -> None:
        """Everything up to journal number `upto` is a promise now."""
        while self._unsynced and self._unsynced[0][0] <= upto:
            _, webhook_id, accepted = self._unsynced.pop(0)
            self._promise(accepted.deliveries)
            self._known[webhook_id] = accepted
            self._accepted_us = accepted.accepted_us
        while self._undecided and self._undecided[0][0] <= upto:
            _, key, key_seq, fate = self._undecided.pop(0)
            self._promises[key][key_seq - 1].fate = fate

    def _promise(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            promises = self._promises.setdefault(delivery.key, [])
            if delivery.key_seq != len(promises) + 1:
                raise ViolationError(
                    f"{delivery.key}: key_seq {delivery.key_seq} is given after {len(promises)}"
                )
            promises.append(_Promise(delivery.event_id, control=is_control(delivery.payload)))

    def fate(self, key: str, key_seq: int) -> Fate:
        """What the journal has durably decided about an event."""
        promises = self._promises.get(key, ())
        return promises[key_seq - 1].fate if key_seq <= len(promises) else Fate.LIVE

    def opened(self, journal: Journal, rows: Mapping[str, Sequence[Delivery]], now_us: int) -> None:
        """Raises ViolationError when a newly opened journal breaks a promise. `rows` are the audit's, by key.

        What came back without having been promised (written, and its sync not seen to its end) is one now.
        """
        self._unsynced.clear()
        self._undecided.clear()
        self._accepted_us = max([self._accepted_us, *(each.accepted_us for each in journal.recovered)])
        self.seen(now_us)
        recovered = {(each.key, each.key_seq): each for each in journal.recovered}
        for key, promises in self._promises.items():
            counter, mark = journal.last(key)
            if counter < len(promises):
                raise ViolationError(f"{key}: opened with counter {counter}, {len(promises)} were given")
            if mark > len(rows.get(key, ())):
                raise ViolationError(f"{key}: opened as settled up to {mark}, the audit has less")
            for key_seq in range(mark + 1, len(promises) + 1):
                _compare(promises[key_seq - 1], recovered.get((key, key_seq)), f"{key}:{key_seq}")
        for webhook_id, accepted in self._known.items():
            known = journal.lookup(self._source, webhook_id)
            if self._seen_us - accepted.accepted_us < self._retention_us and (
                known is None or known.jno < accepted.jno
            ):
                raise ViolationError(f"{webhook_id}: accepted, synced, and not known any more when opened")
        for delivery in journal.recovered:
            promises = self._promises.setdefault(delivery.key, [])
            if delivery.key_seq > len(promises):
                self._promise([delivery])
            promises[delivery.key_seq - 1].fate = Fate(delivery.fate)


def _compare(promise: _Promise, found: Delivery | None, name: str) -> None:
    if found is None:
        raise ViolationError(f"{name}: accepted and synced, neither settled nor there when opened")
    if found.event_id != promise.event_id:
        raise ViolationError(f"{name}: another event when opened than was accepted")
    if promise.fate != Fate.LIVE and found.fate != promise.fate:
        raise ViolationError(f"{name}: its fate {promise.fate.name} was synced and is gone when opened")
