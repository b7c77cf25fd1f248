"""What one session of the feed sent, in order: enough to prove it later from the audit alone.

    sha256 = SHA-256(for each row sent, in order: its seq, 8 bytes big-endian ‖ its hash in the chain)

A row's hash covers its stored bytes and all rows before it, so the digest names content, order and place.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.errors import MissingError, UsageError
from pipeline.storage.atomic import replace_file
from pipeline.storage.audit.query import Filter

SCHEMA = 1
_NAME = re.compile(r"[0-9]{1,16}-[0-9a-f]{8}")
_SUFFIX = ".json"
_MAX_BYTES = 64 * limits.KIB


class Wanted(Struct, frozen=True, kw_only=True):
    """The filter of a session; empty: all rows."""

    keys: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()

    @property
    def filter(self) -> Filter:
        return Filter(keys=self.keys, outcomes=self.outcomes)


class Manifest(Struct, frozen=True, kw_only=True):
    """A session: `rows` rows of those from number `start` on that `wanted` lets pass, the first with number
    `first_seq` and the last with `last_seq` (0: none). `next` is where to resume: all before it were sent or
    did not pass."""

    schema: int = SCHEMA
    session: str
    opened_us: int
    closed_us: int = 0
    start: int
    next: int
    wanted: Wanted = Wanted()
    rows: int = 0
    first_seq: int = 0
    last_seq: int = 0
    sha256: str = hashlib.sha256().hexdigest()
    closed: str = ""
    """Why it ended; empty while it goes on."""


class Numbered(Protocol):
    """A row as far as it counts here."""

    @property
    def seq(self) -> int: ...

    @property
    def h(self) -> bytes: ...


class Account:
    """Counts a session's rows as they are sent."""

    def __init__(self, session: str, opened_us: int, start: int, wanted: Wanted) -> None:
        self.next = start
        self._begun = Manifest(session=session, opened_us=opened_us, start=start, next=start, wanted=wanted)
        self._rows = self._first = self._last = 0
        self._hash = hashlib.sha256()

    def add(self, row: Numbered) -> None:
        """It was sent."""
        self._hash.update(row.seq.to_bytes(8, "big") + row.h)
        self._rows += 1
        self._first = self._first or row.seq
        self._last = row.seq
        self.next = row.seq + 1

    def skip(self, seq: int) -> None:
        """Up to row `seq` nothing else passes."""
        self.next = max(self.next, seq + 1)

    def manifest(self, closed_us: int = 0, closed: str = "") -> Manifest:
        """As of now."""
        return msgspec.structs.replace(
            self._begun,
            next=self.next, rows=self._rows, first_seq=self._first, last_seq=self._last,
            sha256=self._hash.hexdigest(), closed_us=closed_us, closed=closed,
        )  # fmt: skip


def new_session(opened_us: int) -> str:
    """A name for a session; later ones sort behind."""
    return f"{opened_us:016d}-{os.urandom(4).hex()}"


class Manifests:
    """The manifests of past sessions, a file each, the newest limits.MAX_FEED_MANIFESTS."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, manifest: Manifest) -> None:
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        replace_file(self._folder / f"{manifest.session}{_SUFFIX}", data)
        for file in self._files()[: -limits.MAX_FEED_MANIFESTS]:
            file.unlink(missing_ok=True)

    def find(self, session: str) -> Manifest | None:
        """The one of `session`. Raises MissingError when it cannot be read."""
        if not _NAME.fullmatch(session):
            return None
        file = self._folder / f"{session}{_SUFFIX}"
        return read_manifest(file) if file.is_file() else None

    def names(self, most: int) -> list[str]:
        """The newest sessions, newest first."""
        return [file.name.removesuffix(_SUFFIX) for file in reversed(self._files())][:most]

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"[0-9]*{_SUFFIX}"))


def read_manifest(file: Path) -> Manifest:
    """Raises MissingError when it cannot be read and UsageError when it is none."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES)
    except OSError as error:
        raise MissingError(f"manifest {file}: {error.strerror}") from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"manifest {file}: is none: {error}") from None
    if manifest.schema != SCHEMA:
        raise UsageError(f"manifest {file}: schema {manifest.schema}; this program knows {SCHEMA}")
    return manifest


def manifest_folder(data_dir: str) -> Path:
    return Path(data_dir) / "feed"
