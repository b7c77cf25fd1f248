"""What the PostgreSQL engine adds: several writers of one chain, restarts, versions, untold secrets."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.sql import SQL
from servers import Postgres, running_postgres
from some_rows import lone_row, some_rows

from pipeline import limits
from pipeline.clock import FakeClock
from pipeline.delivery import Delivery
from pipeline.errors import MissingError
from pipeline.storage.audit import Judged
from pipeline.storage.audit.postgres import PostgresAuditStore
from pipeline.storage.audit.postgres_connection import Target
from pipeline.storage.audit.postgres_database import PostgresAuditReader

Make = Callable[[], str]


def open_store(dsn: str, schema: str) -> contextlib.closing[PostgresAuditStore]:
    return contextlib.closing(PostgresAuditStore.open(dsn, schema, 4))


def open_reader(dsn: str, schema: str) -> contextlib.closing[PostgresAuditReader]:
    return contextlib.closing(PostgresAuditReader.connect(dsn, schema))


def key_rows(key: str, count: int) -> list[Delivery]:
    rows: list[Delivery] = []
    for key_seq in range(1, count + 1):
        before = (rows[-1].a, rows[-1].x) if rows else ()
        rows.append(lone_row(key, key_seq, *before))
    return rows


@pytest.fixture
def schema(new_schema: Make) -> str:
    return new_schema()


def test_a_commit_waits_for_the_disk_though_the_database_is_set_otherwise(
    postgres_dsn: str, schema: str
) -> None:
    careless = psycopg.conninfo.make_conninfo(postgres_dsn, options="-c synchronous_commit=off")
    with psycopg.connect(careless) as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",)
    with contextlib.closing(Target(careless, schema).connect()) as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


# ---- one chain ---------------------------------------------------------------------------------------------


def test_workers_at_the_same_time_keep_one_chain(postgres_dsn: str, schema: str) -> None:
    """Four writers, each with keys of its own and all with one in common."""
    PostgresAuditStore.open(postgres_dsn, schema).close()
    common = key_rows("common", 40)
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            own = key_rows(f"own {number}", 40)
            with open_store(postgres_dsn, schema) as store:
                for at in range(0, 40, 4):
                    store.append([*own[at : at + 4], *common[at : at + 4]])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    with open_reader(postgres_dsn, schema) as reader:
        assert reader.verify().ok
        counts = reader.counts()
    assert counts["keys"] == 5
    assert 160 < counts["rows"] <= 200


def test_a_writer_notices_what_another_appended_to_its_key(postgres_dsn: str, schema: str) -> None:
    rows = key_rows("K", 3)
    with open_store(postgres_dsn, schema) as one, open_store(postgres_dsn, schema) as other:
        assert one.append(rows[:1])[0].appended
        assert other.append(rows[1:2])[0].appended
        assert one.append(rows[1:2])[0] == Judged(True, 2, rows[1].event_id)
        assert one.append(rows[2:])[0].appended
        assert other.tail("K").last == 3
        assert one.chain == other.chain
        assert one.chain.seq == 3


def test_rows_survive_and_the_chain_goes_on(postgres_dsn: str, schema: str) -> None:
    rows = key_rows("K", 2)
    with open_store(postgres_dsn, schema) as store:
        store.append(rows[:1])
        chain = store.chain
    with open_store(postgres_dsn, schema) as store:
        assert store.chain == chain
        assert [judged.appended for judged in store.append(rows)] == [False, True]


def test_the_memory_of_keys_is_bounded(
    postgres_dsn: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_TAILS", 8)
    first = [lone_row(f"K{number}") for number in range(30)]
    second = [lone_row(row.key, 2, row.a, row.x) for row in first]
    with open_store(postgres_dsn, schema) as store:
        assert all(judged.appended for judged in store.append(first))
        assert all(judged.appended for judged in store.append([*first[:1], *second])[1:])
        store.append([])
        assert len(store._heads) <= 30


# ---- servers that go away ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """One to stop and start; a server named in the environment is others' too."""
    with running_postgres() as server:
        yield server


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
def test_a_server_that_comes_back_has_everything_once(own_server: Postgres, how: signal.Signals) -> None:
    rows, schema = key_rows("K", 40), f"s{how.value}"
    with open_store(own_server.dsn, schema) as store:
        assert store.append(rows[:10])[-1].last == 10
        store.tail("K")
        own_server.stop(how)
        late = threading.Timer(0.2, own_server.start)
        late.start()
        assert store.append(rows[5:20])[-1].last == 20
        late.join(30)
        assert store.tail("K").last == 20
        assert store.append(rows)[-1].last == 40
    with open_reader(own_server.dsn, schema) as reader:
        assert (reader.verify().ok, reader.counts()["rows"]) == (True, 40)


def test_a_connection_that_is_cut_between_commit_and_answer_doubles_nothing(own_server: Postgres) -> None:
    rows = key_rows("K", 4)
    with open_store(own_server.dsn, "cut") as store:
        store.append(rows[:2])
        committed = store._append

        def commit_and_lose(batch: list[Delivery]) -> object:
            committed(batch)
            store._append = committed  # type: ignore[method-assign]
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        store._append = commit_and_lose  # type: ignore[method-assign, assignment]
        assert [judged[:2] for judged in store.append(rows[2:])] == [(True, 4), (True, 4)]
    with open_reader(own_server.dsn, "cut") as reader:
        assert reader.verify().rows == 4


def test_a_server_that_stays_away_is_one_clear_line(own_server: Postgres) -> None:
    PostgresAuditStore.open(own_server.dsn, "away").close()
    clock = FakeClock()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(s=seconds)

    store = PostgresAuditStore(Target(own_server.dsn, "away"), 4, clock, pause)
    own_server.stop()
    try:
        with pytest.raises(MissingError, match="audit schema away: cannot commit: "):
            store.append(key_rows("K", 1))
    finally:
        own_server.start()
    assert limits.POSTGRES_RETRY_S <= sum(pauses) <= limits.POSTGRES_RETRY_S + 1
    assert store.append(key_rows("K", 1))[0].appended
    store.close()


def test_a_paused_holder_of_the_head_loses_it(own_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POSTGRES_LOCK_S", 1)
    other = psycopg.connect(own_server.dsn)
    with open_store(own_server.dsn, "paused") as store, contextlib.closing(other):
        other.execute("SET idle_in_transaction_session_timeout = '300ms'")
        other.execute("SELECT * FROM paused.head FOR UPDATE")
        assert store.append(key_rows("K", 1))[0].appended


# ---- refusals ----------------------------------------------------------------------------------------------


def test_a_schema_of_a_newer_version_is_refused(postgres_dsn: str, schema: str) -> None:
    PostgresAuditStore.open(postgres_dsn, schema).close()
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(SQL(f"UPDATE {schema}.ringline_audit SET version = 99"))
    for opener in (PostgresAuditStore.open, PostgresAuditReader.connect):
        with pytest.raises(MissingError, match="has version 99, this program knows up to 1"):
            opener(postgres_dsn, schema)


def test_a_schema_with_other_tables_is_refused_and_left_alone(postgres_dsn: str, schema: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(SQL(f"CREATE SCHEMA {schema}"))
        connection.execute(SQL(f"CREATE TABLE {schema}.mine (a INT)"))
    with pytest.raises(MissingError, match="no audit of Ringline"):
        PostgresAuditStore.open(postgres_dsn, schema)
    with pytest.raises(MissingError, match="there is none"):
        PostgresAuditReader.connect(postgres_dsn, schema)


@pytest.mark.parametrize(
    "dsn",
    ["hunter2 is no dsn", "postgresql://me:hunter2@127.0.0.1:1/x", "host=127.0.0.1 port=1 password=hunter2"],
)
def test_a_password_is_never_told(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(MissingError) as told:
        PostgresAuditStore.open(dsn)
    assert "hunter2" not in str(told.value) + caplog.text
    assert "\n" not in str(told.value)


# ---- reading -----------------------------------------------------------------------------------------------


def test_a_reader_answers_as_that_of_an_audit_file(postgres_dsn: str, schema: str) -> None:
    rows = some_rows()
    with open_store(postgres_dsn, schema) as store, open_reader(postgres_dsn, schema) as reader:
        assert (reader.verify().rows, reader.head().seq) == (0, 0)
        store.append(rows)
        assert reader.head() == store.chain
        assert reader.counts() == {"rows": 30, "keys": 3, "events": 30}
        assert (reader.outcomes()["filled"], reader.outcomes()["expired"]) == (15, 0)
        assert [row.seq for row in reader.rows(key="B", limit=2)] == [2, 5]
        assert [row.seq for row in reader.rows(since=1027, newest_first=True)] == [30, 29, 28]
        assert reader.by_event_id(rows[4].event_id)[0].delivery == rows[4]
        assert [row.seq for row in reader.by_webhook_id("w1-4")] == [5]
        assert len(reader.run_digest()) == 64


@pytest.mark.parametrize(
    ("tampering", "first_bad"),
    [
        ("UPDATE {}.rows SET body = set_byte(body, 20, get_byte(body, 20) # 64) WHERE seq = 12", 12),
        ("UPDATE {}.rows SET outcome = 'placed' WHERE seq = 7", 7),
        ("DELETE FROM {}.rows WHERE seq = 5", 5),
    ],
)
def test_tampering_is_found(postgres_dsn: str, schema: str, tampering: str, first_bad: int) -> None:
    with open_store(postgres_dsn, schema) as store:
        store.append(some_rows())
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(SQL(tampering.format(schema)))
    with open_reader(postgres_dsn, schema) as reader:
        assert reader.verify().first_bad == first_bad
