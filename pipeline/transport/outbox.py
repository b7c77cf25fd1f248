"""What a node wants from the network, collected while it thinks: frames to send, links to open and close.

The core never touches a socket: whoever drives it takes these actions and carries them out, a ZeroMQ loop
or the in-memory network alike. Messages to one peer within one turn share one frame, so batching costs no
waiting: what is there goes.
"""

from __future__ import annotations

from msgspec import Struct

from pipeline import limits
from pipeline.transport.wire import NO_SESSION, Message, Session, encode_frame


class ToDown(Struct, frozen=True, gc=False):
    """A downstream worker, on the link of one session."""

    ordinal: int
    session: Session


class ToAsk(Struct, frozen=True, gc=False):
    """An audit worker, on the way of questions."""

    ordinal: int


class ToUp(Struct, frozen=True, gc=False):
    """An upstream peer, by the address its frames came from."""

    address: bytes


Target = ToDown | ToAsk | ToUp


class Opened(Struct, frozen=True, gc=False):
    target: ToDown


class Closed(Struct, frozen=True, gc=False):
    target: ToDown


class Sent(Struct, frozen=True, gc=False):
    target: Target
    data: bytes


Act = Opened | Closed | Sent


class Outbox:
    """Collects actions in order; `take` hands them over."""

    __slots__ = ("_acts", "_last", "_last_session", "_last_target", "_pending")

    def __init__(self) -> None:
        self._acts: list[Act] = []
        self._pending: dict[tuple[Target, Session], list[Message]] = {}
        # Most messages go where the one before went: then nothing is hashed.
        self._last: list[Message] = []
        self._last_target: Target | None = None
        self._last_session = NO_SESSION

    def open(self, target: ToDown) -> None:
        self._acts.append(Opened(target))

    def close(self, target: ToDown) -> None:
        self._last_target = None
        self._pending.pop((target, target.session), None)
        self._acts.append(Closed(target))

    def send(self, target: Target, message: Message, session: Session = NO_SESSION) -> None:
        if target is self._last_target and session is self._last_session:
            pending = self._last
            pending.append(message)
        else:
            pending = self._pending.setdefault((target, session), [])
            pending.append(message)
            self._last, self._last_target, self._last_session = pending, target, session
        if len(pending) >= limits.MAX_BATCH_MESSAGES:
            self._flush((target, session))

    def take(self) -> list[Act]:
        """All actions since the last call, in an order in which they can be carried out."""
        for address in list(self._pending):
            self._flush(address)
        acts, self._acts = self._acts, []
        return acts

    def _flush(self, address: tuple[Target, Session]) -> None:
        self._last_target = None
        self._pack(*address, self._pending.pop(address))

    def _pack(self, target: Target, session: Session, messages: list[Message]) -> None:
        """One frame, or more where one would be larger than a receiver takes."""
        data = encode_frame(session, messages)
        if len(data) > limits.MAX_FRAME_BYTES and len(messages) > 1:
            half = len(messages) // 2
            self._pack(target, session, messages[:half])
            self._pack(target, session, messages[half:])
        else:
            self._acts.append(Sent(target, data))
