"""The audit store's protocol and its one rule: who may be appended, in which words it is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pipeline.delivery import ORIGIN, Delivery, Tail
from pipeline.errors import MissingError


class AuditFullError(MissingError):
    """There is no space for the batch; nothing of it was committed, and later it may be."""


class Judged(NamedTuple):
    """The answer to one delivery. `settled`: its event is audited (now or before); otherwise it was
    refused. `last` is the key's last committed key_seq after it, `event_id` that of row `last` (empty: no
    row). `appended`: this delivery became a row just now.
    """

    settled: bool
    last: int
    event_id: bytes
    appended: bool = False
    unreadable: bool = False
    """Refused before the store saw it: its own bytes are no event, decision or fills."""


class Head(NamedTuple):
    """What the store remembers of a key: its last row's number, digests and identity."""

    last: int
    a: bytes
    x: bytes
    event_id: bytes


NO_ROWS = Head(0, ORIGIN, ORIGIN, b"")


class AuditStore(Protocol):
    """The durable judge of a pipeline. One writer; every engine passes the same contract suite."""

    def append(self, batch: Sequence[Delivery]) -> list[Judged]:
        """Judge each delivery in order and commit what fits, all in one durable transaction.

        A row is appended only if its key_seq is its key's last + 1, it builds on the recorded digests, and
        its event has no row of this key yet; rows of one key chain inside the batch. What is committed
        already answers settled. Raises MissingError when the store cannot commit, AuditFullError where
        only space is missing; then nothing of the batch is.
        """

    def tail(self, key: str) -> Tail:
        """Everything a worker needs to go on with `key`."""

    def lasts(self, keys: Sequence[str]) -> list[int]:
        """The last committed key_seq of each of `keys`; 0 for one without a row."""

    def close(self) -> None: ...


def fits(delivery: Delivery, head: Head) -> bool:
    """Whether the delivery is its key's next and builds on what is recorded."""
    return delivery.key_seq == head.last + 1 and delivery.a_prev == head.a and delivery.x_prev == head.x


def head_of(delivery: Delivery) -> Head:
    """The key's head once `delivery` is its last row."""
    return Head(delivery.key_seq, delivery.a, delivery.x, delivery.event_id)


def has_states(delivery: Delivery) -> bool:
    """Whether both states came with it, so that a rebuild can start here."""
    return bool(delivery.agent_state and delivery.exec_state)


def without_surplus_states(delivery: Delivery, state_every: int) -> Delivery:
    """States are kept on every `state_every`-th row of a key only."""
    if not (delivery.agent_state or delivery.exec_state) or delivery.key_seq % state_every == 0:
        return delivery
    fields = {name: getattr(delivery, name) for name in delivery.__struct_fields__}
    return Delivery(**{**fields, "agent_state": b"", "exec_state": b""})
