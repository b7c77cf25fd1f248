"""An audit store in memory: the rules of the real ones without a disk. Public, for tests and simulations."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import limits
from pipeline.delivery import Delivery, Tail, decode_delivery, encode_delivery
from pipeline.storage.audit.chain import START, Link, link_hash
from pipeline.storage.audit.rows import StoredRow, tail_of
from pipeline.storage.audit.store import (
    NO_ROWS,
    Head,
    Judged,
    fits,
    has_states,
    head_of,
    without_surplus_states,
)


class MemoryAuditStore:
    """An `AuditStore` that forgets everything with its process."""

    def __init__(self, state_every: int = limits.STATE_EVERY_ROWS) -> None:
        self._state_every = state_every
        self._heads: dict[str, Head] = {}
        self._bodies: dict[str, list[bytes]] = {}
        self._events: set[tuple[bytes, str]] = set()
        self.rows: list[StoredRow] = []
        """Every row, in the order of the chain."""
        self.chain: Link = START

    def append(self, batch: Sequence[Delivery]) -> list[Judged]:
        """See `AuditStore.append`."""
        return [self._judge(delivery) for delivery in batch]

    def tail(self, key: str) -> Tail:
        """See `AuditStore.tail`."""
        rows = [decode_delivery(body) for body in self._bodies.get(key, ())]
        stored = next((row.key_seq for row in reversed(rows) if has_states(row)), 0)
        return tail_of(key, rows[max(0, stored - 1) :])

    def lasts(self, keys: Sequence[str]) -> list[int]:
        """See `AuditStore.lasts`."""
        return [self._heads.get(key, NO_ROWS).last for key in keys]

    def close(self) -> None:
        """Nothing to let go of."""

    def _judge(self, delivery: Delivery) -> Judged:
        key = delivery.key
        head = self._heads.get(key, NO_ROWS)
        if delivery.key_seq <= head.last:
            return Judged(True, head.last, head.event_id)
        if not fits(delivery, head) or (delivery.event_id, key) in self._events:
            return Judged(False, head.last, head.event_id)
        self._store(without_surplus_states(delivery, self._state_every))
        return Judged(True, delivery.key_seq, delivery.event_id, True)

    def _store(self, kept: Delivery) -> None:
        body = encode_delivery(kept)
        seq = self.chain.seq + 1
        self.chain = Link(seq, link_hash(seq, self.chain.h, body))
        self.rows.append(StoredRow.of(seq, self.chain.h, kept, body))
        self._bodies.setdefault(kept.key, []).append(body)
        self._heads[kept.key] = head_of(kept)
        self._events.add((kept.event_id, kept.key))
