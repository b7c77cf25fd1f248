"""What somebody else can cause at will fills no log."""

from __future__ import annotations

import logging

import pytest

from pipeline.clock import FakeClock
from pipeline.transport.seldom_log import SeldomLog


def test_a_flood_is_a_line_now_and_then_that_tells_how_many(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    seldom = SeldomLog(logging.getLogger("flood"), 10, clock.monotonic_ns)
    for _ in range(1000):
        seldom.say("frame of %d bytes", 5)
    assert caplog.messages == ["frame of 5 bytes"]
    clock.advance(s=10)
    seldom.say("frame of %d bytes", 7)
    assert caplog.messages[1:] == ["frame of 7 bytes (and 999 more since the last line)"]
    clock.advance(s=10)
    seldom.say("frame of %d bytes", 9)
    assert caplog.messages[2:] == ["frame of 9 bytes"]
