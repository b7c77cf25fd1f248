"""`ringline bench audit`: judged, chained appends, beside raw inserts into the same table."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from pipeline.bench.disk import fdatasync_p95_ms
from pipeline.config import Config
from pipeline.delivery import ORIGIN, Delivery, agent_digest, encode_delivery, exec_digest
from pipeline.figures import Bench, Result, at_least, shown
from pipeline.machine import machine, versions
from pipeline.storage.audit.engines import find_dsn
from pipeline.storage.audit.rows import COLUMNS, StoredRow
from pipeline.storage.audit.schema import migrate
from pipeline.storage.audit.sqlite import SqliteAuditStore
from pipeline.storage.audit.store import AuditStore

WANTED_SHARE = 0.6
WANTED_POSTGRES_PER_S = 15_000
KEYS = 64
_PAYLOAD, _DECISION, _FILLS, _STATE = bytes(96), bytes(180), bytes(120), bytes(300)
"""About what a candle, a decision with an order, its fill and an agent's state take."""


class Options(Struct, frozen=True, kw_only=True):
    rows: int = 50_000
    repeats: int = 3


class Took(NamedTuple):
    per_s: float
    cpu_us: float
    """This process's, for one row."""


def run(config: Config, options: Options, say: Callable[[str], None]) -> Bench:
    """SQLite on a folder of its own beside the data folder; PostgreSQL where the configuration has it, in a
    schema of its own that is dropped afterwards. Raises MissingError when that server is away.
    """
    parent = Path(config.data_dir).resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".ringline-bench-", dir=parent))
    batch = config.audit.batch
    try:
        raw: list[Took] = []
        chained: list[Took] = []
        # In turns, so that whatever else the machine does meets both.
        for turn in range(options.repeats):
            say(f"turn {turn + 1} of {options.repeats}: {options.rows} rows by {batch}, raw and chained")
            raw.append(_raw(folder / f"raw-{turn}", _rows(options.rows), batch))
            store = SqliteAuditStore.open(folder / f"chained-{turn}", config.audit.state_every)
            chained.append(_chained(store, _rows(options.rows), batch))
        sync_ms = fdatasync_p95_ms(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    postgres = _postgres(config, options, say) if config.audit.engine == "postgres" else None
    found = results(max(raw), max(chained), postgres, batch, sync_ms)
    return Bench(machine=machine(), versions=versions(), results=found)


def results(
    raw: Took, chained: Took, postgres: Took | None, batch: int, sync_ms: float
) -> tuple[Result, ...]:
    against = f"raw inserts, same table and batch of {batch}, {raw.per_s:,.0f}/s"
    shared = (
        shown("fdatasync p95", sync_ms, "ms", "the data folder's disk, nothing else on it"),
        shown("SQLite, chained", chained.per_s, "events/s", against, raw.per_s),
        at_least("SQLite, chained, of raw", chained.per_s / raw.per_s, "×", WANTED_SHARE, against, 1.0),
        shown("SQLite, processor time", chained.cpu_us, "µs a row", "raw inserts", raw.cpu_us),
    )
    if postgres is None:
        return shared
    return (
        *shared,
        at_least(
            "PostgreSQL, chained", postgres.per_s, "events/s", WANTED_POSTGRES_PER_S, "SQLite, chained",
            chained.per_s,
        ),
        shown("PostgreSQL, processor time here", postgres.cpu_us, "µs a row", "SQLite", chained.cpu_us),
    )  # fmt: skip


def _rows(count: int) -> list[Delivery]:
    """Complete rows of KEYS keys in turn, as an exec hands them on."""
    made: list[Delivery] = []
    heads = [(ORIGIN, ORIGIN)] * KEYS
    for number in range(count):
        place, key_seq = number % KEYS, number // KEYS + 1
        a_prev, x_prev = heads[place]
        a = agent_digest(a_prev, key_seq, 0, _PAYLOAD, _DECISION)
        x = exec_digest(x_prev, key_seq, a, _FILLS)
        heads[place] = (a, x)
        made.append(
            Delivery(
                f"KEY{place}", key_seq, os.urandom(16), "bench", f"bench-{number}", 1_000_000 + number, 0,
                _PAYLOAD, "1", _DECISION, a_prev, a, _STATE if key_seq % 64 == 0 else b"", _FILLS, x_prev, x,
                _STATE if key_seq % 64 == 0 else b"", "held",
            )
        )  # fmt: skip
    return made


def _chained(store: AuditStore, rows: Sequence[Delivery], batch: int) -> Took:
    try:
        started, started_cpu = time.perf_counter(), time.process_time()
        for begin in range(0, len(rows), batch):
            judged = store.append(rows[begin : begin + batch])
            assert judged[-1].appended
        return _took(started, started_cpu, len(rows))
    finally:
        store.close()


def _raw(path: Path, rows: Sequence[Delivery], batch: int) -> Took:
    """The same table, indexes, durability and batches; bytes and hashes made beforehand."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    migrate(connection, str(path))
    values = [StoredRow.of(seq, os.urandom(32), row, encode_delivery(row)) for seq, row in enumerate(rows, 1)]
    insert = f"INSERT INTO rows ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    started, started_cpu = time.perf_counter(), time.process_time()
    for begin in range(0, len(values), batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, values[begin : begin + batch])
        connection.execute("COMMIT")
    found = _took(started, started_cpu, len(values))
    connection.close()
    return found


def _took(started: float, started_cpu: float, rows: int) -> Took:
    cpu_us = (time.process_time() - started_cpu) / rows * 1e6
    return Took(rows / (time.perf_counter() - started), cpu_us)


def _postgres(config: Config, options: Options, say: Callable[[str], None]) -> Took:
    import psycopg
    from psycopg.sql import SQL, Identifier

    from pipeline.storage.audit.postgres import PostgresAuditStore

    dsn, found = find_dsn(config, os.environ), []
    schema = f"ringline_bench_{os.getpid()}"
    for turn in range(options.repeats):
        say(f"turn {turn + 1} of {options.repeats}: PostgreSQL, schema {schema}")
        store = PostgresAuditStore.open(dsn, schema, config.audit.state_every)
        try:
            found.append(_chained(store, _rows(options.rows), config.audit.batch))
        finally:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
    return max(found)
