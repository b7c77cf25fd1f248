"""Rows as JSON lines, complete and exact: what `export` prints and a prune leaves behind.

A row's line has its columns, `h` and `event_id` in hexadecimal, `body`, which was chained, in base64.
An archive begins with a line `{"after": {"seq", "h"}}`, the row that it follows, and each of its parts ends
with `{"checkpoint": note}`, signed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from pipeline.errors import MissingError, UsageError
from pipeline.storage.audit.chain import Link
from pipeline.storage.audit.checkpoint import Checkpoint, CheckpointError
from pipeline.storage.audit.note import VerifyKey
from pipeline.storage.audit.rows import AuditRow, StoredRow
from pipeline.storage.audit.verify import Verifier, VerifyReport


class _Row(Struct, forbid_unknown_fields=True):
    seq: int
    key: str
    key_seq: int
    event_id: str
    accepted_us: int
    outcome: str
    stored: int
    h: str
    body: str


_encode = msgspec.json.Encoder().encode
_row = msgspec.json.Decoder(_Row)
_any = msgspec.json.Decoder(dict[str, Any])


def row_line(row: StoredRow) -> bytes:
    """With its line end."""
    return (
        _encode(
            {
                **row._asdict(),
                "event_id": row.event_id.hex(),
                "h": row.h.hex(),
                "body": base64.b64encode(row.body).decode(),
            }
        )
        + b"\n"
    )


def parse_row(line: bytes) -> StoredRow:
    """Raises ValueError."""
    row = _row.decode(line)
    return StoredRow(
        row.seq, row.key, row.key_seq, bytes.fromhex(row.event_id), row.accepted_us, row.outcome, row.stored,
        bytes.fromhex(row.h), base64.b64decode(row.body, validate=True),
    )  # fmt: skip


def first_line(after: Link) -> bytes:
    return _encode({"after": {"seq": after.seq, "h": after.h.hex()}}) + b"\n"


def last_line(note: str) -> bytes:
    return _encode({"checkpoint": note}) + b"\n"


def verify_archive(file: Path, key: VerifyKey) -> VerifyReport:
    """Check an archive's rows against each other and its signed end.

    Raises MissingError when it cannot be read, and UsageError when it is no archive.
    """
    try:
        with file.open("rb") as stream:
            return _verify(stream, key, file)
    except OSError as error:
        raise MissingError(f"archive {file}: {error.strerror}") from None


def _verify(stream: IO[bytes], key: VerifyKey, file: Path) -> VerifyReport:
    try:
        after = _any.decode(stream.readline())["after"]
        start = Checkpoint("", int(after["seq"]), bytes.fromhex(after["h"]))
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"archive {file}: is none: expected a first line with `after`") from None
    verifier = Verifier(start)
    verifier.go_on()
    ended = False
    for line in _lines(stream):
        try:
            if line.startswith(b'{"checkpoint"'):
                signed = key.open(_any.decode(line)["checkpoint"])
                ended = (signed.size, signed.h) == verifier.link
                if not ended:
                    return verifier.fail("the checkpoint after it is of another chain")
                continue
            row = parse_row(line)
        except CheckpointError as error:
            return verifier.fail(str(error))
        except (ValueError, binascii.Error, UsageError) as error:
            return verifier.fail(str(error))
        ended = False
        if fault := verifier.first_fault([row]):
            return fault
    return verifier.result() if ended else verifier.fail("the archive does not end in a signed checkpoint")


def find_rows(file: Path, event_id: bytes, webhook_id: str) -> list[AuditRow]:
    """The rows of one event in an archive or an export, by either name; reads all of it and verifies nothing.

    Raises MissingError when it cannot be read, UsageError when it is neither, DamagedError.
    """
    try:
        with file.open("rb") as stream:
            return list(_found(stream, file, event_id, webhook_id))
    except OSError as error:
        raise MissingError(f"archive {file}: {error.strerror}") from None


def _found(stream: IO[bytes], file: Path, event_id: bytes, webhook_id: str) -> Iterator[AuditRow]:
    for number, line in enumerate(_lines(stream), 1):
        if line.startswith((b'{"after"', b'{"checkpoint"')):
            continue
        try:
            row = parse_row(line)
        except (ValueError, binascii.Error):
            raise UsageError(f"archive {file}: line {number} is no row of an audit") from None
        if row.event_id == event_id or webhook_id.encode() in row.body:
            found = AuditRow.of(str(file), row.seq, row.h, row.body)
            if row.event_id == event_id or found.delivery.webhook_id == webhook_id:
                yield found


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline():
        yield line
