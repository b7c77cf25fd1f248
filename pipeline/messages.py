"""The public message schema: what clients post, what strategies decide, what fills, what ends in a row.

Edge structs (`CandleIn`, …) are JSON with decimal strings, as people type them. Inside, prices and
quantities are integers scaled by the instrument's decimals (`Candle`, …), and times are integer
microseconds since the epoch: nothing is a float, so every run and every machine agrees to the last digit.

Inner structs travel as msgpack arrays. A field is only ever appended, with a default: version N reads
what N−1 wrote and the reverse.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pipeline.outcome import Outcome as Outcome
from pipeline.text import DecimalText, NameText, SymbolText

# ---- words ----------------------------------------------------------------------------------------------

BUY = 1
SELL = -1


class Fate(IntEnum):
    """What the gateway decided about an event before dispatch; all but LIVE travel as tombstones."""

    LIVE = 0
    EXPIRED = 1
    DEAD_LETTERED = 2


class Verdict(IntEnum):
    """What became of one strategy's intent."""

    HELD = 0
    """Nothing to do."""
    ORDERED = 1
    DENIED = 2
    """A limit refused it; the reasons say which."""
    FAILED = 3
    """The strategy misbehaved; the reason says how."""


class Action(StrEnum):
    """What a control event asks for."""

    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"


# ---- edge: JSON as posted -------------------------------------------------------------------------------


class CandleIn(Struct, frozen=True, tag_field="type", tag="candle", forbid_unknown_fields=True):
    """A bar. `time` is its close, RFC 3339 with an offset. The strategies decide on it."""

    symbol: SymbolText
    time: str
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: DecimalText = "0"


class SignalIn(Struct, frozen=True, tag_field="type", tag="signal", forbid_unknown_fields=True):
    """Somebody's decision, as an alert: validated, sized, throttled, executed.

    `side` is buy, sell or close; without `quantity` the configured order size is used; without `price`
    the last close known for the symbol.
    """

    symbol: SymbolText
    side: Annotated[str, Meta(pattern=r"^(buy|sell|close)(?!\n)$")]
    strategy: NameText = "signal"
    quantity: DecimalText | None = None
    price: DecimalText | None = None


class ControlIn(Struct, frozen=True, tag_field="type", tag="control", forbid_unknown_fields=True):
    """Halt, resume or flatten, for every key. Never expires, never dead-lettered."""

    action: Action
    reason: Annotated[str, Meta(max_length=256)] = ""


EventIn = CandleIn | SignalIn | ControlIn

# ---- inside: scaled integers ----------------------------------------------------------------------------


class Candle(Struct, frozen=True, array_like=True, tag="c", gc=False):
    """A bar; prices scaled by the instrument's price decimals, volume by its quantity decimals."""

    symbol: str
    time_us: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class Signal(Struct, frozen=True, array_like=True, tag="s", gc=False):
    """Somebody's decision. `side` is BUY, SELL or 0 (close); 0 for `quantity` or `price` means not given."""

    symbol: str
    strategy: str
    side: int
    quantity: int
    price: int


class Control(Struct, frozen=True, array_like=True, tag="k", gc=False):
    """A control event as one key sees it."""

    action: str
    reason: str


Event = Candle | Signal | Control

# ---- decisions and fills --------------------------------------------------------------------------------


class Leg(Struct, frozen=True, array_like=True, gc=False):
    """One strategy's answer to one event.

    `quantity` (scaled, ≥ 0) and `side` say what was wanted; `price` (scaled) is the reference it was sized
    and throttled on; `reasons` are codes `CATEGORY_CONDITION: key=value …` of every rule that refused it;
    `retry_at_us` is when the largest of them ends (0: unknown or never); `intent` is entry or exit.
    """

    strategy: str
    verdict: int
    side: int = 0
    quantity: int = 0
    price: int = 0
    reasons: tuple[str, ...] = ()
    retry_at_us: int = 0
    intent: str = ""


class Decision(Struct, frozen=True, array_like=True, gc=False):
    """What the agent decided on one event: a leg for each strategy that it concerns.

    `rejected` is the reason code when the event itself was refused (out of order, unusable), else "".
    `inputs` are answers from outside that the decision depended on (a wide throttle scope's), so that a
    replay gives it the same ones. No ids and no accept times: those are not part of what was decided.
    """

    legs: tuple[Leg, ...] = ()
    rejected: str = ""
    inputs: tuple[str, ...] = ()


class Fill(Struct, frozen=True, array_like=True, gc=False):
    """A fill. `order_seq` and `order_leg` name the order: the key_seq of its event and the leg's index.

    `price` is scaled by the price decimals, `quantity` (> 0) by the quantity decimals, `commission` and
    `realised` (profit and loss of what this fill closed, before commission) by both together.
    `position` is the strategy's signed position in this symbol after the fill.
    """

    order_seq: int
    order_leg: int
    strategy: str
    side: int
    quantity: int
    price: int
    commission: int
    realised: int
    position: int
    policy: str


class Cancel(Struct, frozen=True, array_like=True, gc=False):
    """An order, named as in `Fill`, that will not fill in `quantity` (> 0) of what it asked for."""

    order_seq: int
    order_leg: int
    strategy: str
    quantity: int


class Fills(Struct, frozen=True, array_like=True, gc=False):
    """What exec did with one event: fills (also of orders that rested before), orders now resting, and
    what a flatten took back."""

    fills: tuple[Fill, ...] = ()
    resting: int = 0
    cancelled: tuple[Cancel, ...] = ()


_event: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_decision = msgspec.msgpack.Decoder(Decision)
_fills = msgspec.msgpack.Decoder(Fills)
_encode = msgspec.msgpack.Encoder().encode
CONTROL_TAG = b"\xa1k"
"""The first item of an encoded control event."""
_KINDS = {b"\xa1c": "candle", b"\xa1s": "signal", CONTROL_TAG: "control"}


def encode(message: Event | Decision | Fills) -> bytes:
    """The one byte form of an inner message: equal messages give equal bytes."""
    return _encode(message)


def decode_event(payload: bytes) -> Event:
    """The event in `payload`. Raises msgspec.DecodeError or UnicodeDecodeError on foreign bytes."""
    return _event.decode(payload)


def kind_of(payload: bytes) -> str:
    """The kind of an encoded event (`candle`, `signal`, `control`), without decoding it."""
    return _KINDS[payload[1:3]]


def is_control(payload: bytes) -> bool:
    """Whether an encoded event is a control event, without decoding it: its tag is its first item."""
    return payload[1:3] == CONTROL_TAG


def decode_decision(data: bytes) -> Decision:
    return _decision.decode(data)


def decode_fills(data: bytes) -> Fills:
    return _fills.decode(data)
