"""The audit that a configuration names: its store, its reader, its database for tools."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.storage.audit.database import Database, SqliteDatabase
from pipeline.storage.audit.reader import AuditReader
from pipeline.storage.audit.sqlite import SqliteAuditStore

if TYPE_CHECKING:
    from pipeline.storage.audit.postgres import PostgresAuditStore

FILE = "audit.sqlite"
"""In `data_dir`."""
MAX_DSN_BYTES = 4096


def open_store(
    config: Config, environment: Mapping[str, str] = os.environ
) -> SqliteAuditStore | PostgresAuditStore:
    """For the audit worker. Raises MissingError when it cannot be had."""
    audit = config.audit
    if audit.engine == "sqlite":
        return SqliteAuditStore.open(sqlite_file(config), audit.state_every)
    _need_psycopg()
    from pipeline.storage.audit.postgres import PostgresAuditStore

    return PostgresAuditStore.open(find_dsn(config, environment), audit.postgres_schema, audit.state_every)


def open_database(
    config: Config, environment: Mapping[str, str] = os.environ, *, writable: bool = False
) -> Database:
    """For tools, beside running workers. Raises MissingError when there is no audit."""
    if config.audit.engine == "sqlite":
        return SqliteDatabase.open(sqlite_file(config), writable=writable)
    _need_psycopg()
    from pipeline.storage.audit.postgres_database import PostgresDatabase

    dsn = find_dsn(config, environment)
    return PostgresDatabase.open(dsn, config.audit.postgres_schema, writable=writable)


def open_reader(config: Config, environment: Mapping[str, str] = os.environ) -> AuditReader:
    """Read-only, also while the pipeline runs. Raises MissingError when there is no audit."""
    return AuditReader(open_database(config, environment))


def sqlite_file(config: Config) -> Path:
    return Path(config.data_dir) / FILE


def find_dsn(config: Config, environment: Mapping[str, str]) -> str:
    """The DSN in `audit.dsn_file`, else in the environment variable `audit.dsn_env`. Never log it."""
    audit = config.audit
    if audit.dsn_file:
        try:
            with open(audit.dsn_file, "rb") as stream:
                text = stream.read(MAX_DSN_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is no UTF-8 text"
            raise MissingError(f"audit.dsn_file {audit.dsn_file}: {reason}") from None
        where = f"audit.dsn_file {audit.dsn_file}"
    else:
        text, where = environment.get(audit.dsn_env, "").strip(), f"environment variable {audit.dsn_env}"
    if not text:
        raise MissingError(f"{where}: holds no DSN, which audit.engine = postgres needs")
    return text


def _need_psycopg() -> None:
    try:
        importlib.import_module("psycopg")
    except ImportError as error:
        raise MissingError(
            f"audit.engine = postgres: psycopg cannot be loaded ({error}): pip install 'ringline[postgres]'"
        ) from None
