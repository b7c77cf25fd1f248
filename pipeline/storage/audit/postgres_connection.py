"""Connections to PostgreSQL as the audit wants them, and its errors as people may read them."""

from __future__ import annotations

import logging
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from pipeline import limits
from pipeline.errors import MissingError

log = logging.getLogger(__name__)

_LASTING = ("08", "57", "40", "55P03", "53300", "25P03")
"""SQLSTATEs that pass: connection, shutdown and start, rollback, lock not to be had, too many clients, a
transaction that the server ended because this process was paused in it."""


class Target:
    """A server and the schema there. Its text shows neither password nor anything else of the DSN."""

    def __init__(self, dsn: str, schema: str) -> None:
        """Raises MissingError when `dsn` is no connection string."""
        try:
            parts = conninfo_to_dict(dsn)
        except psycopg.Error:
            raise MissingError("audit: the DSN is no PostgreSQL connection string or URI") from None
        self._dsn = dsn
        self._secrets = [str(parts[name]) for name in ("password", "sslpassword") if parts.get(name)]
        self.schema = schema

    def __str__(self) -> str:
        return f"audit schema {self.schema}"

    def connect(self) -> Connection[Any]:
        """A connection with its search path set and everything as safe as the audit promises.

        Raises psycopg.Error; MissingError when the database cannot hold the audit.
        """
        connection: Connection[Any] = psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=limits.POSTGRES_CONNECT_S,
            application_name="ringline-audit",
            tcp_user_timeout=limits.POSTGRES_LOCK_S * 1000,
        )
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: Connection[Any]) -> None:
        if connection.info.parameter_status("server_encoding") != "UTF8":
            raise MissingError(f"{self}: the database's encoding must be UTF8")
        connection.execute(SQL("SET search_path = {}").format(Identifier(self.schema)))
        connection.execute("SET client_encoding = 'UTF8'")
        # Some set it off for the whole database: what is settled here has to be on disk.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )
        timeout = f"{limits.POSTGRES_LOCK_S}s"
        # A worker that is paused inside a transaction must not keep the head from the others.
        for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute("SELECT set_config(%s, %s, false)", (setting, timeout))

    def warn_of_unsafe_settings(self, connection: Connection[Any]) -> None:
        """One line when the server itself does not keep what it commits."""
        row = connection.execute("SHOW fsync").fetchone()
        if row and row[0] == "off":
            log.warning("%s: the server runs with fsync = off: a power cut can lose settled rows", self)

    def failed(self, what: str, error: Exception) -> MissingError:
        """`error` in one line, without secrets."""
        text = " ".join(str(error).split()) or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return MissingError(f"{self}: {what}: {text}")


def passes(error: psycopg.Error) -> bool:
    """Whether the same may well work after a while: a server restart, a lock, a lost connection."""
    if isinstance(error, psycopg.InterfaceError):
        return True
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_LASTING)
