"""Captured requests, damaged: only promised answers, no traceback, nothing left behind.

The long form: RINGLINE_FUZZ_CASES=10000000 RINGLINE_FUZZ_SEED=1 pytest tests/integration/test_gateway_fuzz.py
A failure names seed and case; RINGLINE_FUZZ_FIRST starts there.
"""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import pytest
import uvloop
from gateway_fuzz import Fuzzer

CASES = int(os.environ.get("RINGLINE_FUZZ_CASES", "3000"))
SEED = int(os.environ.get("RINGLINE_FUZZ_SEED", "1"))
FIRST = int(os.environ.get("RINGLINE_FUZZ_FIRST", "0"))
MAX_NEW_OBJECTS = 2000
"""Of the garbage collector's, from a tenth of the way to the end: caches fill up, leaks do not stop."""


@pytest.mark.timeout(60 + CASES // 100)
def test_damaged_requests_get_promised_answers_and_leave_nothing(caplog: pytest.LogCaptureFixture) -> None:
    faults: list[dict[str, Any]] = []

    async def story() -> Fuzzer:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
        fuzzer = Fuzzer(SEED)
        early = 0
        for number in range(FIRST, FIRST + CASES):
            await fuzzer.run(number)
            assert faults == [], f"seed {SEED}, case {number}"
            assert caplog.records == [], f"seed {SEED}, case {number}"
            if number == FIRST + CASES // 10:
                gc.collect()
                early = len(gc.get_objects())
        assert set(fuzzer.growth().values()) == {0}
        gc.collect()
        assert len(gc.get_objects()) - early < MAX_NEW_OBJECTS
        await fuzzer.close()
        return fuzzer

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        fuzzer = runner.run(story())
    print(dict(sorted(fuzzer.statuses.items())))
    assert {200, 202, 207, 400, 401, 404, 405, 411, 413, 415, 422, 429} <= set(fuzzer.statuses)


def test_the_captured_requests_are_good_ones() -> None:
    """Undamaged, each is answered well, but for the three that are meant not to be."""

    async def story() -> None:
        fuzzer = Fuzzer(SEED)
        for data in fuzzer.captured:
            fuzzer.case = lambda number, data=data: [data]  # type: ignore[method-assign,misc]
            await fuzzer.run(0)
        assert fuzzer.statuses == {200: 3, 202: 8, 400: 1, 405: 1, 413: 1}
        await fuzzer.close()

    asyncio.run(story())
