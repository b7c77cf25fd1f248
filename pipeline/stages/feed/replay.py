"""Reads again what a session of the feed was sent, from the audit alone; proves it or says what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from pipeline.stages.feed.manifest import Account, Manifest
from pipeline.storage.audit.chain import link_hash
from pipeline.storage.audit.reader import AuditReader
from pipeline.storage.audit.rows import AuditRow, StoredRow


class Replayed(Struct, frozen=True):
    """`fault` is empty where the audit has exactly what the manifest says was sent."""

    rows: int
    first_seq: int
    last_seq: int
    sha256: str
    fault: str

    @property
    def ok(self) -> bool:
        return not self.fault


def replay(
    reader: AuditReader, manifest: Manifest, each: Callable[[AuditRow], None] = lambda _: None
) -> Replayed:
    """`each` gets the rows in the order in which they were sent.

    Raises RinglineError when the audit cannot be read.
    """
    account = Account(manifest.session, manifest.opened_us, manifest.start, manifest.wanted)
    wanted = manifest.wanted.filter
    fault = ""
    try:
        for row in _proven(reader, manifest.start, manifest.next - 1):
            if wanted.passes(row):
                account.add(row)
                each(row)
    except _FaultError as error:
        fault = str(error)
    found = account.manifest()
    return Replayed(
        found.rows, found.first_seq, found.last_seq, found.sha256, fault or _difference(found, manifest)
    )


class _FaultError(Exception):
    """What is wrong with the audit."""


def _proven(reader: AuditReader, start: int, last: int) -> Iterator[AuditRow]:
    """Rows `start` to `last`, each with the hash that its bytes and the row before give."""
    if last < start:
        return
    first = reader.first()
    if start < first:
        raise _FaultError(f"rows before {first} were pruned, and the session began with {start}")
    before = reader.link(start - 1) if start > 1 else None
    h_prev = before.h if before is not None else None
    expected = start
    for page in reader.pages(start - 1, last):
        for stored in page:
            _check(stored, expected, h_prev, genesis=start == 1)
            yield AuditRow.of("read again", stored.seq, stored.h, stored.body)
            expected, h_prev = stored.seq + 1, stored.h
    if expected != last + 1:
        raise _FaultError(f"the audit ends with row {expected - 1}, and the session went up to {last}")


def _check(stored: StoredRow, expected: int, h_prev: bytes | None, *, genesis: bool) -> None:
    if stored.seq != expected:
        raise _FaultError(f"row {expected} is missing")
    if h_prev is None:
        if not genesis:  # what the first row builds on was pruned: its own hash is compared all the same
            return
        h_prev = bytes(len(stored.h))
    if link_hash(stored.seq, h_prev, stored.body) != stored.h:
        raise _FaultError(f"row {stored.seq} is not as it was written: its hash does not fit")


def _difference(found: Manifest, manifest: Manifest) -> str:
    for name in ("rows", "first_seq", "last_seq", "sha256"):
        here, there = getattr(found, name), getattr(manifest, name)
        if here != there:
            return f"{name}: the audit gives {here}, the manifest has {there}"
    return ""
