"""However large a book is, the event loop turns: nothing of it is done in one long piece."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valuation_desk import Served, serve_here

from pipeline import valuation_limits
from pipeline.messages import Candle
from pipeline.stages.valuation.loops import NavPoint, _encode
from pipeline.storage.valuation.memory import MemoryValuationStore
from pipeline.storage.valuation.store import NavRow

COUNT = valuation_limits.MAX_POSITIONS
MOST_MS = 5.0
"""Of this thread's processor time in one turn of the loop, so that others' load is none of it. In one piece
these took 18 to 60 ms."""
POSITIONS = [{"symbol": f"S{number:05}", "quantity": "3", "cost": "5"} for number in range(COUNT)]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A domain of as many positions as may be, all with a mark, and with as many recorded values as are told
    at once."""
    store = MemoryValuationStore()
    folder: Path = tmp_path_factory.mktemp("large")
    with serve_here(folder, store) as served:
        quotes = served.service.desk.quotes
        for day in range(3):
            bars = [Candle(one["symbol"], day, 9, 9, 9, 9, 1) for one in POSITIONS]
            quotes.keep([quotes.priced(seen) for seen in quotes.after_candles(bars, 1)[0]])
        assert served.ask("PUT", "/v1/domains/big", {"positions": POSITIONS}).status == 200
        body = _encode(NavPoint("123456789012345678901", "1234567890123456789", "5"))
        store.append_nav([NavRow("big", at_us, body) for at_us in range(valuation_limits.MAX_NAV_ROWS)], 0)
        gc.collect()
        gc.disable()
        try:
            yield served
        finally:
            gc.enable()


async def longest_turn_ms(work: Any) -> float:
    task, longest_s = asyncio.ensure_future(work), 0.0
    while not task.done():
        began_s = time.thread_time()
        await asyncio.sleep(0)
        longest_s = max(longest_s, time.thread_time() - began_s)
    assert task.result()[0] == 200
    return longest_s * 1000


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/domains/big", None),
        ("PUT", "/v1/domains/big", {"positions": POSITIONS}),
        ("PUT", "/v1/domains/big/positions/S05000", {"quantity": "4"}),
        ("POST", "/v1/valuations", {"domains": ["big"], "ensemble": True, "max_age_s": 0}),
        ("POST", "/v1/valuations", {"books": [{"domain": "x", "positions": POSITIONS}], "max_age_s": 0}),
        ("GET", "/v1/domains/big/nav?limit=10000", None),
        ("GET", "/v1/marks", None),
    ],
    ids=lambda one: one.replace("/", " ") if isinstance(one, str) else "",
)
def test_a_large_book_holds_no_turn_for_long(large: Served, method: str, path: str, body: Any) -> None:
    content = b"" if body is None else json.dumps(body).encode()
    took_ms = [large.run(longest_turn_ms(large.send(method, path, content, {}))) for _ in range(3)]
    assert min(took_ms) < MOST_MS
