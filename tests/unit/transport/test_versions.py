"""A version of the links' protocol talks with the one before it and the one after it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from versions import deliveries

from pipeline.delivery import Delivery, Tail
from pipeline.transport import wire

GOLDEN = json.loads((Path(__file__).parent / "golden" / "wire_v1.json").read_text())
DELIVERY = Delivery(
    "AAPL", 7, b"e" * 16, "demo", "w-1", 1_700_000_000_000_000, 0, b"payload", "1", b"decision", b"A" * 32,
    b"a" * 32, b"agent", b"fills", b"X" * 32, b"x" * 32, b"exec", "held", "00-trace",
)  # fmt: skip
TOLD = structs.replace(
    DELIVERY, checks=b"checks", synced_us=1, dispatched_us=2, decided_us=3, executed_us=4, audited_us=5
)
TOLD_FIELDS = 6
"""Appended to a delivery since the first bytes were written down: what was checked, and the times."""
MESSAGES: dict[str, wire.Message] = {
    "hello": wire.Hello("gateway-0"),
    "welcome": wire.Welcome(5, 256, False),
    "welcome after a death": wire.Welcome(5, 256, True, ("AAPL", 7)),
    "ping": wire.Ping(300),
    "pong": wire.Pong(5, 70_000),
    "msg": wire.Msg(9, DELIVERY),
    "msg with its way": wire.Msg(9, TOLD),
    "ask": wire.Ask(1, "AAPL"),
    "state": wire.State(
        1, Tail("AAPL", 7, b"a" * 32, b"x" * 32, 6, b"agent", b"exec", (DELIVERY,), b"e" * 16)
    ),
    "ask lasts": wire.AskLasts(1, ("AAPL", "MSFT")),
    "lasts": wire.Lasts(1, 5, (7, 0)),
    "done": wire.Done(1, 9),
    "settled": wire.Settled(2, "AAPL", 7, 9, b"e" * 16),
    "refused": wire.Refused(3, "AAPL", 9),
    "died": wire.Died(4, "AAPL", 7, "agent-0", 5),
    "goodbye": wire.Goodbye(5),
    "reset": wire.Reset(5),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_bytes_of_version_1_never_change(name: str) -> None:
    data = bytes.fromhex(GOLDEN[name])
    made = wire.encode_frame((1_700_000_000_000_000, 3), [MESSAGES[name]])
    assert (untold(made) if name in FROM_BEFORE else made) == data
    assert wire.decode_frame(data).messages == [MESSAGES[name]]


FROM_BEFORE = {"msg", "state"}
"""As they were written when a delivery ended in its trace."""


def untold(frame: bytes) -> bytes:
    """The frame without what was appended to its deliveries since."""
    session, messages = msgspec.msgpack.decode(frame)
    for message in messages:
        for delivery in deliveries(message):
            assert len(delivery) == len(Delivery.__struct_fields__)
            del delivery[-TOLD_FIELDS:]
    return msgspec.msgpack.encode([session, messages])


def test_every_message_has_golden_bytes() -> None:
    assert set(GOLDEN) == set(MESSAGES)
    assert {type(message) for message in MESSAGES.values()} == set(wire.Message.__args__)


def test_a_link_speaks_the_lower_of_two_versions() -> None:
    assert wire.spoken(wire.PROTOCOL_VERSION + 1) == wire.PROTOCOL_VERSION
    assert wire.spoken(wire.PROTOCOL_VERSION - 1) == wire.PROTOCOL_VERSION - 1
