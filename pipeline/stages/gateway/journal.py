"""What the intake needs of a journal: `pipeline.storage.journal` is one on disk, `fake` one in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pipeline.delivery import Delivery


class Known(Protocol):
    """An event that was accepted before under the same source and webhook-id."""

    @property
    def fingerprint(self) -> bytes:
        """As it was given to `accept`."""

    @property
    def event_id(self) -> bytes: ...

    @property
    def synced(self) -> bool:
        """Whether it is on disk; until then nobody may be told that it was accepted."""


class Accepted(Protocol):
    """An event that was just appended. `deliveries` may go out once `sync()` has returned `jno` or more.

    The last delivery of an event with a key is its own; one before it is the control state that its key,
    first seen now, begins under. A control event has one for every key known so far.
    """

    @property
    def jno(self) -> int: ...

    @property
    def event_id(self) -> bytes: ...

    @property
    def deliveries(self) -> Sequence[Delivery]: ...


class Journal(Protocol):
    """All methods on the event loop's thread but `sync`, which one other thread may run at a time."""

    def lookup(self, source: str, webhook_id: str) -> Known | None:
        """What is known under this id within retention."""

    def accept(
        self,
        source: str,
        webhook_id: str,
        fingerprint: bytes,
        key: str | None,
        payload: bytes,
        births: Mapping[str, bytes] | None = None,
        traceparent: str = "",
        checks: bytes = b"",
    ) -> Accepted:
        """Appends an event; `fingerprint` has 16 bytes. With `key` None it is a control event, and `births`
        says, by aspect, with which payload keys first seen later begin (empty: with none any more).
        `traceparent` and `checks` (see `pipeline.checks`) travel with the event.

        Raises a RinglineError that has `retry_after_s` when it takes nothing for now, and one without when it
        takes nothing until it is opened anew.
        """

    def sync(self) -> int:
        """Writes and syncs all that was appended before the call; the highest jno on disk."""

    @property
    def depth(self) -> int:
        """Deliveries not settled."""

    @property
    def bytes_used(self) -> int: ...

    @property
    def controls(self) -> Mapping[str, bytes]:
        """The control state in force: by aspect, the payload a new key would begin with."""

    @property
    def oldest_accepted_us(self) -> int | None:
        """Accept time of the oldest event not settled."""
