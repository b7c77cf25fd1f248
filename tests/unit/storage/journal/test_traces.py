"""A trace context, and what was checked, travel with their event through the journal; records from before
are read."""

from __future__ import annotations

import msgspec

from pipeline.clock import FakeClock
from pipeline.config.schema import Journal as Settings
from pipeline.delivery import Delivery
from pipeline.storage.journal import Journal
from pipeline.storage.journal.memory_disk import MemoryDisk
from pipeline.storage.journal.records import EventRecord, Part, decode_base, decode_event, encode

FINGERPRINT = b"fingerprint 1234"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def traces(deliveries: list[Delivery]) -> dict[tuple[str, str], tuple[str, bytes]]:
    return {
        (delivery.key, delivery.webhook_id): (delivery.traceparent, delivery.checks)
        for delivery in deliveries
    }


def test_a_trace_is_dispatched_and_recovered_also_with_a_control_state_that_keys_are_born_under() -> None:
    disk, clock = MemoryDisk(), FakeClock()
    journal = Journal.on(disk, Settings(), clock)
    halt = {"trading": b"h"}
    taken = journal.accept("s", "one", FINGERPRINT, "K", b"p", None, TRACE, b"one's").deliveries
    taken += journal.accept("s", "halt", FINGERPRINT, None, b"h", halt, "00-halt", b"halt's").deliveries
    taken += journal.accept("s", "two", FINGERPRINT, "L", b"p").deliveries
    expected = {
        ("K", "one"): (TRACE, b"one's"),
        ("K", "halt"): ("00-halt", b"halt's"),
        ("L", "halt"): ("00-halt", b"halt's"),
        ("L", "two"): ("", b""),
    }
    assert traces(taken) == expected
    journal.sync()
    assert traces(Journal.on(disk.copy(), Settings(), clock).recovered) == expected


def test_records_from_before_are_read() -> None:
    record = EventRecord(1, 2, FINGERPRINT, "s", "w", b"p", [Part("K", 1)], {"a": b"b"}, TRACE, b"checks")
    fields = msgspec.msgpack.decode(encode(record))
    older = decode_event(msgspec.msgpack.encode(fields[:-1]))
    assert (older.births, older.traceparent, older.checks) == ({"a": b"b"}, TRACE, b"")
    oldest = decode_event(msgspec.msgpack.encode(fields[:-2]))
    assert (oldest.births, oldest.traceparent, oldest.checks) == ({"a": b"b"}, "", b"")
    base = decode_base(msgspec.msgpack.encode([1, 2, {"trading": [b"e", "s", "w", b"p"]}]))
    assert (base.births["trading"].traceparent, base.births["trading"].checks) == ("", b"")
