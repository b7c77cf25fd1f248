"""A row as stored: the body, and beside it the columns that queries ask for."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct

from pipeline.delivery import Delivery, Tail, decode_delivery
from pipeline.errors import DamagedError
from pipeline.storage.audit.store import has_states

COLUMNS = "seq, key, key_seq, event_id, accepted_us, outcome, stored, h, body"


class StoredRow(NamedTuple):
    """One row of the table. `stored`: 1 where both states came with it. `h` ends the chain so far."""

    seq: int
    key: str
    key_seq: int
    event_id: bytes
    accepted_us: int
    outcome: str
    stored: int
    h: bytes
    body: bytes

    @classmethod
    def of(cls, seq: int, h: bytes, delivery: Delivery, body: bytes) -> StoredRow:
        """The row that holds `delivery`, whose encoded bytes are `body`."""
        return cls(
            seq,
            delivery.key,
            delivery.key_seq,
            delivery.event_id,
            delivery.accepted_us,
            delivery.outcome,
            1 if has_states(delivery) else 0,
            h,
            body,
        )


class AuditRow(Struct, frozen=True):
    """A row as read: its place and hash in the chain, and all that is recorded of the event."""

    seq: int
    h: bytes
    delivery: Delivery

    @classmethod
    def of(cls, audit: str, seq: int, h: bytes, body: bytes) -> AuditRow:
        """From what is stored in `audit`, named for people. Raises DamagedError."""
        try:
            return cls(seq, h, decode_delivery(body))
        except msgspec.MsgspecError as error:
            raise DamagedError(f"audit {audit}: row {seq} cannot be read: {error}") from None


def tail_of(key: str, rows: list[Delivery]) -> Tail:
    """The tail from the rows of `key` since its last stored states, that row included (all, if none)."""
    if not rows:
        return Tail(key, 0)
    last, base = rows[-1], rows[0]
    if not has_states(base):
        return Tail(key, last.key_seq, last.a, last.x, rows=tuple(rows), event_id=last.event_id)
    return Tail(
        key, last.key_seq, last.a, last.x, base.key_seq, base.agent_state, base.exec_state,
        tuple(rows[1:]), last.event_id,
    )  # fmt: skip
