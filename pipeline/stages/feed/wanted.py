"""A request's query string, checked: every fault names its parameter, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl

from pipeline import limits
from pipeline.errors import RinglineError, UsageError
from pipeline.messages import Outcome
from pipeline.storage.audit.query import CONTROL, Filter, Query
from pipeline.trading.instruments import microseconds

FILTERS = ("key", "outcome", "since", "until", "event_id", "webhook_id", "source", "strategy", "after")
PAGE = (*FILTERS, "order", "limit", "cursor")
FEED = ("from", "after_hash", "key", "outcome", "heartbeat_ms", "delay_ms")
MANY = ("key", "outcome")
"""May be given several times: any of them."""
ORDERS = ("asc", "desc")
OUTCOMES = (*map(str, Outcome), CONTROL)
DEFAULT_LIMIT = 100


class ParameterError(UsageError):
    """One parameter is wrong; `field` names it."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}{detail}")
        self.field = field


Parameters = dict[str, list[str]]


class PageWanted(NamedTuple):
    query: Query
    limit: int
    cursor: str
    """Empty: from the beginning."""


class FeedWanted(NamedTuple):
    start: int | None
    """The first row wanted; None: what settles from now on."""
    after_hash: bytes
    """The hash of the row before `start` as the client knows it; empty: it does not say."""
    wanted: Filter
    heartbeat_ms: int
    delay_ms: int = 0
    """Rows may wait so long for others."""


def parameters(query_string: bytes, known: Iterable[str]) -> Parameters:
    """By name. Raises ParameterError for one that is unknown, empty or given twice."""
    if len(query_string) > limits.MAX_QUERY_CHARS:
        detail = f": {len(query_string)} characters; the limit is {limits.MAX_QUERY_CHARS}"
        raise ParameterError("query", detail)
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", strict_parsing=True
        ) if query_string else []  # fmt: skip
    except ValueError:
        raise ParameterError("query", f" = {query_string[:64]!r}: is no query string of UTF-8") from None
    found: Parameters = {}
    names = tuple(known)
    for name, value in pairs:
        if not name:
            raise ParameterError("query", f" = {query_string[:64]!r}: has a value without a name")
        if name not in names:
            raise ParameterError(name[:64], f": unknown; here are {', '.join(names)}")
        if not value or "\0" in value or len(value) > limits.MAX_WEBHOOK_ID_CHARS:
            raise ParameterError(
                name, f" = {value[:64]!r}: expected 1 to {limits.MAX_WEBHOOK_ID_CHARS} characters"
            )
        values = found.setdefault(name, [])
        values.append(value)
        most = limits.MAX_FEED_FILTERS if name in MANY else 1
        if len(values) > most:
            raise ParameterError(name, f": given {len(values)} times; the limit is {most}")
    return found


def page_wanted(query_string: bytes) -> PageWanted:
    """Of a query. Raises ParameterError."""
    given = parameters(query_string, PAGE)
    order = _choice(given, "order", ORDERS, "asc")
    query = Query(_filter(given), newest_first=order == "desc")
    limit = _number(given, "limit", 1, limits.MAX_PAGE_ROWS)
    return PageWanted(query, DEFAULT_LIMIT if limit is None else limit, given.get("cursor", [""])[0])


def feed_wanted(query_string: bytes, heartbeat_ms: int) -> FeedWanted:
    """Of a feed; `heartbeat_ms` unless it asks for another. Raises ParameterError."""
    given = parameters(query_string, FEED)
    beat = _number(given, "heartbeat_ms", limits.MIN_FEED_HEARTBEAT_MS, 60_000)
    start = _number(given, "from", 1, 2**62)
    after_hash = _hexadecimal(given, "after_hash", 32)
    if after_hash and start is None:
        raise ParameterError("after_hash", ": is the hash of the row before `from`, which is missing")
    delay = _number(given, "delay_ms", 0, limits.MAX_FEED_DELAY_MS)
    return FeedWanted(start, after_hash, _filter(given), beat or heartbeat_ms, delay or 0)


def _filter(given: Parameters) -> Filter:
    for outcome in given.get("outcome", []):
        if outcome not in OUTCOMES:
            raise ParameterError("outcome", f" = {outcome!r}: expected one of {', '.join(OUTCOMES)}")
    for key in given.get("key", []):
        if len(key) > limits.MAX_SYMBOL_CHARS:
            raise ParameterError("key", f" = {key!r}: the limit is {limits.MAX_SYMBOL_CHARS} characters")
    return Filter(
        keys=tuple(sorted(set(given.get("key", ())))),
        outcomes=tuple(sorted(set(given.get("outcome", ())))),
        since_us=_time(given, "since"),
        until_us=_time(given, "until"),
        event_id=_hexadecimal(given, "event_id", 16),
        webhook_id=_text(given, "webhook_id"),
        source=_text(given, "source"),
        strategy=_text(given, "strategy"),
        after=_number(given, "after", 0, 2**62) or 0,
    )


def _text(given: Parameters, name: str) -> str:
    return given.get(name, [""])[0]


def _time(given: Parameters, name: str) -> int | None:
    return _read(given, name, lambda text: microseconds(name, text)) if name in given else None


def _number(given: Parameters, name: str, low: int, high: int) -> int | None:
    if name not in given:
        return None
    text = given[name][0]
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or not low <= int(text) <= high:
        raise ParameterError(name, f" = {text[:64]!r}: expected a whole number from {low} to {high}")
    return int(text)


def _hexadecimal(given: Parameters, name: str, size: int) -> bytes:
    text = _text(given, name)
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    if text and (len(found) != size or len(text) != 2 * size):
        raise ParameterError(name, f" = {text[:80]!r}: expected {2 * size} hexadecimal digits")
    return found if text else b""


def _choice(given: Parameters, name: str, choices: tuple[str, ...], default: str) -> str:
    text = given.get(name, [default])[0]
    if text not in choices:
        raise ParameterError(name, f" = {text[:64]!r}: expected one of {', '.join(choices)}")
    return text


def _read(given: Parameters, name: str, read: Callable[[str], int]) -> int:
    try:
        return read(given[name][0])
    except RinglineError as error:
        text = str(error)
        raise ParameterError(
            name, text.removeprefix(name) if text.startswith(name) else f": {text}"
        ) from None
