"""Copies a whole audit while its worker goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import MissingError, UsageError
from pipeline.storage.audit.database import SqliteDatabase
from pipeline.storage.audit.engines import sqlite_file
from pipeline.storage.audit.reader import AuditReader


def back_up(config: Config, target: Path) -> int:
    """The SQLite audit of `config` as of one moment, in the new file `target`, on disk; rows in it.

    Raises UsageError for another engine and MissingError when `target` is there already or cannot be written.
    """
    if config.audit.engine != "sqlite":
        raise UsageError(
            "audit backup: copies an SQLite audit; of one in PostgreSQL take pg_dump, "
            "or `ringline audit export`"
        )
    if target.exists():
        raise MissingError(f"backup {target}: is there already")
    draft = target.with_name(f".{target.name}.part")
    with contextlib.closing(SqliteDatabase.open(sqlite_file(config))) as database:
        try:
            draft.unlink(missing_ok=True)
            database.backup(draft)
            draft.rename(target)
        except OSError as error:
            raise MissingError(f"backup {target}: cannot be written: {error.strerror}") from None
        finally:
            draft.unlink(missing_ok=True)
    with contextlib.closing(AuditReader.open(target)) as reader:
        return reader.head().seq
