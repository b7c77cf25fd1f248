"""Raw body → event. What is not JSON is malformed (400); what is JSON but no event of ours is invalid (422).

msgspec does the work in one pass. It keeps the last of duplicate keys, where another reader would keep
the first, so a second pass by the standard library's scanner refuses them; the count of a
candle's quotation marks mostly tells as much. Which of several faults is reported does not depend on which
came first in the text: malformed always wins.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, NoReturn, Protocol

import msgspec

from pipeline import limits
from pipeline.errors import InvalidEventError
from pipeline.messages import Action, Candle, CandleIn, ControlIn, Event, EventIn, encode
from pipeline.stages.gateway.native import Counted, ReadCandle, native

TRADING = "trading"
"""The aspect of the control state that halt, flatten and resume set."""
MAX_SHOWN_CHARS = 64
"""Of a value that is at fault, in the answer."""


class MalformedEventError(InvalidEventError):
    """The body is not well-formed JSON (UTF-8, no duplicate keys, no NaN, not nested too deeply)."""

    def __init__(self, detail: str) -> None:
        super().__init__("body", detail)


class Instruments(Protocol):
    """What turns decimal text into scaled integers: `pipeline.trading.instruments`."""

    def inside(self, event_in: EventIn) -> Event:
        """Raises InvalidEventError naming field, value and limit."""


class Parsed(NamedTuple):
    """An event, ready for the journal. `key` is its symbol, None for a control event. `time_us` is a candle's
    close, 0 of any other event.

    `births` is what a control event leaves in force for keys first seen later, by aspect: a payload they
    begin with, or nothing (empty) any more.
    """

    key: str | None
    payload: bytes
    births: dict[str, bytes] | None
    time_us: int = 0


class Parser:
    """Parses bodies against one set of instruments."""

    __slots__ = ("_counted", "_default", "_inside", "_read")

    def __init__(self, instruments: Instruments, read: ReadCandle | None = native.candle) -> None:
        """`read`: see `native`; None: all in Python."""
        self._inside = instruments.inside
        self._counted: dict[str, Counted] | None = getattr(instruments, "counted", None)
        self._default: Counted = getattr(instruments, "counted_default", (0, 0, 1))
        self._read = read if self._counted is not None else None

    def parse(self, body: bytes) -> Parsed:
        """Raises MalformedEventError (400) or InvalidEventError (422)."""
        if self._read is not None and self._counted is not None:
            found = self._read(body, self._counted, self._default)
            if found is not None:
                return Parsed(found[0], found[1], None, found[2])
        try:
            event_in = _decode(body)
        except (ValueError, RecursionError) as error:
            _refuse(body, error)
        if type(event_in) is CandleIn and _is_plain(event_in, body):
            try:
                return self._candle(event_in)
            except InvalidEventError:
                _refuse_malformed(body)
                raise
        _refuse_malformed(body)
        if type(event_in) is CandleIn:
            return self._candle(event_in)
        payload = encode(self._inside(event_in))
        if type(event_in) is ControlIn:
            # A flatten halts as well; only a resume ends it, and then a new key has nothing to inherit.
            return Parsed(None, payload, {TRADING: b"" if event_in.action is Action.RESUME else payload})
        return Parsed(_key(event_in), payload, None)

    def _candle(self, candle_in: CandleIn) -> Parsed:
        event = self._inside(candle_in)
        return Parsed(candle_in.symbol, encode(event), None, event.time_us if type(event) is Candle else 0)


_LEAST_QUOTES = 4 * 7
"""Of a candle that leaves out its volume: its type and six fields, each a name and a text in quotes."""


_NO_VOLUME: str = CandleIn.__struct_defaults__[-1]


def _is_plain(candle: CandleIn, body: bytes) -> bool:
    """Whether `body`, decoded as `candle`, is certainly well-formed JSON with no key twice.

    Every member of a candle takes four quotation marks, for without a backslash none is inside a text.
    msgspec has found all the required members, so with no more marks than those take there is no other
    member; and a volume other than the default was given, so the eighth member is that.
    """
    if b"\\" in body or not candle.time.isprintable():
        return False
    more = body.count(b'"') - _LEAST_QUOTES
    return more == 0 or (more == 4 and candle.volume != _NO_VOLUME)


def _refuse_malformed(body: bytes) -> None:
    """Raises MalformedEventError for what msgspec lets pass."""
    try:
        _scan(body.decode())
    except ValueError as error:
        raise MalformedEventError(str(error)) from None


def scan(body: bytes) -> Any:
    """Any JSON document, its numbers as the text they were written in. Raises MalformedEventError."""
    try:
        text = body.decode()
        msgspec.json.decode(body)
        document = _scan(text)
    except UnicodeDecodeError as fault:
        raise MalformedEventError(f"not UTF-8 at byte {fault.start}") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as fault:
        raise MalformedEventError(_lowered(_AT.sub("", str(fault)))) from None
    if _depth(document) > limits.MAX_JSON_DEPTH:
        raise _too_deep()
    return document


def _too_deep() -> MalformedEventError:
    return MalformedEventError(f"nested deeper than {limits.MAX_JSON_DEPTH} levels")


def key_of(body: bytes) -> str | None:
    """The key of a body that was accepted before: needs no instruments, which may have changed since.

    None also where an older version accepted what this one would not.
    """
    try:
        return _key(_decode(body))
    except ValueError:
        return None


def _key(event_in: EventIn) -> str | None:
    return None if type(event_in) is ControlIn else event_in.symbol  # type: ignore[union-attr]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {_shown(twice)} is given twice")
    return members


_event_decoder: msgspec.json.Decoder[EventIn] = msgspec.json.Decoder(EventIn)
_decode = _event_decoder.decode
_scan = json.JSONDecoder(object_pairs_hook=_unique, parse_int=str, parse_float=str).decode


def _refuse(body: bytes, error: ValueError | RecursionError) -> NoReturn:
    """Says what is wrong with `body`, all of it considered. Off the hot path."""
    _explain(scan(body), str(error))


_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_FIELD = re.compile(r"field `([^`]*)`$")


def _explain(document: Any, text: str) -> NoReturn:
    """Turns msgspec's message into field, fault and value."""
    at, named = _AT.search(text), _FIELD.search(text)
    field = (at and at[1]) or (named and named[1]) or "event"
    detail = _lowered(_AT.sub("", text))
    if field == "type":
        detail += "; allowed: candle, signal, control"
    if isinstance(document, dict) and field in document:
        detail += f"; was {_shown(document[field])}"
    raise InvalidEventError(field, detail)


def _depth(document: Any) -> int:
    """How deeply `document` is nested, by levels and not by recursion."""
    depth, level = 0, [document]
    while level:
        containers = [item for item in level if isinstance(item, dict | list)]
        level = [
            value for item in containers for value in (item.values() if isinstance(item, dict) else item)
        ]
        depth += bool(containers)
    return depth


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def _lowered(text: str) -> str:
    """As the second half of a sentence; names like JSON keep their capitals."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
