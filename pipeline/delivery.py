"""What travels from gateway to audit: one envelope that every stage fills further, and its digests.

    gateway   key key_seq event_id source webhook_id accepted_us fate payload traceparent checks
              synced_us dispatched_us
    agent     + code decision a_prev a [agent_state] decided_us
    exec      + fills x_prev x [exec_state] executed_us
    audit     + outcome audited_us, and the row is complete

The audit's chain runs over the bytes of the complete envelope, so what was decided, on what, and from
which state is one tamper-evident record.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pipeline import limits
from pipeline.messages import Fate

KeyText = Annotated[str, Meta(min_length=1, max_length=limits.MAX_SYMBOL_CHARS)]
"""Checked where bytes come in: a longer one is no message of ours."""
DIGEST_BYTES = 32
ORIGIN = bytes(DIGEST_BYTES)
"""The digest before a key's first event."""


class Delivery(Struct, array_like=True, gc=False):
    """One event of one key on its way; the fields a stage has not reached yet are empty.

    `payload` is an encoded `messages.Event`, `decision` a `messages.Decision`, `fills` a
    `messages.Fills`, each kept as the bytes that were digested. `agent_state` and `exec_state` are filled
    every Nth row only. `source`, `webhook_id`, `accepted_us` and `event_id` identify, they decide nothing
    but a signal's clock (`accepted_us`, microseconds, never falling within a key). `traceparent` is the
    sender's W3C trace context, empty where it gave none, `checks` an encoded `checks.Checks`.

    The times at the end are wall clocks in microseconds, each of the machine that did the work: when the
    journal had the event on disk, when the gateway sent it, when agent and exec were done with it, when the
    audit wrote it. 0 is not recorded: of an older version, or synced before a restart. They tell of this
    copy's way, are in no digest, and nothing is decided by them.
    """

    key: KeyText
    key_seq: int
    event_id: bytes
    source: str
    webhook_id: str
    accepted_us: int
    fate: int
    payload: bytes
    code: str = ""
    decision: bytes = b""
    a_prev: bytes = b""
    a: bytes = b""
    agent_state: bytes = b""
    fills: bytes = b""
    x_prev: bytes = b""
    x: bytes = b""
    exec_state: bytes = b""
    outcome: str = ""
    traceparent: str = ""
    checks: bytes = b""
    synced_us: int = 0
    dispatched_us: int = 0
    decided_us: int = 0
    executed_us: int = 0
    audited_us: int = 0

    @property
    def live(self) -> bool:
        """False for a tombstone: an identity step at every stage."""
        return self.fate == Fate.LIVE


class Tail(Struct, array_like=True, gc=False):
    """All that is recorded of a key: the answer to `STATE?`.

    `last` is its last committed key_seq (0: none), `a` and `x` its digests. `stored_seq` is the key_seq
    whose states are stored (0: none; then the states are empty and `rows` start at 1), `rows` the complete
    deliveries after it, in order.
    """

    key: str
    last: int
    a: bytes = ORIGIN
    x: bytes = ORIGIN
    stored_seq: int = 0
    agent_state: bytes = b""
    exec_state: bytes = b""
    rows: tuple[Delivery, ...] = ()
    event_id: bytes = b""
    """Of `last`."""


_delivery = msgspec.msgpack.Decoder(Delivery)
_encode = msgspec.msgpack.Encoder().encode


def encode_delivery(delivery: Delivery) -> bytes:
    return _encode(delivery)


def decode_delivery(data: bytes) -> Delivery:
    return _delivery.decode(data)


def agent_digest(a_prev: bytes, key_seq: int, fate: int, payload: bytes, decision: bytes) -> bytes:
    """a' = H(a, key_seq, payload, decision with its inputs).

    Lengths are hashed before contents, so no two different inputs share their bytes.
    """
    head = b"a%d,%d,%d,%d;" % (key_seq, fate, len(payload), len(decision))
    return hashlib.sha256(b"".join((a_prev, head, payload, decision))).digest()


def exec_digest(x_prev: bytes, key_seq: int, a: bytes, fills: bytes) -> bytes:
    """x' = H(x, key_seq, a', fills)."""
    return hashlib.sha256(b"".join((x_prev, b"x%d,%d;" % (key_seq, len(fills)), a, fills))).digest()
