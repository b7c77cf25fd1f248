"""Reads an audit while its writer goes on: queries, verification, digests, counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from pipeline import limits
from pipeline.delivery import Delivery, decode_delivery
from pipeline.errors import DamagedError, MissingError
from pipeline.messages import Outcome
from pipeline.storage.audit.chain import START, Link
from pipeline.storage.audit.database import Database, SqliteDatabase
from pipeline.storage.audit.digest import run_digest
from pipeline.storage.audit.rows import COLUMNS, AuditRow, StoredRow
from pipeline.storage.audit.verify import Verifier, VerifyReport

Progress = Callable[[int, int], None]
"""Called with rows checked so far and rows in all."""

_COUNTS = "SELECT count(*), count(DISTINCT key), count(DISTINCT event_id) FROM rows"
_SELECT = "SELECT seq, h, body FROM rows "
_PAGE = f"SELECT {COLUMNS} FROM rows WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"  # noqa: S608
_BY_KEY = "SELECT seq, body FROM rows WHERE (key, key_seq) > (?, ?) ORDER BY key, key_seq LIMIT ?"


class AuditReader:
    """A read-only view; every answer is as of its own moment. Belongs to one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fetch = database.fetch

    @classmethod
    def open(cls, path: Path) -> AuditReader:
        """Of an SQLite audit. Raises MissingError when there is no audit of a known version at `path`."""
        return cls(SqliteDatabase.open(path))

    def close(self) -> None:
        self._database.close()

    def rows(
        self,
        *,
        key: str | None = None,
        outcome: str | None = None,
        since: int | None = None,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[AuditRow]:
        """Rows in the order of the chain, at most `limit` (and `limits.MAX_QUERY_ROWS`).

        `since` is the earliest accept time in microseconds; `after` a seq: page on with the last one seen.
        `newest_first` turns the order round, for the latest rows.
        """
        tests: dict[str, object] = {"key = ?": key, "outcome = ?": outcome, "accepted_us >= ?": since}
        given = {"seq > ?": after, **{test: value for test, value in tests.items() if value is not None}}
        order = "DESC" if newest_first else "ASC"
        condition = f"WHERE {' AND '.join(given)} ORDER BY seq {order} LIMIT ?"
        return self._select(condition, [*given.values(), min(limit, limits.MAX_QUERY_ROWS)])

    def by_event_id(self, event_id: bytes) -> list[AuditRow]:
        """The event's row; one a key for a control event. Empty: none is audited."""
        return self._select("WHERE event_id = ? ORDER BY key", [event_id])

    def by_webhook_id(self, webhook_id: str, source: str | None = None) -> list[AuditRow]:
        """The rows of a webhook-id, oldest first; reads the whole audit, as it is not indexed."""
        found = self._select(f"WHERE {self._database.contains('body')} ORDER BY seq", [webhook_id.encode()])
        return [
            row
            for row in found
            if row.delivery.webhook_id == webhook_id and source in (None, row.delivery.source)
        ]

    def deliveries(self) -> Iterator[Delivery]:
        """Every row, by key, then key_seq."""
        key, key_seq = "", 0
        while page := self._fetch(_BY_KEY, [key, key_seq, limits.VERIFY_PAGE_ROWS]):
            for seq, body in page:
                delivery = self._decode(seq, body)
                yield delivery
            key, key_seq = delivery.key, delivery.key_seq

    def head(self) -> Link:
        """The end of the chain: rows and last hash."""
        rows = self._fetch("SELECT seq, h FROM rows ORDER BY seq DESC LIMIT 1")
        return Link(*rows[0]) if rows else START

    def verify(self, progress: Progress | None = None) -> VerifyReport:
        """Check every row that is there when it begins: chain, columns, order, digests."""
        verifier = Verifier()
        try:
            upto = self.head().seq
            for page in self._pages(upto):
                if fault := verifier.first_fault(page):
                    return fault
                if progress is not None:
                    progress(verifier.link.seq, upto)
        except MissingError as error:
            checked = verifier.link.seq
            return VerifyReport(checked, False, checked + 1, f"row {checked + 1} cannot be read: {error}")
        return VerifyReport(verifier.link.seq, True)

    def run_digest(self) -> str:
        """The digest of everything in the audit (see `digest`)."""
        return run_digest(self.deliveries())

    def outcomes(self) -> dict[str, int]:
        """Rows by outcome; every outcome is named."""
        found = dict(self._fetch("SELECT outcome, count(*) FROM rows GROUP BY outcome"))
        return {outcome.value: found.get(outcome.value, 0) for outcome in Outcome}

    def counts(self) -> dict[str, int]:
        """`rows`, `keys`, and `events` (a control event is one, with a row for each key)."""
        rows, keys, events = self._fetch(_COUNTS)[0]
        return {"rows": rows, "keys": keys, "events": events}

    def _pages(self, upto: int) -> Iterator[list[StoredRow]]:
        """All rows in pages, so that no long read keeps the writer from checkpointing."""
        after = -1
        while page := self._fetch(_PAGE, [after, upto, limits.VERIFY_PAGE_ROWS]):
            yield [StoredRow(*row) for row in page]
            after = page[-1][0]

    def _select(self, condition: str, parameters: list[object]) -> list[AuditRow]:
        found = self._fetch(_SELECT + condition, parameters)
        return [AuditRow(seq, h, self._decode(seq, body)) for seq, h, body in found]

    def _decode(self, seq: int, body: bytes) -> Delivery:
        try:
            return decode_delivery(body)
        except msgspec.MsgspecError as error:
            raise DamagedError(f"audit {self._database.name}: row {seq} cannot be read: {error}") from None
