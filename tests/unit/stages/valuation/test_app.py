"""The API as a client sees it: what is answered, and a named problem for everything that is wrong."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from valuation_desk import Reply, Served, serve_here

from pipeline import valuation_limits
from pipeline.stages.valuation import wire
from pipeline.storage.valuation.memory import MemoryValuationStore

DAY = "2023-05-{:02}T21:00:00Z"


def candle(symbol: str, day: int, close: str, volume: str = "100") -> dict[str, str]:
    high, low = str(Decimal(close) + 1), str(Decimal(close) - 1)
    return {"type": "candle", "symbol": symbol, "time": DAY.format(day), "open": close, "high": high,
            "low": low, "close": close, "volume": volume}  # fmt: skip


def teach(served: Served) -> None:
    """Two symbols with a few candles each, and a domain of both."""
    closes = (("AAPL", "99"), ("MSFT", "50"), ("AAPL", "102"), ("MSFT", "51"), ("AAPL", "101"))
    candles = [candle(symbol, day, close) for day, (symbol, close) in enumerate(closes, 1)]
    assert served.ask("POST", "/v1/candles", {"candles": candles}).body == {"taken": 5, "late": 0}
    posted = {
        "cash": "1000",
        "positions": [
            {"symbol": "MSFT", "quantity": "-10", "cost": "520"},
            {"symbol": "AAPL", "quantity": "100"},
        ],
    }
    assert served.ask("PUT", "/v1/domains/desk", posted).status == 200


def value(served: Served, **wanted: Any) -> Reply:
    return served.ask("POST", "/v1/valuations", wanted)


def is_problem(reply: Reply, kind: str, status: int, *texts: str) -> None:
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.body["type"] == f"https://ringline.dev/problems/{kind}"
    assert reply.status == reply.body["status"] == status
    for text in texts:
        assert text in reply.body["detail"]


def test_a_domain_is_valued_with_the_ensemble_off(served: Served) -> None:
    teach(served)
    reply = value(served, domains=["desk"])
    assert reply.status == 200
    found = msgspec.json.decode(reply.content, type=wire.ValuationOut)
    (desk,) = found.domains
    assert (desk.cash, desk.value, desk.nav, desk.profit) == ("1000", "9590", "10590", "10")
    assert found.nav == "10590"
    assert desk.positions is not None
    assert [(one.symbol, one.price, one.value, one.profit) for one in desk.positions] == [
        ("AAPL", "101", "10100", None),
        ("MSFT", "51", "-510", "10"),
    ]
    assert desk.spread is None
    assert desk.positions[0].confidence is None


def test_the_ensemble_gives_each_price_its_confidence(served: Served) -> None:
    teach(served)
    found = msgspec.json.decode(
        value(served, domains=["desk"], ensemble=True).content, type=wire.ValuationOut
    )
    assert found.domains[0].positions is not None
    apple = found.domains[0].positions[0]
    assert (apple.price, apple.spread, apple.confidence) == ("101", "0", "1")
    mark = served.ask("GET", "/v1/marks/AAPL").body
    assert (mark["low"], mark["high"]) == ("100.6667", "101")
    assert found.domains[0].spread is not None


def test_every_text_put_together_by_hand_is_what_the_page_promises(served: Served) -> None:
    teach(served)
    for ensemble in (False, True, False):
        for positions in (False, True):
            book = {"domain": "now", "positions": [{"symbol": "MSFT", "quantity": "0.0001", "cost": "0"}]}
            content = value(
                served, domains=["desk", "pipeline"], books=[book], ensemble=ensemble, positions=positions
            ).content
            found = msgspec.json.decode(content, type=wire.ValuationOut)
            assert (found.domains[0].positions is not None) == positions
            assert [one.domain for one in found.domains] == ["desk", "pipeline", "now"]
            assert Decimal(found.nav) == sum(Decimal(one.nav) for one in found.domains)


def test_texts_that_are_kept_follow_the_marks(served: Served) -> None:
    teach(served)
    before = value(served, domains=["desk"]).content
    assert value(served, domains=["desk"]).content == before
    assert served.ask("PUT", "/v1/marks/AAPL", {"price": "110"}).status == 200
    found = msgspec.json.decode(value(served, domains=["desk"]).content, type=wire.ValuationOut)
    assert found.domains[0].value == "10490"
    served.ask("PUT", "/v1/domains/desk/positions/MSFT", {"quantity": "0"})
    found = msgspec.json.decode(value(served, domains=["desk"]).content, type=wire.ValuationOut)
    assert found.domains[0].value == "11000"


def test_a_large_batch_is_valued_at_one_instant_and_the_same(served: Served) -> None:
    count = 3 * valuation_limits.VALUATION_SLICE
    marks = [candle(f"S{number}", 1, str(2 + number)) for number in range(count)]
    served.ask("POST", "/v1/candles", {"candles": marks})
    positions = [{"symbol": f"S{number}", "quantity": "1"} for number in range(count)]
    served.ask("PUT", "/v1/domains/big", {"positions": positions})
    whole = sum(range(2, 2 + count))
    for wanted in ({"domains": ["big"]}, {"books": [{"domain": "x", "positions": positions}]}):
        for _ in range(2):
            reply = value(served, **wanted)
            assert reply.body["nav"] == str(whole)
            assert len(reply.body["domains"][0]["positions"]) == count


def test_a_batch_keeps_its_instant_while_another_one_values_the_same_book(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valuation_limits, "VALUATION_SLICE", 2)
    symbols = [f"S{number}" for number in range(20)]
    positions = [{"symbol": symbol, "quantity": "1"} for symbol in symbols]
    served.ask("PUT", "/v1/domains/big", {"positions": positions})
    desk, wanted = served.service.desk, wire.ValuationIn(("big",))

    def mark(price: int) -> None:
        for symbol in symbols:
            desk.quotes.post(symbol, price, served.clock.wall_us(), served.clock.wall_us())

    async def both() -> tuple[bytes, bytes]:
        mark(10_000)
        first = asyncio.create_task(desk.value(wanted))
        for _ in range(4):
            await asyncio.sleep(0)
        assert not first.done()
        mark(20_000)
        second = asyncio.create_task(desk.value(wanted))
        return await asyncio.gather(first, second)

    for content, price in zip(served.run(both()), ("1", "2"), strict=True):
        found = msgspec.json.decode(content, type=wire.ValuationOut)
        assert found.domains[0].positions is not None
        assert {one.price for one in found.domains[0].positions} == {price}
        assert found.nav == str(20 * int(price))


def test_domains_are_kept_listed_changed_and_taken_out(served: Served) -> None:
    teach(served)
    assert served.ask("GET", "/v1/domains").body == {
        "domains": [
            {"domain": "desk", "version": 1, "own": False, "positions": 2},
            {"domain": "pipeline", "version": 1, "own": True, "positions": 0},
        ]
    }
    reply = served.ask("PUT", "/v1/domains/desk/positions/IBM", {"quantity": "7", "cost": "700"})
    assert reply.body["version"] == 2
    assert served.ask("GET", "/v1/domains/desk").body == reply.body
    assert [one["symbol"] for one in reply.body["positions"]] == ["AAPL", "IBM", "MSFT"]
    assert served.ask("DELETE", "/v1/domains/desk").status == 204
    is_problem(served.ask("GET", "/v1/domains/desk"), "unknown-domain", 404, "desk")
    is_problem(served.ask("DELETE", "/v1/domains/desk"), "unknown-domain", 404)


def test_a_symbol_may_have_a_slash(served: Served) -> None:
    assert served.ask("PUT", "/v1/marks/BTC/USD", {"price": "65000.25"}).body["mark"] == "65000.25"
    assert served.ask("GET", "/v1/marks/BTC/USD").body["symbol"] == "BTC/USD"


def test_a_version_that_is_not_the_kept_one_changes_nothing(served: Served) -> None:
    assert served.ask("PUT", "/v1/domains/desk", {"version": 0}).body["version"] == 1
    is_problem(
        served.ask("PUT", "/v1/domains/desk", {"version": 0}), "domain-changed", 409, "version 1, not 0"
    )
    assert served.ask("PUT", "/v1/domains/desk", {"version": 1}).body["version"] == 2


def test_the_own_domain_is_nobodys_to_change(served: Served) -> None:
    is_problem(served.ask("PUT", "/v1/domains/pipeline", {}), "own-domain", 409, "valuation.own_domain")
    is_problem(served.ask("DELETE", "/v1/domains/pipeline"), "own-domain", 409)


def test_marks_are_shown_with_what_each_model_makes_of_them(served: Served) -> None:
    teach(served)
    mark = served.ask("GET", "/v1/marks/AAPL").body
    assert (mark["mark"], mark["source"], mark["bars"]) == ("101", "candle", 3)
    assert {one["model"] for one in mark["models"]} == {"ewma", "last", "median", "typical", "vwap"}
    marks = served.ask("GET", "/v1/marks").body
    assert [one["symbol"] for one in marks["marks"]] == ["AAPL", "MSFT"]
    assert served.ask("GET", "/v1/marks?after=AAPL").body["marks"][0]["symbol"] == "MSFT"


# ---- what is wrong


@pytest.mark.parametrize(
    ("wanted", "kind", "status", "text"),
    [
        ({"domains": ["nobody"]}, "unknown-domain", 404, "domains[0]: there is no domain nobody"),
        ({}, "unacceptable-body", 422, "domains: name one"),
        ({"domains": ["desk", "desk"]}, "unacceptable-body", 422, "there twice"),
        ({"domains": ["a"] * 65}, "valuation-too-large", 413, "domains: 65 of them; the limit is 64"),
        ({"domains": ["desk"], "ensemble": "yes"}, "unacceptable-body", 422, "ensemble: Expected `bool`"),
        ({"domains": ["desk"], "unknown": 1}, "unacceptable-body", 422, "unknown"),
        (
            {"books": [{"domain": "x", "positions": [{"symbol": "ZZZ", "quantity": "1"}]}]},
            "unknown-symbol", 404, "x: no price of ZZZ",
        ),
        (
            {"books": [{"domain": "x", "positions": [{"symbol": "AAPL", "quantity": "NaN"}]}]},
            "unacceptable-body", 422,
            "books[0].positions[0].quantity: 'NaN' is no decimal number such as -12.5",
        ),
        (
            {"books": [{"domain": "x", "positions": [{"symbol": "a b", "quantity": "1"}]}]},
            "unacceptable-body", 422, "books[0].positions[0].symbol: 'a b' is no name",
        ),
        (
            {"books": [{"domain": "x", "positions": [{"symbol": "AAPL", "quantity": "-" * 50}]}]},
            "unacceptable-body", 422, "books[0].positions[0].quantity",
        ),
        (
            {"books": [{"domain": "x", "positions": [{"symbol": "AAPL", "quantity": "0.00001"}]}]},
            "unacceptable-body", 422, "books[0].positions[0].quantity: '0.00001' has more than 4 decimals",
        ),
        (
            {"books": [{"domain": "x", "cash": "Infinity", "positions": []}]},
            "unacceptable-body", 422, "books[0].cash: 'Infinity' is no decimal number",
        ),
    ],
)  # fmt: skip
def test_a_batch_that_is_wrong_is_told_where(
    served: Served, wanted: dict[str, Any], kind: str, status: int, text: str
) -> None:
    teach(served)
    is_problem(value(served, **wanted), kind, status, text)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"domains":["desk"],"max_age_s":NaN}', b"[" * 100_000, b'{"domains":[1e999]}'],
)
def test_a_body_that_is_no_json_is_named(served: Served, body: bytes) -> None:
    reply = served.ask("POST", "/v1/valuations", body)
    assert reply.status in (400, 422)
    assert reply.headers["content-type"] == "application/problem+json"


def test_an_enormous_body_is_not_read_to_its_end(served: Served) -> None:
    body = b" " * (valuation_limits.MAX_VALUATION_BODY_BYTES + 1)
    is_problem(served.ask("POST", "/v1/valuations", body), "body-too-large", 413, "the limit")


def test_enormous_books_are_refused(served: Served) -> None:
    positions = [{"symbol": "A", "quantity": "1"}] * (valuation_limits.MAX_POSITIONS + 1)
    is_problem(served.ask("PUT", "/v1/domains/x", {"positions": positions}), "valuation-too-large", 413)
    book = {"domain": "x", "positions": positions}
    is_problem(value(served, books=[book]), "valuation-too-large", 413, "books[0].positions: 10001 of them")


def test_a_symbol_that_is_known_and_not_marked_is_told_so(tmp_path: Path) -> None:
    with serve_here(tmp_path) as served:
        served.ask("PUT", "/v1/marks/A", {"price": "1"})
        book = {"domain": "x", "positions": [{"symbol": "default", "quantity": "1"}]}
        is_problem(value(served, books=[book]), "unknown-symbol", 404)
    with serve_here(tmp_path, models={"vwap": {"kind": "vwap"}}, model="vwap") as served:
        served.ask("PUT", "/v1/marks/A", {"price": "1"})
        book = {"domain": "x", "positions": [{"symbol": "A", "quantity": "1"}]}
        is_problem(value(served, books=[book]), "no-mark", 409, "x: no price of A")
    is_problem_of_unknown = "nothing is known of 'ZZZ'"
    with serve_here(tmp_path) as served:
        is_problem(served.ask("GET", "/v1/marks/ZZZ"), "unknown-symbol", 404, is_problem_of_unknown)


def test_a_stale_mark_values_nothing_unless_asked_for(served: Served) -> None:
    teach(served)
    served.clock.advance(s=604_801)
    is_problem(value(served, domains=["desk"]), "stale-mark", 409, "is 604801.0 s old; the limit is 604800 s")
    assert value(served, domains=["desk"], max_age_s=0).status == 200
    served.ask("PUT", "/v1/marks/AAPL", {"price": "100"})
    is_problem(value(served, domains=["desk"], max_age_s=10), "stale-mark", 409, "MSFT")


def test_a_fresh_mark_on_stale_bars_moves_the_price_and_is_told_as_unsure(served: Served) -> None:
    served.ask("POST", "/v1/candles", {"candles": [candle("A", day, "100") for day in range(1, 6)]})
    served.clock.advance(s=4)
    book = {"domain": "x", "positions": [{"symbol": "A", "quantity": "10"}]}
    for ensemble in (False, True):
        is_problem(value(served, books=[book], ensemble=ensemble, max_age_s=2), "stale-mark", 409, "4.0 s")
    served.ask("PUT", "/v1/marks/A", {"price": "5"})
    plain = value(served, books=[book], max_age_s=2).body
    assert plain["nav"] == "50"
    (position,) = value(served, books=[book], ensemble=True, max_age_s=2).body["domains"][0]["positions"]
    assert Decimal(position["price"]) <= Decimal("52.5"), "at least half of the way to the mark"
    assert Decimal(position["spread"]) >= Decimal(position["price"]) - 5
    assert Decimal(position["confidence"]) < Decimal("0.6")


def test_a_posted_mark_is_as_old_as_its_own_time(served: Served) -> None:
    position = {"symbol": "OLD", "quantity": "1"}
    served.ask("PUT", "/v1/marks/OLD", {"price": "3", "time": "1990-01-01T00:00:00Z"})
    served.ask("PUT", "/v1/domains/old", {"positions": [position]})
    for wanted in ({"domains": ["old"]}, {"books": [{"domain": "x", "positions": [position]}]}):
        is_problem(value(served, **wanted, max_age_s=5), "stale-mark", 409, "OLD")
        assert value(served, **wanted, max_age_s=0).status == 200
    served.ask("PUT", "/v1/marks/OLD", {"price": "3"})
    assert value(served, domains=["old"], max_age_s=5).status == 200


def test_a_mark_from_the_future_freezes_nothing(served: Served) -> None:
    reply = served.ask("PUT", "/v1/marks/AAA", {"price": "1", "time": "2099-01-01T00:00:00Z"})
    is_problem(reply, "unacceptable-body", 422, "time: ", "in the future; the limit is 86400 s")
    posted = [candle("AAA", 1, "10"), {**candle("AAA", 2, "10"), "time": "2099-01-01T00:00:00Z"}]
    reply = served.ask("POST", "/v1/candles", {"candles": posted})
    is_problem(reply, "unacceptable-body", 422, "candles[1].time: ", "in the future")
    assert served.ask("GET", "/v1/marks").body["marks"] == []
    assert served.ask("PUT", "/v1/marks/AAA", {"price": "1"}).status == 200


def test_a_batch_of_too_many_positions_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valuation_limits, "MAX_BATCH_POSITIONS", 3)
    teach(served)
    book = {"domain": "x", "positions": [{"symbol": "AAPL", "quantity": "1"}]}
    assert value(served, domains=["desk"], books=[book]).status == 200
    more = {"domain": "y", "positions": [{"symbol": "AAPL", "quantity": "1"}]}
    reply = value(served, domains=["desk"], books=[book, more])
    is_problem(reply, "valuation-too-large", 413, "positions: 4 of them; the limit is 3")


def test_candles_of_too_many_symbols_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valuation_limits, "MAX_MARKED_SYMBOLS", 2)
    candles = [candle(symbol, 1, "10") for symbol in ("A", "B", "C")]
    reply = served.ask("POST", "/v1/candles", {"candles": candles})
    is_problem(reply, "valuation-too-large", 413, "2 symbols have marks")
    assert served.ask("GET", "/v1/marks").body["marks"] == []
    assert served.ask("POST", "/v1/candles", {"candles": candles[:2]}).status == 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"price": "NaN"}, "unacceptable-body"),
        ({"price": "0"}, "unacceptable-body"),
        ({"price": "-1"}, "unacceptable-body"),
        ({"price": 1.5}, "unacceptable-body"),
        ({"price": "1", "time": "yesterday"}, "unacceptable-body"),
        ({"price": "1", "time": "2001-01-01T00:00:00Z"}, "older-mark"),
    ],
)
def test_a_mark_that_is_none_changes_nothing(served: Served, body: dict[str, Any], kind: str) -> None:
    teach(served)
    before = served.ask("GET", "/v1/marks/AAPL").body
    is_problem(served.ask("PUT", "/v1/marks/AAPL", body), kind, 409 if kind == "older-mark" else 422)
    assert served.ask("GET", "/v1/marks/AAPL").body == before


def test_one_bad_candle_and_none_is_taken(served: Served) -> None:
    posted = [candle("A", 1, "10"), {**candle("A", 2, "10"), "high": "1"}]
    is_problem(
        served.ask("POST", "/v1/candles", {"candles": posted}), "unacceptable-body", 422, "candles[1].low"
    )
    assert served.ask("GET", "/v1/marks").body["marks"] == []


def test_an_engine_that_is_away_changes_nothing_and_valuing_goes_on(tmp_path: Path) -> None:
    store = MemoryValuationStore()
    with serve_here(tmp_path, store) as served:
        teach(served)
        before = served.ask("GET", "/v1/domains").body
        store.away = True
        for method, path, body in (
            ("PUT", "/v1/domains/new", {}),
            ("PUT", "/v1/domains/desk", {}),
            ("PUT", "/v1/domains/desk/positions/AAPL", {"quantity": "1"}),
            ("DELETE", "/v1/domains/desk", None),
            ("GET", "/v1/domains/desk/nav", None),
        ):
            reply = served.ask(method, path, body)
            is_problem(reply, "engine-away", 503, "nothing was changed")
            assert reply.headers["retry-after"] == "5"
        assert served.ask("GET", "/v1/domains").body == before
        assert value(served, domains=["desk"]).status == 200
        store.away = False
        assert served.ask("PUT", "/v1/domains/desk", {}).body["version"] == 2


def test_what_is_not_there_and_what_cannot_be_done_is_told_alike(served: Served) -> None:
    is_problem(served.ask("GET", "/v1/nothing"), "not-found", 404)
    is_problem(served.ask("PATCH", "/v1/domains/desk"), "method-not-allowed", 405)
    is_problem(served.ask("GET", "/v1/domains/desk/nav?limit=x"), "unacceptable-body", 422, "limit")
    is_problem(served.ask("GET", "/v1/domains/pipeline/nav?since=x"), "unacceptable-body", 422, "since")
    is_problem(served.ask("GET", "/v1/domains/" + "d" * 65), "unacceptable-body", 422, "domain")


# ---- who may


def test_roles_may_what_they_say(tmp_path: Path) -> None:
    tokens = {"READ": "r" * 20, "CONTROL": "c" * 20}
    with serve_here(
        tmp_path, None, tokens, host="0.0.0.0", read_token_env=["READ"], control_token_env=["CONTROL"]
    ) as served:

        def status(method: str, path: str, token: str = "", **headers: str) -> int:
            given = {"authorization": f"Bearer {token}"} if token else {}
            return served.ask(method, path, {}, {"host": "desk.example", **given, **headers}).status

        assert status("GET", "/v1/domains") == 401
        assert status("GET", "/v1/domains", "x" * 20) == 401
        assert status("GET", "/v1/domains", tokens["READ"]) == 200
        assert status("POST", "/v1/valuations", tokens["READ"]) == 422
        assert status("PUT", "/v1/domains/desk", tokens["READ"]) == 403
        assert status("POST", "/v1/candles", tokens["READ"]) == 403
        assert status("PUT", "/v1/domains/desk", tokens["CONTROL"]) == 200
        assert status("GET", "/healthz") == 200
        assert status("GET", "/openapi.json") == 200
        assert status("GET", "/v1/domains", tokens["READ"], origin="https://evil.example") == 403


def test_without_tokens_only_this_machines_name_is_answered(served: Served) -> None:
    reply = served.ask("GET", "/v1/domains", headers={"host": "evil.example"})
    is_problem(reply, "forbidden-origin", 403)
    reply = served.ask("GET", "/v1/domains", headers={"origin": "http://127.0.0.1:3000"})
    assert reply.headers["access-control-allow-origin"] == "http://127.0.0.1:3000"


def test_the_page_describes_every_path_and_what_it_answers(served: Served) -> None:
    page = served.ask("GET", "/openapi.json").body
    assert set(page["paths"]) == {
        "/v1/valuations", "/v1/domains", "/v1/domains/{domain}", "/v1/domains/{domain}/positions/{symbol}",
        "/v1/domains/{domain}/nav", "/v1/marks", "/v1/marks/{symbol}", "/v1/candles", "/v1/status",
        "/healthz",
    }  # fmt: skip
    body = page["paths"]["/v1/valuations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/ValuationIn"}
    shape = page["components"]["schemas"]["ValuationIn"]["properties"]
    assert tuple(shape) == wire.ValuationIn.__struct_fields__
