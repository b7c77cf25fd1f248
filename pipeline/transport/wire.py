"""The messages of a link and their byte form.

One frame is one ZeroMQ message: `[session, [message, …]]` in msgpack, every message an array that starts
with its number. A session is `(boot, n)`: the sender's incarnation (its start, wall-clock µs) and a count,
so that a later session of one sender compares greater. Questions (`Ask`, `State`) belong to no session.

    sender → receiver    Hello  Ping  Msg  Ask
    receiver → sender    Welcome  Pong  Reset  Done  Settled  Refused  Died  Goodbye  State

A field is only ever appended, with a default, and unknown ones are ignored, so that versions N and N−1 talk:
Hello and Welcome tell each side's version, and a link speaks the lower one (`spoken`). What an earlier
version cannot read must not be sent on such a link.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pipeline import limits
from pipeline.delivery import Delivery, Tail
from pipeline.errors import FrameError

Session = tuple[int, int]
NO_SESSION: Session = (0, 0)
PROTOCOL_VERSION = 1


class Hello(Struct, array_like=True, tag=1, gc=False, frozen=True):
    """Opens a session; cancels an older one of the same sender."""

    sender: Annotated[str, Meta(max_length=limits.MAX_NAME_CHARS)]
    version: int = PROTOCOL_VERSION


class Welcome(Struct, array_like=True, tag=2, gc=False, frozen=True):
    """Accepts a session. `died` is what the receiver's dead predecessor had in hand: (key, key_seq)."""

    boot: int
    credit: int
    leaving: bool
    died: tuple[str, int] | None = None
    version: int = PROTOCOL_VERSION


class Ping(Struct, array_like=True, tag=3, gc=False, frozen=True):
    """`link_seq`: the last message sent; a receiver that has fewer has lost some."""

    link_seq: int


class Pong(Struct, array_like=True, tag=4, gc=False, frozen=True):
    """`ack_seq`: the last acknowledgement sent."""

    boot: int
    ack_seq: int


class Msg(Struct, array_like=True, tag=5, gc=False):
    link_seq: int
    delivery: Delivery


class Ask(Struct, array_like=True, tag=6, gc=False, frozen=True):
    """`STATE?` of the protocol."""

    question: int
    key: str


class State(Struct, array_like=True, tag=7, gc=False, frozen=True):
    question: int
    tail: Tail


class AskLasts(Struct, array_like=True, tag=14, gc=False, frozen=True):
    """The gateway asks an audit worker which incarnation it is, and for the last key_seq of each of `keys`.

    One of the version before takes it for a stranger's bytes.
    """

    question: int
    keys: tuple[str, ...]


class Lasts(Struct, array_like=True, tag=15, gc=False, frozen=True):
    """`lasts`: of the keys that were asked for, in their order."""

    question: int
    boot: int
    lasts: tuple[int, ...]


class Done(Struct, array_like=True, tag=8, gc=False, frozen=True):
    """The receiver finished its own work on a message; ends its lag and nothing else."""

    ack_seq: int
    link_seq: int


class Settled(Struct, array_like=True, tag=9, gc=False, frozen=True):
    """Audited: every event of `key` up to `last`, of those sent up to `upto`. Returns their credit."""

    ack_seq: int
    key: str
    last: int
    upto: int
    event_id: bytes
    """Of `last`, where the receiver knows it; else empty."""


class Refused(Struct, array_like=True, tag=10, gc=False, frozen=True):
    """Undone: every message of `key` sent up to `upto`. Returns their credit."""

    ack_seq: int
    key: str
    upto: int


class Died(Struct, array_like=True, tag=11, gc=False, frozen=True):
    """A worker died with this event in hand; passed up unchanged."""

    ack_seq: int
    key: str
    key_seq: int
    worker: str
    boot: int


class Goodbye(Struct, array_like=True, tag=12, gc=False, frozen=True):
    """No new keys; what is in flight will be finished."""

    ack_seq: int


class Reset(Struct, array_like=True, tag=13, gc=False, frozen=True):
    """The session is unknown or has a gap: it is over."""

    boot: int


def spoken(version: int) -> int:
    """The version of a link whose other end knows `version`."""
    return min(version, PROTOCOL_VERSION)


Message = (
    Hello
    | Welcome
    | Ping
    | Pong
    | Msg
    | Ask
    | State
    | Done
    | Settled
    | Refused
    | Died
    | Goodbye
    | Reset
    | AskLasts
    | Lasts
)
Acknowledgement = Done | Settled | Refused | Died | Goodbye


class Frame(Struct, array_like=True, gc=False):
    session: Session
    messages: Annotated[list[Message], Meta(max_length=limits.MAX_FRAME_MESSAGES)]


_decoder = msgspec.msgpack.Decoder(Frame)
_encode = msgspec.msgpack.Encoder().encode


def encode_frame(session: Session, messages: list[Message]) -> bytes:
    return _encode((session, messages))


def decode_frame(data: bytes) -> Frame:
    """Raises FrameError when `data` is too large or not a frame of ours."""
    if len(data) > limits.MAX_FRAME_BYTES:
        raise FrameError(f"frame of {len(data)} bytes; the limit is {limits.MAX_FRAME_BYTES}")
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FrameError(f"frame of {len(data)} bytes is no message of ours: {error}") from None
