"""Checks an audit from its first row to its last, in constant memory a key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from pipeline.delivery import Delivery, agent_digest, decode_delivery, exec_digest
from pipeline.storage.audit.chain import START, Link, link_hash
from pipeline.storage.audit.checkpoint import Checkpoint
from pipeline.storage.audit.rows import StoredRow
from pipeline.storage.audit.store import NO_ROWS, Head, fits, head_of


class VerifyReport(Struct, frozen=True):
    """`rows` were good before the first bad one. `first_bad` is its seq (None: all is well) and `detail`
    says what is wrong with it. `pruned`: rows up to this one were taken out, but for what is kept of them."""

    rows: int
    ok: bool
    first_bad: int | None = None
    detail: str = ""
    pruned: int = 0


class KeptDigest:
    """The digest over what a prune kept: seq, hash and body of each row, in the order of the chain."""

    def __init__(self) -> None:
        self.rows = 0
        self._digest = hashlib.sha256(b"ringline kept 1;")

    def add(self, row: StoredRow) -> None:
        self.rows += 1
        self._digest.update(b"%d,%d;" % (row.seq, len(row.body)))
        self._digest.update(row.h)
        self._digest.update(row.body)

    def digest(self) -> bytes:
        return self._digest.digest()


class Verifier:
    """Takes the rows in the order of the chain; stops at the first that is wrong.

    `pruned` is the checkpoint that the chain goes on from; the rows up to it are what a prune kept. `signed`
    is a checkpoint that the chain has to pass through.
    """

    def __init__(self, pruned: Checkpoint | None = None, signed: Checkpoint | None = None) -> None:
        self.link: Link = START
        self.checked = 0
        self._pruned = pruned
        self._kept = KeptDigest()
        self._among_kept = pruned is not None
        self._partial = False
        self._signed = signed
        self._heads: dict[str, Head] = {}

    def first_fault(self, rows: Iterable[StoredRow]) -> VerifyReport | None:
        """The report on the first bad row among `rows`; None when they are all good."""
        for row in rows:
            expected = self.link.seq + 1
            detail = self._take(row)
            if detail:
                return self._report(min(row.seq, expected), detail)
            self.checked += 1
        return None

    def go_on(self) -> None:
        """For an archive: the rows follow `pruned` at once, and a key's first row is taken as it comes."""
        if self._pruned is not None:
            self._among_kept, self._partial = False, self._pruned.size > 0
            self.link = Link(self._pruned.size, self._pruned.h)

    def result(self) -> VerifyReport:
        """After the last row: whether the end is where it has to be."""
        if self._among_kept and (detail := self._cross()):
            return self._report(1, detail)
        signed = self._signed
        if signed is not None and signed.size > self.link.seq:
            detail = f"row {self.link.seq + 1} is missing: the checkpoint has {signed.size} rows"
            return self._report(self.link.seq + 1, detail)
        return VerifyReport(self.checked, True, pruned=self._pruned.size if self._pruned else 0)

    def fail(self, detail: str) -> VerifyReport:
        """The report when the row after the last one cannot even be read."""
        return self._report(self.link.seq + 1, f"row {self.link.seq + 1} cannot be read: {detail}")

    def _report(self, seq: int, detail: str) -> VerifyReport:
        return VerifyReport(self.checked, False, seq, detail, self._pruned.size if self._pruned else 0)

    def _take(self, row: StoredRow) -> str:
        if self._among_kept and self._pruned is not None:
            if row.seq <= self._pruned.size:
                return self._take_kept(row)
            if detail := self._cross():
                return detail
        expected = self.link.seq + 1
        if row.seq != expected:
            return f"row {expected} is missing; row {row.seq} follows"
        if link_hash(row.seq, self.link.h, row.body) != row.h:
            return f"row {row.seq}: its hash does not follow from the row before and its bytes"
        detail = self._body_fault(row, self._partial)
        if detail:
            return detail
        self.link = Link(row.seq, row.h)
        if self._signed is not None and self._signed.size == row.seq and self._signed.h != row.h:
            return f"row {row.seq}: is not the one in the checkpoint; it or rows before it were written anew"
        return ""

    def _take_kept(self, row: StoredRow) -> str:
        if row.seq <= self.link.seq:
            return f"row {row.seq}: follows row {self.link.seq}"
        self._kept.add(row)
        self.link = Link(row.seq, row.h)
        return self._body_fault(row, True)

    def _cross(self) -> str:
        """From the kept rows to the chain."""
        pruned = self._pruned
        assert pruned is not None
        self._among_kept = False
        self.link = Link(pruned.size, pruned.h)
        kept = pruned.kept
        if kept is not None and (kept.rows, kept.digest) != (self._kept.rows, self._kept.digest()):
            return f"the rows kept of those up to {pruned.size} are not the ones that were signed"
        return ""

    def _body_fault(self, row: StoredRow, first_as_it_comes: bool) -> str:
        try:
            delivery = decode_delivery(row.body)
        except msgspec.MsgspecError as error:
            return f"row {row.seq}: cannot be read: {error}"
        if StoredRow.of(row.seq, row.h, delivery, row.body) != row:
            return f"row {row.seq}: its columns differ from its chained bytes"
        if first_as_it_comes and delivery.key not in self._heads:
            self._heads[delivery.key] = Head(delivery.key_seq - 1, delivery.a_prev, delivery.x_prev, b"")
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
    """Check all `rows` of an audit that was never pruned."""
    verifier = Verifier()
    return verifier.first_fault(rows) or verifier.result()
