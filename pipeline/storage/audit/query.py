"""Queries that look at a bounded part of an audit at a time, so that none holds up the writer or its asker.

Rows are looked at along an axis: the chain's `seq`, or, for one key, its `key_seq`, which has an index. What
no column holds is searched in the row's bytes and then checked in what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from pipeline import limits
from pipeline.delivery import Delivery
from pipeline.messages import CONTROL_TAG, decode_decision, is_control
from pipeline.storage.audit.database import Database
from pipeline.storage.audit.rows import AuditRow

FIRST = 0
"""The place before the first row."""


CONTROL = "control"
"""Among outcomes: the rows of control events, whatever became of them."""


class Filter(Struct, frozen=True, kw_only=True):
    """What rows must be like, all of it; empty asks for nothing. Times are accept times in microseconds, the
    last one exclusive."""

    keys: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    event_id: bytes = b""
    webhook_id: str = ""
    source: str = ""
    strategy: str = ""
    after: int = 0
    """Rows after this number of the chain."""

    def passes(self, row: AuditRow) -> bool:
        """Whether `row` is one of those asked for."""
        delivery = row.delivery
        return (
            row.seq > self.after
            and (not self.keys or delivery.key in self.keys)
            and (not self.outcomes or self._has_outcome(delivery))
            and (self.since_us is None or delivery.accepted_us >= self.since_us)
            and (self.until_us is None or delivery.accepted_us < self.until_us)
            and (not self.event_id or delivery.event_id == self.event_id)
            and self._inner(delivery)
        )

    def _has_outcome(self, delivery: Delivery) -> bool:
        return delivery.outcome in self.outcomes or (
            CONTROL in self.outcomes and is_control(delivery.payload)
        )

    def _inner(self, delivery: Delivery) -> bool:
        """What only the row's bytes hold."""
        return (
            (not self.webhook_id or delivery.webhook_id == self.webhook_id)
            and (not self.source or delivery.source == self.source)
            and (not self.strategy or self.strategy in strategies_of(delivery))
        )


def strategies_of(delivery: Delivery) -> set[str]:
    """The strategies that decided on the event."""
    if not delivery.decision:
        return set()
    return {leg.strategy for leg in decode_decision(delivery.decision).legs}


class Found(Struct, frozen=True):
    """What a query found. `place` is where the next one goes on; `more` says that it may find something."""

    rows: list[AuditRow]
    place: int
    more: bool


class Query:
    """One filter in one order. A place is a number on the axis; `FIRST` is before all, in either order."""

    def __init__(self, wanted: Filter, *, newest_first: bool = False, by_seq: bool = False) -> None:
        """`by_seq`: places are numbers of the chain whatever the filter is."""
        self.wanted = wanted
        self.newest_first = newest_first
        self.by_key = len(wanted.keys) == 1 and not by_seq
        self._axis = "key_seq" if self.by_key else "seq"

    def look(
        self, database: Database, place: int, limit: int, most_looked_at: int = limits.MAX_SCAN_ROWS
    ) -> Found:
        """Up to `limit` rows beyond `place`, of up to about `most_looked_at`. Raises MissingError and
        DamagedError."""
        tests, values = self._tests(database)
        rows: list[AuditRow] = []
        looked_at = 0
        while looked_at < most_looked_at and len(rows) < limit:
            window = self._window(database, place)
            if window is None:
                return Found(rows, place, more=False)
            first, last = window
            low, high = min(first, last), max(first, last)
            order = "DESC" if self.newest_first else "ASC"
            wanted = limit - len(rows)
            text = (
                f"SELECT seq, h, body, {self._axis} FROM rows WHERE {self._axis} >= ? AND {self._axis} <= ? "  # noqa: S608
                f"{tests} ORDER BY {self._axis} {order} LIMIT ?"
            )
            found = database.fetch(text, [low, high, *values, wanted])
            rows += [row for row in _decoded(database, found) if self.wanted.passes(row)]
            place = found[-1][3] if len(found) == wanted else last
            looked_at += high - low + 1
        return Found(rows, place, more=True)

    def _window(self, database: Database, place: int) -> tuple[int, int] | None:
        """The next stretch of the axis, from a row to at most the last one there is now: rows yet to come are
        beyond it. None when there is nothing beyond `place`. What was pruned is stepped over at once."""
        key, given = ("key = ? AND ", [self.wanted.keys[0]]) if self.by_key else ("", [])
        beyond = f"{self._axis} {'<' if self.newest_first and place != FIRST else '>'} ?"
        ends = []
        for which in ("min", "max"):
            text = f"SELECT {which}({self._axis}) FROM rows WHERE {key}{beyond}"  # noqa: S608
            ends.append(database.fetch(text, [*given, place])[0][0])
        low, high = ends
        if low is None or high is None:
            return None
        step = limits.SCAN_WINDOW_ROWS - 1
        return (high, max(low, high - step)) if self.newest_first else (low, min(high, low + step))

    def _outcome_test(self, database: Database) -> tuple[str, list[object]]:
        """Control events are known by their bytes: what else has these by chance does not pass later."""
        outcomes = self.wanted.outcomes
        test, values = _one_of("outcome", outcomes), [*outcomes]
        if CONTROL in outcomes:
            return f"({test} OR {database.contains('body')})", [*values, CONTROL_TAG]
        return test, [*values]

    def _tests(self, database: Database) -> tuple[str, list[object]]:
        """The filter as SQL, each test with AND before it, and its values."""
        wanted = self.wanted
        given: list[tuple[str, list[object]]] = [
            (_one_of("key", wanted.keys), [*wanted.keys]),
            self._outcome_test(database),
            ("accepted_us >= ?", [] if wanted.since_us is None else [wanted.since_us]),
            ("accepted_us < ?", [] if wanted.until_us is None else [wanted.until_us]),
            ("event_id = ?", [wanted.event_id] if wanted.event_id else []),
            ("seq > ?", [wanted.after] if wanted.after else []),
        ]
        for text in (wanted.webhook_id, wanted.source, wanted.strategy):
            given.append((database.contains("body"), [text.encode()] if text else []))
        chosen = [(test, values) for test, values in given if values]
        values = [value for _, some in chosen for value in some]
        return "".join(f"AND {test} " for test, _ in chosen), values


def by_event(database: Database, wanted: Filter, limit: int) -> list[AuditRow]:
    """The rows of one event that pass: one, or one a key for a control event; there is an index for them."""
    text = "SELECT seq, h, body FROM rows WHERE event_id = ? ORDER BY key LIMIT ?"
    rows = _decoded(database, database.fetch(text, [wanted.event_id, limit]))
    return sorted((row for row in rows if wanted.passes(row)), key=lambda row: row.seq)


def _decoded(database: Database, found: list[tuple[int, bytes, bytes]]) -> Iterator[AuditRow]:
    return (AuditRow.of(database.name, row[0], row[1], row[2]) for row in found)


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join('?' * len(values))})"
