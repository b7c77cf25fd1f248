"""The audit's own work on a row: its outcome, the store's judgement, and what that took."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pipeline.clock import no_time
from pipeline.delivery import Delivery
from pipeline.messages import Outcome, decode_decision, decode_fills
from pipeline.storage.audit.store import AuditFullError, AuditStore, Judged
from pipeline.telemetry.events import EventID
from pipeline.telemetry.recorder import Recorder
from pipeline.trading.outcome import outcome
from pipeline.transport.steps import Hand

log = logging.getLogger(__name__)

REFUSED = Judged(False, 0, b"")
UNREADABLE = Judged(False, 0, b"", unreadable=True)
# Plain ints: looking a member up in an enumeration costs more than the entry.
AUDIT_WRITE = int(EventID.AUDIT_WRITE)
OUTCOME = int(EventID.OUTCOME)
OUTCOME_INDEX = {name: index for index, name in enumerate(Outcome)}


class Appender:
    """Completes rows with their outcome, has the store judge them, and measures that."""

    def __init__(
        self,
        store: AuditStore,
        hand: Hand,
        recorder: Recorder,
        clock_ns: Callable[[], int],
        on_appended: Callable[[], None] = lambda: None,
        wall_us: Callable[[], int] = no_time,
    ) -> None:
        """`on_appended` is called after a batch that made rows; it must not wait for anything. `wall_us`
        tells when a row was written, just before its commit: the row's bytes are chained, so nothing later
        is in them."""
        self._wall_us = wall_us
        self._on_appended = on_appended
        self._store = store
        self._hand = hand
        self._recorder = recorder
        self._clock_ns = clock_ns
        self._full = False

    def append(self, batch: Sequence[Delivery]) -> Sequence[Judged]:
        started_ns = self._clock_ns()
        now_us = self._wall_us()
        readable = [delivery for delivery in batch if self._complete(delivery, now_us)]
        self._hand.clear()
        judged = self._judged(readable)
        if len(readable) < len(batch):
            answers = iter(judged)
            known = set(map(id, readable))
            judged = [next(answers) if id(delivery) in known else UNREADABLE for delivery in batch]
        duration_ns = self._clock_ns() - started_ns
        record, count = self._recorder.record, self._recorder.count
        if any(word.appended for word in judged):
            self._on_appended()
        for delivery, word in zip(batch, judged, strict=True):
            if word.settled and word.appended:
                record(AUDIT_WRITE, duration_ns, int.from_bytes(delivery.event_id[:4]))
                count(OUTCOME, 1, OUTCOME_INDEX[Outcome(delivery.outcome)])
        return judged

    def _judged(self, batch: Sequence[Delivery]) -> Sequence[Judged]:
        """On a full disk all are refused: the gateway keeps them, and sends them again. To end instead would
        spend the restarts that the supervisor grants, and with them the whole pipeline."""
        try:
            judged: Sequence[Judged] = self._store.append(batch)
        except AuditFullError as error:
            if not self._full:
                log.error("%s; rows are refused, and sent again, until there is space", error)
            self._full = True
            return [REFUSED] * len(batch)
        if self._full:
            log.warning("there is space again: rows are written")
            self._full = False
        return judged

    def _complete(self, delivery: Delivery, now_us: int) -> bool:
        """Fills in the outcome and the time. Only here are an event's own bytes touched one by one: the note
        names the culprit should they kill this process; where they cannot be read, the row alone is
        refused."""
        try:
            self._hand.note(delivery.key, delivery.key_seq)
            delivery.outcome = _outcome(delivery)
            delivery.audited_us = now_us
        except Exception as error:
            log.error(
                "row %.40s:%d cannot be read: %s: %s",
                delivery.key, delivery.key_seq, type(error).__name__, error,
            )  # fmt: skip
            return False
        return True


def _outcome(delivery: Delivery) -> str:
    if not delivery.live:
        return outcome(delivery.fate, None, None)
    return outcome(delivery.fate, decode_decision(delivery.decision), decode_fills(delivery.fills))
