"""The engine that a configuration names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.storage.valuation.memory import MemoryValuationStore
from pipeline.storage.valuation.sqlite import SqliteValuationStore
from pipeline.storage.valuation.store import ValuationStore

MAX_DSN_BYTES = 4096


def open_valuation(config: Config, environment: Mapping[str, str] = os.environ) -> ValuationStore:
    """Raises MissingError when it cannot be had."""
    wanted = config.valuation
    if wanted.engine == "memory":
        return MemoryValuationStore()
    if wanted.engine == "sqlite":
        return SqliteValuationStore.open(Path(config.data_dir) / "valuation.sqlite")
    dsn = _dsn(config, environment)
    if wanted.engine == "redis":
        from pipeline.storage.valuation.redis import RedisValuationStore

        return RedisValuationStore.open(dsn, wanted.redis_prefix)
    try:
        from pipeline.storage.valuation.postgres import PostgresValuationStore
    except ImportError as error:
        raise MissingError(f"psycopg cannot be loaded ({error}): pip install 'ringline[postgres]'") from None
    return PostgresValuationStore.open(dsn, wanted.postgres_schema)


def _dsn(config: Config, environment: Mapping[str, str]) -> str:
    """Never log it."""
    wanted = config.valuation
    if wanted.dsn_file:
        where = f"valuation.dsn_file {wanted.dsn_file}"
        try:
            with open(wanted.dsn_file, "rb") as stream:
                text = stream.read(MAX_DSN_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise MissingError(f"{where}: {getattr(error, 'strerror', None) or 'is no UTF-8 text'}") from None
    else:
        where = f"environment variable {wanted.dsn_env}"
        text = environment.get(wanted.dsn_env, "").strip()
    if not text:
        raise MissingError(f"{where}: holds no DSN, which valuation.engine = {wanted.engine} needs")
    return text
