"""What the service takes from the feed, and what it makes of gaps."""

from __future__ import annotations

import json
from typing import Any

from valuation_desk import Served

from pipeline.stages.valuation.listener import _decode


def take(served: Served, fate: str, rejected: str = "") -> None:
    event = {"type": "candle", "symbol": "AAPL", "time": "2023-05-01T21:00:00Z", "open": "10", "high": "10",
             "low": "10", "close": "10", "volume": "1"}  # fmt: skip
    row: dict[str, Any] = {
        "key": "AAPL", "accepted": "2023-05-01T21:00:01Z", "fate": fate, "rejected": rejected, "event": event
    }  # fmt: skip
    message = _decode(json.dumps({"type": "row", "seq": 1, "hash": "ab", "row": row}))
    assert message.row is not None
    served.run(served.service.listener._row(message.seq, message.hash, message.row))


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
