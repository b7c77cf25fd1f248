"""Takes old rows out of an audit: into an archive, and such that what is left still verifies and rebuilds.

Of each key everything from its last stored states on stays, so that a worker finds what it needs; the row
that the next one builds on is among that. Up to which row was pruned, that row's hash and the digest over
what is kept are signed, and from there the chain goes on. It happens in steps, each one transaction, beside
running workers; a step's rows and its checkpoint are in the archive, on disk, before they leave the audit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from msgspec import Struct

from pipeline import limits
from pipeline.errors import MissingError, RinglineError
from pipeline.storage.audit.archive import first_line, last_line, row_line
from pipeline.storage.audit.chain import START, Link
from pipeline.storage.audit.checkpoint import Archived, Checkpoint, Kept
from pipeline.storage.audit.database import Database
from pipeline.storage.audit.note import SigningKey
from pipeline.storage.audit.reader import AuditReader, Progress
from pipeline.storage.audit.verify import KeptDigest

_FIRST_TO_STAY = "SELECT min(seq) FROM rows WHERE accepted_us >= ? AND seq > ?"
_DELETE = """DELETE FROM rows WHERE seq <= ? AND key_seq < coalesce((SELECT max(key_seq) FROM rows AS other
    WHERE other.key = rows.key AND other.stored = 1 AND other.seq <= ?), 0)"""


class Pruned(Struct, frozen=True):
    """What a prune did: `archived` rows went to the archive, `removed` of them and of those kept before left
    the audit; the chain goes on after row `upto`."""

    archived: int
    removed: int
    upto: int


def prune(
    database: Database, key: SigningKey, before_us: int, archive: Path, progress: Progress | None = None
) -> Pruned:
    """Archive the rows before the first that was accepted at `before_us` (microseconds) or later.

    Raises RinglineError when the audit does not verify, as a prune would hide that, and MissingError when the
    archive is there already or cannot be written. What was archived by then is in a whole archive.
    """
    reader = AuditReader(database)
    report = reader.verify(progress, key=key.verify_key)
    if not report.ok:
        raise RinglineError(f"nothing is pruned, as the audit does not verify: {report.detail}")
    last = reader.pruned(key.verify_key)
    start = Link(last.size, last.h) if last else START
    archives = last.archives if last else ()
    upto = _last_to_go(database, reader, before_us, start.seq)
    if upto <= start.seq:
        return Pruned(0, 0, start.seq)
    removed = 0
    try:
        descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(first_line(start))
            at = start.seq
            while at < upto:
                to = min(at + limits.PRUNE_STEP_ROWS, upto)
                named = (*archives, Archived(start.seq + 1, to, _shown(archive)))[
                    -limits.MAX_ARCHIVES_NAMED :
                ]
                removed += _step(database, reader, key, stream, at, to, named)
                at = to
    except OSError as error:
        raise MissingError(f"archive {archive}: cannot be written: {error.strerror}") from None
    return Pruned(upto - start.seq, removed, upto)


def _last_to_go(database: Database, reader: AuditReader, before_us: int, pruned: int) -> int:
    ((first_to_stay,),) = database.fetch(_FIRST_TO_STAY, [before_us, pruned])
    return int(first_to_stay) - 1 if first_to_stay else reader.head().seq


def _shown(archive: Path) -> str:
    """Where it is, for people; a name that is no line of text is not told."""
    text = str(archive.absolute())
    return text if text.isprintable() else "a file"


def _step(
    database: Database,
    reader: AuditReader,
    key: SigningKey,
    stream: IO[bytes],
    at: int,
    to: int,
    archives: tuple[Archived, ...],
) -> int:
    end = reader.link(to)
    if end is None:
        raise MissingError(f"audit {database.name}: row {to} is gone: another prune is at work")
    for page in reader.pages(at, to):
        stream.writelines(map(row_line, page))
    with database.transaction():
        removed = database.execute(_DELETE, [to, to])
        kept = KeptDigest()
        for page in reader.pages(0, to):
            for row in page:
                kept.add(row)
        note = key.sign(Checkpoint(key.verify_key.name, to, end.h, Kept(kept.rows, kept.digest()), archives))
        stream.write(last_line(note))
        stream.flush()
        os.fsync(stream.fileno())
        database.execute("DELETE FROM pruned WHERE seq <= ?", [to])
        database.execute("INSERT INTO pruned (seq, note) VALUES (?, ?)", [to, note])
    return removed
