"""One suite for every engine of the valuation, on real PostgreSQL and Redis servers too."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from servers import running_postgres, running_redis

from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.storage.valuation.engines import open_valuation
from pipeline.storage.valuation.memory import MemoryValuationStore
from pipeline.storage.valuation.postgres import PostgresValuationStore
from pipeline.storage.valuation.redis import RedisValuationStore
from pipeline.storage.valuation.sqlite import SqliteValuationStore
from pipeline.storage.valuation.store import (
    ChangedMeanwhileError,
    NavRow,
    Snapshot,
    StoreAwayError,
    StoredDomain,
    ValuationStore,
)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    if given := os.environ.get("RINGLINE_TEST_REDIS"):
        yield given
        return
    with running_redis() as server:
        yield server.url


@pytest.fixture(params=["memory", "sqlite", "postgres", "redis"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], ValuationStore]:
    """Opens the same store again and again."""
    if request.param == "memory":
        store = MemoryValuationStore()
        return lambda: store
    if request.param == "sqlite":
        return lambda: SqliteValuationStore.open(tmp_path / "valuation.sqlite")
    if request.param == "postgres":
        dsn, schema = request.getfixturevalue("postgres_dsn"), request.getfixturevalue("new_schema")()
        return lambda: PostgresValuationStore.open(dsn, schema)
    url, prefix = request.getfixturevalue("redis_url"), f"test-{uuid.uuid4().hex[:8]}-{next(_numbers)}"
    return lambda: RedisValuationStore.open(url, prefix)


@pytest.fixture
def store(opener: Callable[[], ValuationStore]) -> Iterator[ValuationStore]:
    made = opener()
    yield made
    made.close()


def test_a_new_store_holds_nothing(store: ValuationStore) -> None:
    assert store.domains() == {}
    assert store.snapshot() is None
    assert store.nav("desk", 0, 10**16, 10) == []


def test_a_domain_is_stored_replaced_and_taken_out(store: ValuationStore) -> None:
    store.put_domain("desk", 1, b"one")
    store.put_domain("desk", 2, b"\x00two:2")
    store.put_domain("other", 1, b"")
    assert store.domains() == {"desk": StoredDomain(2, b"\x00two:2"), "other": StoredDomain(1, b"")}
    store.delete_domain("desk", 2)
    assert set(store.domains()) == {"other"}


@pytest.mark.parametrize("version", [1, 3])
def test_a_version_that_does_not_follow_changes_nothing(store: ValuationStore, version: int) -> None:
    store.put_domain("desk", 1, b"one")
    with pytest.raises(ChangedMeanwhileError, match="desk"):
        store.put_domain("desk", version, b"other")
    with pytest.raises(ChangedMeanwhileError):
        store.delete_domain("desk", 2)
    with pytest.raises(ChangedMeanwhileError):
        store.put_domain("new", 2, b"x")
    assert store.domains() == {"desk": StoredDomain(1, b"one")}


def test_values_come_back_in_order_within_their_bounds(store: ValuationStore) -> None:
    rows = [NavRow(name, at_us, b"%d" % at_us) for at_us in (30, 10, 20) for name in ("a", "b")]
    store.append_nav(rows, 0)
    assert [row.at_us for row in store.nav("a", 0, 100, 10)] == [10, 20, 30]
    assert store.nav("a", 10, 30, 10) == [NavRow("a", 10, b"10"), NavRow("a", 20, b"20")]
    assert store.nav("b", 11, 100, 1) == [NavRow("b", 20, b"20")]


def test_a_value_stored_again_is_there_once(store: ValuationStore) -> None:
    store.append_nav([NavRow("a", 10, b"first")], 0)
    store.append_nav([NavRow("a", 10, b"again"), NavRow("a", 11, b"next")], 0)
    assert store.nav("a", 0, 100, 10) == [NavRow("a", 10, b"again"), NavRow("a", 11, b"next")]


def test_old_values_go(store: ValuationStore) -> None:
    store.append_nav([NavRow("a", at_us, b"x") for at_us in range(1, 10)], 0)
    store.append_nav([NavRow("a", 10, b"x")], 8)
    assert [row.at_us for row in store.nav("a", 0, 100, 100)] == [8, 9, 10]


def test_a_domain_takes_its_values_along(store: ValuationStore) -> None:
    store.put_domain("a", 1, b"x")
    store.append_nav([NavRow("a", 1, b"x"), NavRow("b", 1, b"y")], 0)
    store.delete_domain("a", 1)
    assert store.nav("a", 0, 10, 10) == []
    assert store.nav("b", 0, 10, 10) == [NavRow("b", 1, b"y")]


def test_a_snapshot_adds_to_the_one_before_unless_it_clears(store: ValuationStore) -> None:
    store.put_snapshot(1, b"head:1", {"A": b"a1", "B": b"b1"}, clear=False)
    store.put_snapshot(2, b"head:2", {"B": b"b2"}, clear=False)
    assert store.snapshot() == Snapshot(2, b"head:2", {"A": b"a1", "B": b"b2"})
    store.put_snapshot(3, b"", {}, clear=False)
    assert store.snapshot() == Snapshot(3, b"", {"A": b"a1", "B": b"b2"})
    store.put_snapshot(4, b"new", {"C": b"c"}, clear=True)
    assert store.snapshot() == Snapshot(4, b"new", {"C": b"c"})


def test_everything_outlives_a_restart(opener: Callable[[], ValuationStore]) -> None:
    before = opener()
    before.put_domain("desk", 1, b"one")
    before.append_nav([NavRow("desk", 5, b"five")], 0)
    before.put_snapshot(1, b"head", {"A": b"a"}, clear=False)
    before.close()
    after = opener()
    try:
        assert after.domains() == {"desk": StoredDomain(1, b"one")}
        assert after.nav("desk", 0, 10, 10) == [NavRow("desk", 5, b"five")]
        assert after.snapshot() == Snapshot(1, b"head", {"A": b"a"})
    finally:
        after.close()


def test_a_batch_of_values_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    store = SqliteValuationStore.open(tmp_path / "v.sqlite")
    broken = NavRow("a", 2, None)  # type: ignore[arg-type]
    with pytest.raises(StoreAwayError):
        store.append_nav([NavRow("a", 1, b"x"), broken], 0)
    assert store.nav("a", 0, 10, 10) == []
    store.close()


def test_one_process_at_a_time_has_the_file(tmp_path: Path) -> None:
    store = SqliteValuationStore.open(tmp_path / "v.sqlite")
    with pytest.raises(MissingError, match="valuation"):
        SqliteValuationStore.open(tmp_path / "v.sqlite")
    store.close()
    SqliteValuationStore.open(tmp_path / "v.sqlite").close()


def test_a_redis_that_went_is_named_and_comes_back(tmp_path: Path) -> None:
    with running_redis(durable=True) as server:
        store = RedisValuationStore.open(server.url, "test")
        store.put_domain("desk", 1, b"one")
        server.stop()
        with pytest.raises(StoreAwayError, match="Redis"):
            store.put_domain("desk", 2, b"two")
        server.start()
        assert _eventually(store)["desk"].version == 1
        store.put_domain("desk", 2, b"two")
        store.close()


def _eventually(store: RedisValuationStore) -> dict[str, StoredDomain]:
    for _ in range(1000):
        try:
            return store.domains()
        except StoreAwayError:  # still reading its file
            continue
    raise AssertionError("it did not come back")


def test_a_postgres_that_went_is_named_and_comes_back() -> None:
    with running_postgres() as server:
        store = PostgresValuationStore.open(server.dsn, "ringline_valuation")
        store.put_domain("desk", 1, b"one")
        server.stop()
        with pytest.raises(StoreAwayError, match="ringline_valuation"):
            store.append_nav([NavRow("desk", 1, b"x")], 0)
        server.start()
        store.append_nav([NavRow("desk", 1, b"x")], 0)
        assert store.nav("desk", 0, 10, 10) == [NavRow("desk", 1, b"x")]
        store.close()


def test_nobody_there_is_said_without_the_password() -> None:
    with pytest.raises(StoreAwayError) as caught:
        PostgresValuationStore.open("postgresql://me:s3cr3t@127.0.0.1:1/x", "v")
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(StoreAwayError) as caught:
        RedisValuationStore.open("redis://:s3cr3t@127.0.0.1:1/0", "v")
    assert "s3cr3t" not in str(caught.value)


def test_the_configuration_names_the_engine(tmp_path: Path, redis_url: str) -> None:
    base = Config(data_dir=str(tmp_path))

    def of(engine: str) -> Config:
        return msgspec.structs.replace(
            base, valuation=msgspec.structs.replace(base.valuation, engine=engine, redis_prefix="t")
        )

    assert isinstance(open_valuation(of("memory")), MemoryValuationStore)
    embedded = open_valuation(of("sqlite"))
    assert isinstance(embedded, SqliteValuationStore)
    embedded.close()
    found = open_valuation(of("redis"), {"RINGLINE_VALUATION_DSN": redis_url})
    assert isinstance(found, RedisValuationStore)
    found.close()
    with pytest.raises(MissingError, match="RINGLINE_VALUATION_DSN"):
        open_valuation(of("postgres"), {})
