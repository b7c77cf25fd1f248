"""Settled events are kept for a while, and read again exactly as they were dispatched."""

from __future__ import annotations

from pipeline import limits
from pipeline.clock import US_PER_S, FakeClock
from pipeline.config.schema import Journal as Settings
from pipeline.delivery import Delivery, encode_delivery
from pipeline.messages import Fate
from pipeline.storage.journal import Journal
from pipeline.storage.journal.memory_disk import MemoryDisk

SETTINGS = Settings(
    segment_bytes=64 * limits.KIB, max_bytes=16 * limits.MIB, retention_s=60, keep_settled_s=600
)


class Bench:
    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.clock = FakeClock()
        self.disk = MemoryDisk()
        self.journal = Journal.on(self.disk, settings, self.clock)
        self.settings = settings
        self.sent: dict[tuple[str, int], Delivery] = {}
        self.count = 0

    def accept(self, key: str | None, size: int = 100) -> None:
        self.count += 1
        births = {"trading": b"halt"} if key is None else None
        accepted = self.journal.accept("s", f"w{self.count}", b"f" * 16, key, bytes(size), births)
        for delivery in accepted.deliveries:
            self.sent[delivery.key, delivery.key_seq] = delivery

    def settle_all(self) -> None:
        for key in {key for key, _ in self.sent}:
            self.journal.settled(key, self.journal.last(key)[0])

    def turn(self, times: int = 3) -> None:
        for _ in range(times):
            self.journal.compact()
            self.journal.sync()

    def reopen(self) -> None:
        self.journal.sync()
        self.journal.close()
        self.disk = self.disk.copy()
        self.journal = Journal.on(self.disk, self.settings, self.clock)


def same(found: list[Delivery], expected: list[Delivery]) -> None:
    assert list(map(encode_delivery, found)) == list(map(encode_delivery, expected))


def test_what_is_settled_reads_as_it_was_sent_also_after_a_restart_and_with_its_fate() -> None:
    bench = Bench()
    for number in range(40):
        bench.accept(("A", "B")[number % 2], 4000)
        if number == 20:
            bench.accept(None)
    bench.accept("C")  # begins under the control event
    bench.journal.fate("A", 7, Fate.DEAD_LETTERED)
    bench.sent["A", 7].fate = Fate.DEAD_LETTERED
    bench.journal.sync()
    bench.settle_all()
    bench.reopen()
    last = bench.journal.last("A")[1]
    kept = bench.journal.kept({"A": (3, last), "C": (1, 2), "NONE": (1, 4)})
    kept.search()
    assert kept.missing("A") == kept.missing("C") == []
    assert kept.missing("NONE") == [(1, 4)]
    same(kept.read("A", 3, 100), [bench.sent["A", key_seq] for key_seq in range(3, last + 1)])
    same(kept.read("A", 5, 2), [bench.sent["A", 5], bench.sent["A", 6]])
    same(kept.read("C", 1, 2), [bench.sent["C", 1], bench.sent["C", 2]])
    assert bench.journal.settled_keys() == ["A", "B", "C"]


def test_segments_stay_for_as_long_as_settled_events_are_kept_and_no_longer() -> None:
    bench = Bench()
    for _ in range(40):
        bench.accept("A", 4000)
    bench.journal.sync()
    bench.settle_all()
    bench.turn()
    full = bench.journal.bytes_used
    bench.clock.advance(s=SETTINGS.retention_s + 5)
    bench.turn()
    assert bench.journal.bytes_used >= full, "identities are forgotten, events are not"
    bench.clock.advance(s=SETTINGS.keep_settled_s)
    bench.accept("A")
    bench.journal.sync()
    bench.turn(10)
    assert bench.journal.bytes_used < full
    kept = bench.journal.kept({"A": (1, 40)})
    kept.search()
    assert kept.missing("A")[0][0] == 1


def test_what_is_read_stays_until_it_is_let_go() -> None:
    bench = Bench()
    for _ in range(40):
        bench.accept("A", 4000)
    bench.journal.sync()
    bench.settle_all()
    kept = bench.journal.kept({"A": (1, 40)})
    kept.search()
    bench.clock.advance(s=SETTINGS.keep_settled_s + 5)
    bench.accept("A")
    bench.journal.sync()
    bench.turn(10)
    assert len(kept.read("A", 1, 100)) == 40
    bench.journal.let_go()
    bench.turn(10)
    again = bench.journal.kept({"A": (1, 40)})
    again.search()
    assert again.missing("A")


def test_room_is_worth_more_than_what_is_settled() -> None:
    """Above half of `max_bytes` settled events go, whatever `keep_settled_s` says."""
    bench = Bench(Settings(segment_bytes=64 * limits.KIB, max_bytes=limits.MIB, keep_settled_s=10**6))
    for _ in range(1000):
        bench.accept("A", 4000)
        bench.journal.sync()
        bench.settle_all()
        bench.turn(1)
    assert bench.journal.bytes_used <= limits.MIB


def test_events_of_a_stopped_key_do_not_make_the_journal_look_stuck() -> None:
    bench = Bench()
    bench.accept("A")
    bench.journal.sync()
    bench.turn(1)
    assert bench.journal.oldest_accepted_us == bench.clock.wall_us()
    bench.journal.stopped("A", stopped=True)
    bench.clock.advance(s=10)
    bench.turn(1)
    assert bench.journal.oldest_accepted_us is None
    bench.journal.stopped("A", stopped=False)
    bench.turn(1)
    assert bench.journal.oldest_accepted_us == bench.clock.wall_us() - 10 * US_PER_S
