"""What is recorded, what a restart goes on from, and what happens while the engine is away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from valuation_desk import Served, serve_here

from pipeline.messages import BUY, CandleIn, Fill
from pipeline.stages.valuation import pages, wire
from pipeline.stages.valuation.worker import store_the_last
from pipeline.storage.valuation.memory import MemoryValuationStore
from pipeline.storage.valuation.sqlite import SqliteValuationStore
from pipeline.storage.valuation.store import NavRow, StoreAwayError
from pipeline.valuation.amounts import MONEY_SCALE
from pipeline.valuation.book import Book, PositionIn
from pipeline.valuation.quotes import Seen


def teach(served: Served) -> None:
    served.ask("PUT", "/v1/marks/AAPL", {"price": "100.25"})
    served.ask("PUT", "/v1/domains/desk", {"cash": "7", "positions": [{"symbol": "AAPL", "quantity": "3"}]})
    served.service.desk.own.add("AAPL", Fill(1, 0, "sma", BUY, 20_000, 900_000, 5, 0, 20_000, "next_open"))
    served.service.listener.resume(12, "ab", True)


def nav(served: Served, domain: str) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = served.ask("GET", f"/v1/domains/{domain}/nav").body["values"]
    return values


def test_every_domain_is_recorded_with_the_ensemble_off_and_on(served: Served) -> None:
    teach(served)
    served.run(served.service.navs.turn())
    served.clock.advance(s=1)
    served.ask("PUT", "/v1/marks/AAPL", {"price": "100.5"})
    served.run(served.service.navs.turn())
    assert [(one["nav"], one["ensemble"], one["spread"]) for one in nav(served, "desk")] == [
        ("307.75", "307.75", "0"),
        ("308.5", "308.5", "0"),
    ]
    assert nav(served, "pipeline")[0]["nav"] == "20.49999995"


def test_recorded_values_come_page_by_page(served: Served) -> None:
    teach(served)
    for _ in range(5):
        served.run(served.service.navs.turn())
        served.clock.advance(s=1)
    first = served.ask("GET", "/v1/domains/desk/nav?limit=3").body
    rest = served.ask("GET", f"/v1/domains/desk/nav?limit=3&since={first['next']}").body
    assert [len(first["values"]), len(rest["values"]), rest["next"]] == [3, 2, None]
    assert first["values"][-1]["at"] < rest["values"][0]["at"]


def test_a_domain_without_a_mark_is_left_out_and_the_others_are_not(served: Served) -> None:
    teach(served)
    served.ask("PUT", "/v1/domains/odd", {"positions": [{"symbol": "ZZZ", "quantity": "1"}]})
    served.run(served.service.navs.turn())
    assert nav(served, "odd") == []
    assert len(nav(served, "desk")) == 1


def test_values_wait_while_the_engine_is_away(tmp_path: Path) -> None:
    store = MemoryValuationStore()
    with serve_here(tmp_path, store) as served:
        teach(served)
        store.away = True
        for _ in range(3):
            served.run(served.service.navs.turn())
            served.clock.advance(s=1)
        assert served.ask("GET", "/v1/status").body["unstored"] == 6
        store.away = False
        served.run(served.service.navs.turn())
        assert served.ask("GET", "/v1/status").body["unstored"] == 0
        assert len(nav(served, "desk")) == 4


def test_a_restart_goes_on_where_the_last_snapshot_was(tmp_path: Path) -> None:
    file = tmp_path / "valuation.sqlite"
    with serve_here(tmp_path, SqliteValuationStore.open(file)) as served:
        teach(served)
        served.run(served.service.snapshots.turn())
        served.run(served.service.navs.turn())
        before = served.ask("POST", "/v1/valuations", {"domains": ["desk", "pipeline"]}).body
        assert served.ask("GET", "/v1/status").body["snapshot"]["symbols"] == 1
    with serve_here(tmp_path, SqliteValuationStore.open(file)) as served:
        after = served.ask("POST", "/v1/valuations", {"domains": ["desk", "pipeline"], "max_age_s": 0}).body
        assert {**after, "at": ""} == {**before, "at": ""}
        assert served.service.listener.place == (12, "ab", True)
        assert len(nav(served, "desk")) == 1


def test_a_snapshot_that_could_not_be_stored_is_stored_later(tmp_path: Path) -> None:
    store = MemoryValuationStore()
    with serve_here(tmp_path, store) as served:
        teach(served)
        store.away = True
        served.run(served.service.snapshots.turn())
        store.away = False
        served.run(served.service.snapshots.turn())
        found = store.snapshot()
        assert found is not None
        assert set(found.symbols) == {"AAPL"}
        at_us = found.at_us
        served.clock.advance(s=1)
        served.run(served.service.snapshots.turn())
        again = store.snapshot()
        assert again is not None
        assert again.at_us == at_us, "nothing had changed"


def test_another_audit_clears_what_came_from_the_one_before(tmp_path: Path) -> None:
    store = MemoryValuationStore()
    with serve_here(tmp_path, store) as served:
        teach(served)
        served.run(served.service.snapshots.turn())
        served.run(served.service.listener._refused(409))
        served.ask("PUT", "/v1/marks/MSFT", {"price": "5"})
        served.run(served.service.snapshots.turn())
        found = store.snapshot()
        assert found is not None
        assert set(found.symbols) == {"MSFT"}
        assert served.service.listener.place == (1, "", True)
        assert served.ask("GET", "/v1/domains/pipeline").body["positions"] == []


def test_no_value_of_a_domain_that_was_taken_out_comes_back(tmp_path: Path) -> None:
    store = MemoryValuationStore()
    with serve_here(tmp_path, store) as served:
        teach(served)
        store.away = True
        served.run(served.service.navs.turn())
        store.away = False
        served.ask("DELETE", "/v1/domains/desk")
        served.ask("PUT", "/v1/domains/desk", {"cash": "9"})
        served.clock.advance(s=1)
        served.run(served.service.navs.turn())
        assert [one["nav"] for one in nav(served, "desk")] == ["9"]


def test_a_turn_under_way_records_nothing_of_a_domain_that_was_replaced(tmp_path: Path) -> None:
    with serve_here(tmp_path) as served:
        for name in ("a", "g"):
            served.ask("PUT", f"/v1/domains/{name}", {"cash": "111"})

        async def replaced_meanwhile() -> None:
            desk = served.service.desk
            turn = asyncio.create_task(served.service.navs.turn())
            await asyncio.sleep(0)  # it has listed the domains, and valued the first
            await desk.delete("g")
            await desk.put(Book("g", 222 * 10**MONEY_SCALE, ()))
            await turn

        served.run(replaced_meanwhile())
        assert [one["nav"] for one in nav(served, "g")] in ([], ["222"])
        served.clock.advance(s=1)
        served.run(served.service.navs.turn())
        assert nav(served, "g")[-1]["nav"] == "222"


def test_a_book_that_goes_while_others_are_valued_is_not_recorded(tmp_path: Path) -> None:
    with serve_here(tmp_path) as served:
        for name in ("a", "g"):
            served.ask("PUT", f"/v1/domains/{name}", {"cash": "111"})
        desk, navs = served.service.desk, served.service.navs
        turn = navs._take()  # it only gives the loop its turn, so it can be held where it is
        turn.send(None)
        served.run(desk.delete("g"))
        served.run(desk.put(Book("g", 222 * 10**MONEY_SCALE, ())))
        with contextlib.suppress(StopIteration):
            while True:
                turn.send(None)
        assert navs.unstored == 2
        served.run(navs.store())
        assert nav(served, "g") == []
        assert len(nav(served, "a")) == len(nav(served, "pipeline")) == 1


def test_what_another_audit_clears_is_cleared_also_when_the_engine_was_away(tmp_path: Path) -> None:
    store = MemoryValuationStore()
    with serve_here(tmp_path, store) as served:
        teach(served)
        served.run(served.service.snapshots.turn())
        served.run(served.service.listener._refused(409))
        store.away = True
        served.run(served.service.snapshots.turn())
        store.away = False
        served.run(served.service.snapshots.turn())
        found = store.snapshot()
        assert found is not None
        assert not found.symbols


class Slow(MemoryValuationStore):
    """Takes a domain out only when a value's turn has come meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def delete_domain(self, name: str, version: int) -> None:
        self.begun.set()
        assert self.go_on.wait(4)
        super().delete_domain(name, version)


def test_values_are_not_stored_behind_a_domain_that_goes(tmp_path: Path) -> None:
    store = Slow()
    with serve_here(tmp_path, store) as served:
        served.ask("PUT", "/v1/domains/g", {"cash": "111"})

        async def meanwhile() -> None:
            going = asyncio.create_task(served.service.desk.delete("g"))
            await asyncio.to_thread(store.begun.wait, 4)
            turn = asyncio.create_task(served.service.navs.turn())
            for _ in range(20):
                await asyncio.sleep(0)
            store.go_on.set()
            await asyncio.gather(going, turn)

        served.run(meanwhile())
        served.ask("PUT", "/v1/domains/g", {"cash": "222"})
        assert nav(served, "g") == []


def posted(close: int, count: int) -> wire.CandlesIn:
    price, time = str(close), f"2023-05-{close:02}T21:00:00Z"
    candles = [CandleIn(f"S{number}", time, price, price, price, price) for number in range(count)]
    return wire.CandlesIn(tuple(candles))


def test_no_valuation_and_no_snapshot_is_between_the_marks_of_one_post(tmp_path: Path) -> None:
    count = 120
    store = MemoryValuationStore()
    symbols = tuple(PositionIn(f"S{number}", "1") for number in range(count))
    wanted = wire.ValuationIn(books=(wire.BookIn("x", symbols),), ensemble=False)
    decode = msgspec.msgpack.Decoder(Seen).decode
    valued = 0
    with serve_here(tmp_path, store) as served:
        desk = served.service.desk

        async def meanwhile() -> None:
            nonlocal valued
            await pages.take_candles(desk, posted(1, count))
            for close in range(2, 20):
                posting = asyncio.create_task(pages.take_candles(desk, posted(close, count)))
                for step in range(100):
                    if posting.done():
                        break
                    (book,) = json.loads(await desk.value(wanted))["domains"]
                    assert len({one["price"] for one in book["positions"]}) == 1
                    valued += 1
                    if step == close:  # each time when another part of the post has been looked at
                        await served.service.snapshots.turn()
                    await asyncio.sleep(0)
                await posting
                snapshot = store.snapshot()
                if snapshot is not None:
                    closes = {decode(body).mark.price for body in snapshot.symbols.values()}
                    assert (len(snapshot.symbols), len(closes)) == (count, 1)

        served.run(meanwhile())
    assert valued > 100, "they met posts that were under way"


def test_of_two_posts_one_is_taken_after_the_other(tmp_path: Path) -> None:
    with serve_here(tmp_path) as served:
        desk = served.service.desk

        async def both() -> tuple[wire.TakenOut, wire.TakenOut]:
            return await asyncio.gather(
                pages.take_candles(desk, posted(2, 40)), pages.take_candles(desk, posted(1, 40))
            )

        first, second = served.run(both())
        assert (first.taken, second.taken, second.late) == (40, 0, 40)


def test_on_leaving_what_waits_is_stored_and_nothing_more_is_valued(tmp_path: Path) -> None:
    store = MemoryValuationStore()
    with serve_here(tmp_path, store) as served:
        teach(served)
        store.away = True
        for _ in range(3):
            served.run(served.service.navs.turn())
            served.clock.advance(s=1)
        store.away = False
        served.run(store_the_last(served.service, 5))
        assert served.service.navs.unstored == 0
        assert len(nav(served, "desk")) == 3
        found = store.snapshot()
        assert found is not None
        assert set(found.symbols) == {"AAPL"}


@pytest.mark.parametrize(("slow", "why"), [(False, "away, as it was told to be"), (True, "0.05 s were not")])
def test_what_is_not_stored_on_leaving_is_said_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, slow: bool, why: str
) -> None:
    store = Late()
    with serve_here(tmp_path, store) as served:
        teach(served)
        store.away = True
        served.run(served.service.navs.turn())
        store.away = not slow
        store.is_late = slow
        caplog.clear()
        served.run(store_the_last(served.service, 0.05))
        first, second = (record.getMessage() for record in caplog.records)
        assert first.startswith("valuation: 2 values are not stored: ")
        assert second.startswith("valuation: the last snapshot is that of never: ")
        assert why in first
        assert why in second
        store.go_on.set()


class Late(MemoryValuationStore):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_late, self.go_on = False, threading.Event()

    def append_nav(self, rows: Sequence[NavRow], keep_since_us: int) -> None:
        if self.is_late:
            assert self.go_on.wait(4)
        super().append_nav(rows, keep_since_us)

    def put_snapshot(self, at_us: int, head: bytes, symbols: Mapping[str, bytes], *, clear: bool) -> None:
        if self.is_late:
            assert self.go_on.wait(4)
            raise StoreAwayError("cut")
        super().put_snapshot(at_us, head, symbols, clear=clear)


def test_a_snapshot_that_leaving_cuts_off_is_stored_by_the_last_one(tmp_path: Path) -> None:
    store = Late()
    with serve_here(tmp_path, store) as served:
        teach(served)
        store.is_late = True

        async def cut() -> None:
            turn = asyncio.create_task(served.service.snapshots.turn())
            await asyncio.sleep(0.01)
            turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)
            store.go_on.set()
            store.is_late = False
            await store_the_last(served.service, 5)

        served.run(cut())
        found = store.snapshot()
        assert found is not None
        assert set(found.symbols) == {"AAPL"}
