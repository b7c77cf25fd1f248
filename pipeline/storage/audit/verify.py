"""Checks an audit from its first row to its last, in constant memory a key."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from pipeline.delivery import Delivery, agent_digest, decode_delivery, exec_digest
from pipeline.storage.audit.chain import START, Link, link_hash
from pipeline.storage.audit.rows import StoredRow
from pipeline.storage.audit.store import NO_ROWS, Head, fits, head_of


class VerifyReport(Struct, frozen=True):
    """`rows` were good before the first bad one. `first_bad` is its seq (None: all is well) and `detail`
    says what is wrong with it."""

    rows: int
    ok: bool
    first_bad: int | None = None
    detail: str = ""


class Verifier:
    """Takes the rows in the order of the chain; stops at the first that is wrong."""

    def __init__(self) -> None:
        self.link: Link = START
        self._heads: dict[str, Head] = {}

    def first_fault(self, rows: Iterable[StoredRow]) -> VerifyReport | None:
        """The report on the first bad row among `rows`; None when they are all good."""
        for row in rows:
            expected = self.link.seq + 1
            detail = self._fault(row, expected)
            if detail:
                return VerifyReport(self.link.seq, False, min(row.seq, expected), detail)
            self.link = Link(row.seq, row.h)
        return None

    def _fault(self, row: StoredRow, expected: int) -> str:
        if row.seq != expected:
            return f"row {expected} is missing; row {row.seq} follows"
        if link_hash(row.seq, self.link.h, row.body) != row.h:
            return f"row {row.seq}: its hash does not follow from the row before and its bytes"
        try:
            delivery = decode_delivery(row.body)
        except msgspec.MsgspecError as error:
            return f"row {row.seq}: cannot be read: {error}"
        if StoredRow.of(row.seq, row.h, delivery, row.body) != row:
            return f"row {row.seq}: its columns differ from its chained bytes"
        return self._content_fault(row.seq, delivery)

    def _content_fault(self, seq: int, delivery: Delivery) -> str:
        head = self._heads.get(delivery.key, NO_ROWS)
        name = f"row {seq} (key {delivery.key}, event {delivery.key_seq})"
        if delivery.key_seq != head.last + 1:
            return f"{name}: the key's row before is {head.last}"
        if not fits(delivery, head):
            return f"{name}: does not build on the digests recorded before it"
        a = agent_digest(
            delivery.a_prev, delivery.key_seq, delivery.fate, delivery.payload, delivery.decision
        )
        if a != delivery.a or exec_digest(delivery.x_prev, delivery.key_seq, a, delivery.fills) != delivery.x:
            return f"{name}: its digests are not those of its event, decision and fills"
        self._heads[delivery.key] = head_of(delivery)
        return ""


def verify_rows(rows: Iterable[StoredRow]) -> VerifyReport:
    """Check all `rows` of an audit."""
    verifier = Verifier()
    return verifier.first_fault(rows) or VerifyReport(verifier.link.seq, True)
