"""An engine that takes calls and answers none: real servers, stopped by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Postgres, Redis, running_postgres, running_redis
from valuation_desk import Served, serve_here

from pipeline import valuation_limits
from pipeline.storage.valuation.memory import MemoryValuationStore
from pipeline.storage.valuation.postgres import PostgresValuationStore
from pipeline.storage.valuation.redis import RedisValuationStore
from pipeline.storage.valuation.store import StoreAwayError, ValuationStore

WITHIN_S = 1.0
MARGIN_S = 2.0
"""For a busy machine."""


@pytest.fixture(params=["postgres", "redis"])
def engine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Postgres | Redis, ValuationStore]]:
    with contextlib.ExitStack() as opened:
        if request.param == "postgres":
            postgres = opened.enter_context(running_postgres())
            yield postgres, PostgresValuationStore.open(postgres.dsn, "ringline_valuation")
            return
        monkeypatch.setattr(valuation_limits, "VALUATION_STORE_S", WITHIN_S)
        redis = opened.enter_context(running_redis())
        yield redis, RedisValuationStore.open(redis.url, "test")


@contextlib.contextmanager
def frozen(server: Postgres | Redis) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


def put(served: Served, cash: str) -> tuple[int, float]:
    started_s = time.monotonic()
    reply = served.ask("PUT", "/v1/domains/desk", {"cash": cash})
    return reply.status, time.monotonic() - started_s


async def _until(what: Any, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def _turns_while(served: Served, what: Any, within_s: float) -> None:
    """The loop of values, as the service runs it, until `what` holds."""
    loop = asyncio.create_task(served.service.navs.run())
    moving = asyncio.create_task(_move(served))
    try:
        await _until(what, within_s)
    finally:
        for task in (loop, moving):
            task.cancel()
        await asyncio.gather(loop, moving, return_exceptions=True)


async def _move(served: Served) -> None:
    while True:
        served.clock.advance(s=1)
        await asyncio.sleep(0.01)


def test_requests_are_told_and_values_wait_until_it_goes_on(
    tmp_path: Path, engine: tuple[Postgres | Redis, ValuationStore]
) -> None:
    server, store = engine
    with serve_here(tmp_path, store, within_s=WITHIN_S, nav_every_ms=20) as served:
        navs = served.service.navs
        assert put(served, "5")[0] == 200
        with frozen(server):
            for path in ("/v1/domains/desk/nav", "/v1/domains/pipeline/nav"):
                started_s = time.monotonic()
                assert served.ask("GET", path).status == 503
                assert time.monotonic() - started_s < WITHIN_S + MARGIN_S
            status, took_s = put(served, "6")
            assert status == 503
            assert took_s < WITHIN_S + MARGIN_S
            # Twenty turns of two domains while each call takes fifty turns' time: none waits for another.
            served.run(_turns_while(served, lambda: navs.unstored >= 40, WITHIN_S))
            assert served.ask("POST", "/v1/valuations", {"domains": ["desk"]}).body["nav"] == "5"
        served.run(_turns_while(served, lambda: navs.unstored < 10, 20))
        served.run(navs.turn())
        assert len(served.ask("GET", "/v1/domains/pipeline/nav").body["values"]) >= 20
        assert put(served, "7")[0] == 200
        assert served.ask("POST", "/v1/valuations", {"domains": ["desk"]}).body["nav"] == "7"


class Unanswering(MemoryValuationStore):
    """Does what it is told and does not say so."""

    silent = False

    def put_domain(self, name: str, version: int, body: bytes) -> None:
        super().put_domain(name, version, body)
        if self.silent:
            deadline = time.monotonic() + 30
            while self.silent and time.monotonic() < deadline:
                time.sleep(0.001)
            raise StoreAwayError("cut")

    def give_up(self) -> None:
        self.silent = False


def test_a_change_that_was_not_answered_is_seen_when_the_engine_is_back(tmp_path: Path) -> None:
    store = Unanswering()
    with serve_here(tmp_path, store, within_s=0.1) as served:
        store.silent = True
        reply = served.ask("PUT", "/v1/domains/desk", {"cash": "5"})
        assert (reply.status, "in time" in reply.body["detail"]) == (503, True)
        served.run(_until(lambda: served.keeper._stuck is None or served.keeper._stuck.done(), 5))
        served.run(served.service.navs.turn())
        assert served.ask("GET", "/v1/domains/desk").body["version"] == 1
        assert served.ask("PUT", "/v1/domains/desk", {"cash": "6"}).body["version"] == 2


def test_what_waits_is_bounded_and_what_had_no_room_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valuation_limits, "MAX_NAV_PENDING", 3)
    store = MemoryValuationStore()
    with serve_here(tmp_path, store) as served:
        store.away = True
        for _ in range(5):
            served.run(served.service.navs.turn())
            served.clock.advance(s=1)
        found = served.ask("GET", "/v1/status").body
        assert (found["unstored"], found["lost"]) == (3, 2)


def test_what_has_waited_is_stored_in_several_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valuation_limits, "MAX_NAV_STORED", 2)
    store = MemoryValuationStore()
    with serve_here(tmp_path, store) as served:
        store.away = True
        for _ in range(5):
            served.run(served.service.navs.turn())
            served.clock.advance(s=1)
        store.away = False
        served.run(served.service.navs.turn())
        assert served.service.navs.unstored == 0
        assert len(store.nav("pipeline", 0, 10**18, 100)) == 6
