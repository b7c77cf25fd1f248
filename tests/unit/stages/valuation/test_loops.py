"""What is recorded, what a restart goes on from, and what happens while the engine is away."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from valuation_desk import Served, serve_here

from pipeline.messages import BUY, Fill
from pipeline.storage.valuation.memory import MemoryValuationStore
from pipeline.storage.valuation.sqlite import SqliteValuationStore
from pipeline.valuation.amounts import MONEY_SCALE
from pipeline.valuation.book import Book


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
        served.service.listener._refused(409)
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
