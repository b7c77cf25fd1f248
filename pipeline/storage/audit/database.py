"""What the audit's readers and tools need of a database, and SQLite as one: queries with `?` and so on."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, Self

from pipeline.errors import MissingError
from pipeline.storage.audit.schema import APPLICATION_ID, check_version, migrate


class Database(Protocol):
    """One connection. Belongs to one thread at a time."""

    name: str
    """For messages to people; holds no password."""
    has_prunes: bool
    """Whether the table `pruned` is there."""

    def fetch(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        """All rows that `query`, with `?` for each parameter, answers. Raises MissingError."""

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """Runs `statement`; how many rows it touched. Raises MissingError."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, and no other tool's at the same time; workers go on appending."""

    def contains(self, column: str) -> str:
        """The test that the bytes of `column` hold those of one parameter."""

    def close(self) -> None: ...


class SqliteDatabase:
    """An audit file, beside the worker that appends to it."""

    def __init__(self, connection: sqlite3.Connection, path: Path, version: int) -> None:
        self._connection = connection
        self.name = str(path)
        self.path = path
        self.has_prunes = version > 1

    @classmethod
    def open(cls, path: Path, *, writable: bool = False) -> Self:
        """Raises MissingError when there is no audit of a known version at `path`."""
        if not path.is_file():
            raise MissingError(f"audit {path}: there is none")
        mode = "rw" if writable else "ro"
        try:
            connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise MissingError(f"audit {path}: cannot be read: {error}") from None
        try:
            return cls(connection, path, _known_version(connection, path, writable))
        except sqlite3.Error as error:
            connection.close()
            raise MissingError(f"audit {path}: cannot be read: {error}") from None
        except BaseException:
            connection.close()
            raise

    def fetch(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise MissingError(f"audit {self.name}: cannot be read: {error}") from None

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> int:
        try:
            return self._connection.execute(statement, parameters).rowcount
        except sqlite3.Error as error:
            raise MissingError(f"audit {self.name}: cannot be changed: {error}") from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def contains(self, column: str) -> str:
        return f"instr({column}, ?)"

    def backup(self, target: Path) -> None:
        """A consistent copy as of now in the new file `target`. Raises MissingError."""
        try:
            with contextlib.closing(sqlite3.connect(target)) as copy:
                self._connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            raise MissingError(f"backup {target}: cannot be written: {error}") from None

    def close(self) -> None:
        self._connection.close()


def _known_version(connection: sqlite3.Connection, path: Path, writable: bool) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise MissingError(f"audit {path}: is no audit of Ringline")
    if writable:
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, str(path))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    check_version(version, str(path))
    return int(version)
