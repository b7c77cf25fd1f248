"""Reads an audit while its writer goes on: queries, verification, digests, counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import limits
from pipeline.delivery import Delivery
from pipeline.errors import MissingError
from pipeline.messages import Outcome
from pipeline.storage.audit.chain import START, Link
from pipeline.storage.audit.checkpoint import Archived, Checkpoint, CheckpointError, parse_checkpoint
from pipeline.storage.audit.database import Database, SqliteDatabase
from pipeline.storage.audit.digest import run_digest
from pipeline.storage.audit.query import Found, Query, by_event
from pipeline.storage.audit.rows import COLUMNS, AuditRow, StoredRow
from pipeline.storage.audit.verify import Verifier, VerifyReport

if TYPE_CHECKING:  # loading cryptography takes 30 ms, which only signed notes need
    from pipeline.storage.audit.note import VerifyKey

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

    def find(self, query: Query, place: int, limit: int) -> Found:
        """Rows beyond `place` (see `query`); looks at a bounded part of the audit."""
        if query.wanted.event_id:
            return Found(by_event(self._database, query.wanted, limit), place, more=False)
        return query.look(self._database, place, limit)

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
                delivery = AuditRow.of(self._database.name, seq, b"", body).delivery
                yield delivery
            key, key_seq = delivery.key, delivery.key_seq

    def head(self) -> Link:
        """The end of the chain: rows and last hash."""
        rows = self._fetch("SELECT seq, h FROM rows ORDER BY seq DESC LIMIT 1")
        return Link(*rows[0]) if rows else START

    def pruned(self, key: VerifyKey | None) -> Checkpoint | None:
        """The checkpoint up to which rows were taken out; None when none were.

        Raises CheckpointError when it is not signed by `key`, and MissingError when that is None.
        """
        note = self.prune_note()
        return self._open_note(note, key) if note else None

    def prune_note(self) -> str:
        """The signed note of the last prune; empty when nothing was ever pruned."""
        if not self._database.has_prunes:
            return ""
        notes = self._fetch("SELECT note FROM pruned ORDER BY seq DESC LIMIT 1")
        return str(notes[0][0]) if notes else ""

    def archives(self) -> tuple[Archived, ...]:
        """The archives that pruned rows went to, oldest first, as far as the last prune names them; its
        signature is not looked at. Raises UsageError for a note that is none."""
        text, _, _ = self.prune_note().rpartition("\n\n")
        return parse_checkpoint(text + "\n").archives if text else ()

    def link(self, seq: int) -> Link | None:
        """Row `seq`'s end of the chain; None when there is no such row."""
        rows = self._fetch("SELECT seq, h FROM rows WHERE seq = ?", [seq])
        return Link(*rows[0]) if rows else None

    def verify(
        self,
        progress: Progress | None = None,
        *,
        key: VerifyKey | None = None,
        signed: Checkpoint | None = None,
    ) -> VerifyReport:
        """Check every row that is there when it begins: chain, columns, order, digests.

        `key` opens the checkpoint of a pruned audit. With `signed` also that the chain passes through it:
        then rows cut off its end and a chain that was written anew are found too.
        """
        verifier = Verifier(None, signed)
        try:
            upto, note = self.head().seq, self.prune_note()
        except MissingError as error:
            return verifier.fail(str(error))
        if note:
            try:
                verifier = Verifier(self._open_note(note, key), signed)
            except CheckpointError as error:
                return VerifyReport(0, False, 1, f"rows were pruned, but {error}")
        try:
            for page in self.pages(0, upto):
                if fault := verifier.first_fault(page):
                    return fault
                if progress is not None:
                    progress(page[-1].seq, upto)
        except MissingError as error:
            return verifier.fail(str(error))
        return verifier.result()

    def run_digest(self) -> str:
        """The digest of everything in the audit (see `digest`)."""
        return run_digest(self.deliveries())

    def outcomes(self) -> dict[str, int]:
        """Rows by outcome; every outcome is named."""
        found = dict(self._fetch("SELECT outcome, count(*) FROM rows GROUP BY outcome"))
        return {outcome.value: found.get(outcome.value, 0) for outcome in Outcome}

    def outcomes_between(self, after: int, upto: int) -> dict[str, int]:
        """Rows by outcome after row `after` up to row `upto`."""
        text = "SELECT outcome, count(*) FROM rows WHERE seq > ? AND seq <= ? GROUP BY outcome"
        return {str(outcome): int(count) for outcome, count in self._fetch(text, [after, upto])}

    def keys_between(self, after: int, upto: int) -> set[str]:
        """The keys that have rows after row `after` up to row `upto`."""
        text = "SELECT DISTINCT key FROM rows WHERE seq > ? AND seq <= ?"
        return {str(key) for (key,) in self._fetch(text, [after, upto])}

    def first(self) -> int:
        """The number from which on every row is there; what was before was pruned."""
        if not self._database.has_prunes:
            return 1
        seq = self._fetch("SELECT max(seq) FROM pruned")[0][0]
        return 1 if seq is None else int(seq) + 1

    def counts(self) -> dict[str, int]:
        """`rows`, `keys`, and `events` (a control event is one, with a row for each key)."""
        rows, keys, events = self._fetch(_COUNTS)[0]
        return {"rows": rows, "keys": keys, "events": events}

    def pages(self, after: int, upto: int) -> Iterator[list[StoredRow]]:
        """Rows after `after` up to `upto` as stored; in pages, so that no long read keeps the writer from
        checkpointing."""
        if not after:
            after = -1
        while page := self._fetch(_PAGE, [after, upto, limits.VERIFY_PAGE_ROWS]):
            yield [StoredRow(*row) for row in page]
            after = page[-1][0]

    def _open_note(self, note: str, key: VerifyKey | None) -> Checkpoint:
        if key is None:
            raise MissingError(f"audit {self._database.name}: was pruned: verifying it takes its public key")
        return key.open(note)

    def _select(self, condition: str, parameters: list[object]) -> list[AuditRow]:
        found = self._fetch(_SELECT + condition, parameters)
        return [AuditRow.of(self._database.name, seq, h, body) for seq, h, body in found]
