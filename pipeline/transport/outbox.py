"""What a node wants from the network, collected while it thinks: frames to send, links to open and close.

The core never touches a socket: whoever drives it takes these actions and carries them out, a ZeroMQ loop
or the in-memory network alike. Messages to one peer within one turn share one frame, so batching costs no
waiting: what is there goes.
"""

from __future__ import annotations

from msgspec import Struct

from pipeline import limits
from pipeline.transport.wire import NO_SESSION, Message, Session, encode_frame


class ToDown(Struct, frozen=True):
    """A downstream worker, on the link of one session."""

    ordinal: int
    session: Session


class ToAsk(Struct, frozen=True):
    """An audit worker, on the way of questions."""

    ordinal: int


class ToUp(Struct, frozen=True):
    """An upstream peer, by the address its frames came from."""

    address: bytes


Target = ToDown | ToAsk | ToUp


class Opened(Struct, frozen=True):
    target: ToDown


class Closed(Struct, frozen=True):
    target: ToDown


class Sent(Struct, frozen=True):
    target: Target
    data: bytes


Act = Opened | Closed | Sent


class Outbox:
    """Collects actions in order; `take` hands them over."""

    __slots__ = ("_acts", "_pending")

    def __init__(self) -> None:
        self._acts: list[Act] = []
        self._pending: dict[tuple[Target, Session], list[Message]] = {}

    def open(self, target: ToDown) -> None:
        self._acts.append(Opened(target))

    def close(self, target: ToDown) -> None:
        self._pending.pop((target, target.session), None)
        self._acts.append(Closed(target))

    def send(self, target: Target, message: Message, session: Session = NO_SESSION) -> None:
        address = (target, session)
        pending = self._pending.get(address)
        if pending is None:
            self._pending[address] = [message]
        else:
            pending.append(message)
            if len(pending) >= limits.MAX_BATCH_MESSAGES:
                self._flush(address)

    def take(self) -> list[Act]:
        """All actions since the last call, in an order in which they can be carried out."""
        for address in list(self._pending):
            self._flush(address)
        acts, self._acts = self._acts, []
        return acts

    def _flush(self, address: tuple[Target, Session]) -> None:
        target, session = address
        self._acts.append(Sent(target, encode_frame(session, self._pending.pop(address))))
