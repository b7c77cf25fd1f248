"""What the service takes from the feed, and what it makes of gaps."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from valuation_desk import Reply, Served

from pipeline import valuation_limits
from pipeline.storage.valuation.memory import MemoryValuationStore


def take(served: Served, fate: str, rejected: str = "", seq: int = 1) -> None:
    event = {"type": "candle", "symbol": "AAPL", "time": "2023-05-01T21:00:00Z", "open": "10", "high": "10",
             "low": "10", "close": "10", "volume": "1"}  # fmt: skip
    row: dict[str, Any] = {
        "key": "AAPL", "accepted": "2023-05-01T21:00:01Z", "fate": fate, "rejected": rejected, "event": event
    }  # fmt: skip
    served.hear({"type": "row", "seq": seq, "hash": "ab", "row": row})


def test_only_what_was_decided_marks(served: Served) -> None:
    take(served, "expired")
    take(served, "live", "BAD")
    assert not served.service.desk.quotes.by_symbol
    take(served, "live")
    assert served.service.desk.quotes.by_symbol["AAPL"].mark.price == 100_000


def test_rows_that_were_pruned_leave_the_own_book_incomplete(served: Served) -> None:
    assert served.ask("GET", "/v1/status").body["complete"]
    served.run(served.service.listener._refused(410))
    assert not served.ask("GET", "/v1/status").body["complete"]


def valued(served: Served) -> Reply:
    return served.ask("POST", "/v1/valuations", {"domains": ["pipeline"]})


def test_the_own_book_is_valued_once_all_that_was_settled_is_taken(served: Served) -> None:
    served.hear({"type": "hello", "start": 1, "head": 3})
    for seq in (1, 2):
        take(served, "live", seq=seq)
        answer = valued(served)
        assert (answer.status, answer.body["type"].rpartition("/")[2]) == (503, "own-book-behind")
        assert answer.body["field"] == "domains[0]"
        assert f"{3 - seq} settled row" in answer.body["detail"]
        assert int(answer.headers["retry-after"]) > 0
    take(served, "live", seq=3)
    assert valued(served).status == 200


def test_a_value_that_is_not_known_is_not_recorded_either(served: Served) -> None:
    served.hear({"type": "hello", "start": 1, "head": 1})
    served.run(served.service.navs.turn())
    assert served.ask("GET", "/v1/domains/pipeline/nav").body["values"] == []
    take(served, "live")
    served.run(served.service.navs.turn())
    assert len(served.ask("GET", "/v1/domains/pipeline/nav").body["values"]) == 1


def test_rows_of_a_moment_do_not_make_it_unknown_and_many_do(served: Served) -> None:
    most = valuation_limits.MAX_VALUATION_BEHIND_ROWS
    served.hear({"type": "heartbeat", "head": most})
    assert valued(served).status == 200
    served.hear({"type": "heartbeat", "head": most + 1})
    assert valued(served).status == 503
    assert served.ask("GET", "/v1/status").body["behind"] == most + 1


def test_without_its_feed_nothing_is_known_of_it_and_other_books_are_valued(tmp_path: Path) -> None:
    with contextlib.closing(Served(tmp_path, MemoryValuationStore(), {}, {"feed": False}, 5.0)) as served:
        answer = valued(served)
        assert (answer.status, answer.body["detail"]) == (503, "domains[0]: pipeline: valuation.feed is off")
        own = {"books": [{"domain": "mine", "cash": "5", "positions": []}]}
        assert served.ask("POST", "/v1/valuations", own).body["nav"] == "5"


def test_before_the_feed_has_told_nobody_knows_how_far_behind_it_is(tmp_path: Path) -> None:
    with contextlib.closing(Served(tmp_path, MemoryValuationStore(), {}, {}, 5.0, told=False)) as served:
        assert served.ask("GET", "/v1/status").body["behind"] is None
        assert "the feed is not reached" in valued(served).body["detail"]
