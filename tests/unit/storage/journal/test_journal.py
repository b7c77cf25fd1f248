"""What the journal promises a gateway, one sentence a test."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import pytest

from pipeline import limits
from pipeline.clock import US_PER_S, FakeClock
from pipeline.config.schema import Journal as Settings
from pipeline.errors import DamagedError, MissingError
from pipeline.messages import Fate
from pipeline.storage.journal import (
    Accepted,
    DiskFullError,
    DuplicateError,
    Journal,
    JournalBrokenError,
    JournalFullError,
)
from pipeline.storage.journal.memory_disk import MemoryDisk

FINGERPRINT = b"fingerprint 1234"
SMALL = Settings(segment_bytes=64 * limits.KIB, max_bytes=256 * limits.KIB, retention_s=60, keep_settled_s=0)


class Bench:
    """A journal on a memory disk, with short words for what tests do."""

    def __init__(self, settings: Settings = SMALL) -> None:
        self.clock = FakeClock()
        self.disk = MemoryDisk()
        self.settings = settings
        self.journal = Journal.on(self.disk, settings, self.clock)
        self.count = 0

    def accept(self, key: str | None = "K", payload: bytes = b"payload", **more: object) -> Accepted:
        self.count += 1
        births = more.get("births")
        assert births is None or isinstance(births, dict)
        return self.journal.accept("s", f"w{self.count}", FINGERPRINT, key, payload, births)

    def reopen(self) -> Journal:
        return self.reopen_on(self.disk.copy())

    def reopen_on(self, disk: MemoryDisk) -> Journal:
        self.disk = disk
        self.journal = Journal.on(self.disk, self.settings, self.clock)
        return self.journal

    def fill(self, key: str = "K", payload_bytes: int = 2000) -> int:
        """Accept, spread over keys, until the journal is full; how many went in."""
        for number in range(100_000):
            try:
                self.accept(f"{key}{number % 40}", bytes(payload_bytes))
            except JournalFullError:
                return number
            self.journal.sync()
        raise AssertionError("never full")


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ---- accept ------------------------------------------------------------------------------------------------


def test_an_event_is_known_at_once_and_synced_after_the_sync(bench: Bench) -> None:
    accepted = bench.accept()
    known = bench.journal.lookup("s", "w1")
    assert known is not None
    assert (known.jno, known.event_id, known.synced) == (accepted.jno, accepted.event_id, False)
    assert known.fingerprint == FINGERPRINT
    assert bench.journal.unsynced
    assert bench.journal.sync() >= accepted.jno
    again = bench.journal.lookup("s", "w1")
    assert again is not None
    assert again.synced
    assert not bench.journal.unsynced


def test_key_seq_counts_each_key_from_one(bench: Bench) -> None:
    numbers = [bench.accept(key).deliveries[0].key_seq for key in "ABAAB"]
    assert numbers == [1, 1, 2, 3, 2]


def test_an_event_id_depends_on_source_webhook_id_and_number(bench: Bench) -> None:
    ids = {
        bench.journal.accept(source, webhook_id, FINGERPRINT, "K", b"p").event_id
        for source, webhook_id in [("ab", "c"), ("a", "bc"), ("a", "b"), ("b", "b")]
    }
    assert len(ids) == 4
    assert all(len(identity) == 16 for identity in ids)


def test_the_same_identity_is_never_accepted_twice_within_retention(bench: Bench) -> None:
    accepted = bench.accept()
    bench.count = 0
    with pytest.raises(DuplicateError) as caught:
        bench.accept(payload=b"other")
    assert caught.value.known.event_id == accepted.event_id


def test_the_same_identity_from_another_source_is_another_event(bench: Bench) -> None:
    bench.accept()
    assert bench.journal.lookup("t", "w1") is None
    assert bench.journal.accept("t", "w1", FINGERPRINT, "K", b"p").deliveries[0].key_seq == 2


def test_after_retention_a_repeat_is_a_new_event(bench: Bench) -> None:
    first = bench.accept()
    bench.clock.advance(s=59.9)
    assert bench.journal.lookup("s", "w1") is not None
    bench.clock.advance(s=0.1)
    assert bench.journal.lookup("s", "w1") is None
    bench.count = 0
    second = bench.accept()
    assert second.event_id != first.event_id
    known = bench.journal.lookup("s", "w1")
    assert known is not None
    assert known.jno == second.jno


def test_accept_times_never_fall_when_the_clock_steps_back_not_even_over_a_restart(bench: Bench) -> None:
    first = bench.accept().accepted_us
    bench.clock.step_wall(-10 * US_PER_S)
    assert bench.accept().accepted_us == first
    bench.journal.close()
    bench.reopen()
    assert bench.accept().accepted_us == first


def test_the_last_accept_time_outlives_the_segment_it_was_in(bench: Bench) -> None:
    last_us = bench.accept("A", bytes(60_000)).accepted_us
    bench.accept(None, bytes(10_000))
    bench.journal.sync()
    bench.journal.settled("A", 2)
    bench.clock.advance(s=SMALL.retention_s + 1)
    for _ in range(3):
        bench.journal.compact()
        bench.journal.sync()
    assert f"{1:016x}.seg" not in bench.disk.names()
    bench.clock.step_wall(-1000 * US_PER_S)
    bench.reopen()
    assert bench.accept().accepted_us >= last_us


def test_the_last_accept_time_outlives_all_events() -> None:
    """Marks go to a segment of their own; then the only segment with an event in it is freed."""
    bench = Bench(Settings(segment_bytes=512, max_bytes=8192, retention_s=60, keep_settled_s=0))
    last_us = bench.accept("A", bytes(600)).accepted_us
    bench.journal.sync()
    bench.journal.settled("A", 1)
    for _ in range(2):
        bench.clock.advance(s=61)
        bench.journal.compact()
        bench.journal.sync()
    assert f"{1:016x}.seg" not in bench.disk.names()
    bench.clock.step_wall(-1000 * US_PER_S)
    bench.reopen()
    assert bench.accept().accepted_us >= last_us


def test_a_segment_stays_until_what_was_carried_during_a_sync_is_synced() -> None:
    """The loop frees a segment while the thread is in the midst of a sync that does not cover the copies."""
    bench = Bench(Settings(segment_bytes=512, max_bytes=8192, retention_s=60, keep_settled_s=0))
    bench.accept("A", bytes(600))
    bench.journal.sync()
    bench.journal.settled("A", 1)
    bench.clock.advance(s=61)
    bench.accept("B")
    bench.disk.meanwhile = bench.journal.compact
    bench.journal.sync()
    assert bench.journal._log.dooming
    assert f"{1:016x}.seg" in bench.disk.names()
    assert Journal.on(bench.disk.copy(), bench.settings, bench.clock).last("A") == (1, 0)
    bench.disk.meanwhile = lambda: None
    bench.journal.sync()
    assert f"{1:016x}.seg" not in bench.disk.names()
    assert bench.reopen().last("A") == (1, 1)


def test_a_fingerprint_of_another_length_is_a_mistake(bench: Bench) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        bench.journal.accept("s", "w", b"short", "K", b"p")


def test_an_event_larger_than_a_segment_gets_a_segment_of_its_own() -> None:
    bench = Bench(Settings(segment_bytes=64 * limits.KIB, max_bytes=limits.MIB))
    payload = bytes(range(256)) * 300
    bench.accept(payload=payload)
    bench.accept("L")
    bench.journal.sync()
    assert [d.payload for d in bench.reopen().recovered] == [payload, b"payload"]


# ---- control -----------------------------------------------------------------------------------------------


def test_a_control_event_has_one_part_for_each_known_key(bench: Bench) -> None:
    bench.accept("A")
    bench.accept("B")
    control = bench.accept(None, b"halt")
    assert [(d.key, d.key_seq) for d in control.deliveries] == [("A", 2), ("B", 2)]
    assert {d.event_id for d in control.deliveries} == {control.event_id}


def test_a_key_first_seen_under_a_control_state_begins_with_it(bench: Bench) -> None:
    control = bench.accept(None, b"halt", births={"trading": b"halt"})
    born = bench.accept("NEW")
    first, second = born.deliveries
    assert (first.key_seq, first.payload, first.event_id) == (1, b"halt", control.event_id)
    assert (first.source, first.webhook_id) == ("s", "w1")
    assert (second.key_seq, second.payload, second.event_id) == (2, b"payload", born.event_id)
    assert [d.key_seq for d in bench.accept("NEW").deliveries] == [3]


def test_a_control_state_ends_when_its_aspect_is_set_to_nothing(bench: Bench) -> None:
    bench.accept(None, b"halt", births={"trading": b"halt"})
    bench.accept(None, b"flatten", births={})
    assert bench.journal.controls == {"trading": b"halt"}
    bench.accept(None, b"resume", births={"trading": b""})
    assert bench.journal.controls == {}
    assert len(bench.accept("NEW").deliveries) == 1


def test_several_aspects_are_inherited_in_the_order_they_were_set(bench: Bench) -> None:
    bench.accept(None, b"limits", births={"limits": b"limits 1"})
    bench.accept(None, b"halt", births={"trading": b"halt"})
    bench.accept(None, b"limits", births={"limits": b"limits 2"})
    payloads = [d.payload for d in bench.accept("NEW").deliveries]
    assert payloads == [b"halt", b"limits 2", b"payload"]


def test_the_control_state_survives_a_restart_and_the_unlinking_of_its_segment(bench: Bench) -> None:
    control = bench.accept(None, b"halt", births={"trading": b"halt"})
    for number in range(200):
        bench.accept("A", bytes(1000))
        bench.journal.sync()
        bench.journal.settled("A", number + 2)
        bench.clock.advance(s=1)
        bench.journal.compact()
    bench.journal.sync()
    assert f"{1:016x}.seg" not in bench.disk.names()
    assert bench.reopen().controls == {"trading": b"halt"}
    assert bench.accept("NEW").deliveries[0].event_id == control.event_id


def test_a_halt_gets_through_when_the_journal_is_full(bench: Bench) -> None:
    bench.fill()
    assert bench.accept(None, b"halt", births={"trading": b"halt"}).deliveries


def test_control_events_cannot_fill_a_journal_beyond_its_bound(bench: Bench) -> None:
    bench.fill()

    def halt(times: int) -> None:
        for _ in range(times):
            bench.accept(None, b"halt", births={"trading": b"halt"})

    with pytest.raises(JournalFullError, match="bytes in use"):
        halt(10_000)
    assert SMALL.max_bytes - SMALL.segment_bytes < bench.journal.bytes_used <= SMALL.max_bytes


def test_an_event_larger_than_a_segment_takes_one_file_however_little_was_left() -> None:
    for left in range(0, 200, 3):
        bench = Bench()
        bench.accept("A", bytes(SMALL.segment_bytes - 300 + left))
        bench.journal.sync()
        bench.accept("B", bytes(100_000))
        bench.journal.sync()
        sizes = sorted(bench.disk.size(name) for name in bench.disk.names() if name.endswith(".seg"))
        assert len(sizes) == 2, f"{sizes}: room for a group and not for the event"
        assert sum(sizes) == bench.journal.bytes_used


# ---- progress and recovery ---------------------------------------------------------------------------------


def test_what_is_not_settled_comes_back_in_the_order_of_its_key(bench: Bench) -> None:
    for number in range(6):
        bench.accept("AB"[number % 2], b"%d" % number)
    bench.journal.sync()
    bench.journal.settled("A", 2)
    bench.journal.close()
    journal = bench.reopen()
    assert [(d.key, d.key_seq, d.payload) for d in journal.recovered] == [
        ("A", 3, b"4"),
        ("B", 1, b"1"),
        ("B", 2, b"3"),
        ("B", 3, b"5"),
    ]
    assert journal.depth == 4


def test_marks_are_persisted_after_a_second_without_a_close(bench: Bench) -> None:
    bench.accept()
    bench.journal.sync()
    bench.journal.settled("K", 1)
    bench.clock.advance(s=limits.MARKS_EVERY_S)
    bench.journal.maintain()
    bench.journal.sync()
    assert bench.reopen().recovered == []
    assert bench.journal.last("K") == (1, 1)


def test_a_fate_comes_back_with_its_event_also_after_it_was_carried_forward(bench: Bench) -> None:
    bench.accept("SLOW")
    bench.accept("SLOW")
    bench.journal.sync()
    number = bench.journal.fate("SLOW", 1, Fate.DEAD_LETTERED)
    assert bench.journal.sync() >= number
    for settled in range(1, 200):
        bench.accept("A", bytes(2000))
        bench.journal.sync()
        bench.journal.settled("A", settled)
        bench.journal.compact()
    bench.journal.sync()
    assert f"{1:016x}.seg" not in bench.disk.names()
    fates = {d.key_seq: d.fate for d in bench.reopen().recovered if d.key == "SLOW"}
    assert fates == {1: Fate.DEAD_LETTERED, 2: Fate.LIVE}


def test_a_settled_or_unknown_event_has_no_fate_to_decide(bench: Bench) -> None:
    bench.accept()
    bench.journal.sync()
    bench.journal.settled("K", 1)
    for key, key_seq in [("K", 1), ("K", 2), ("L", 1)]:
        with pytest.raises(ValueError, match="not unsettled"):
            bench.journal.fate(key, key_seq, Fate.EXPIRED)


def test_an_audit_that_is_ahead_of_the_journal_is_an_error(bench: Bench) -> None:
    bench.accept()
    for key, last in [("K", 2), ("L", 1)]:
        with pytest.raises(DamagedError, match=f"key {key} is settled up to {last}"):
            bench.journal.settled(key, last)


def test_a_quiet_key_goes_on_counting_after_its_segments_are_gone(bench: Bench) -> None:
    bench.accept("QUIET")
    bench.journal.sync()
    bench.journal.settled("QUIET", 1)
    for settled in range(1, 300):
        bench.accept("A", bytes(2000))
        bench.journal.sync()
        bench.journal.settled("A", settled)
        bench.clock.advance(s=1)
        bench.journal.compact()
    bench.journal.sync()
    bench.reopen()
    assert bench.accept("QUIET").deliveries[0].key_seq == 2
    assert bench.journal.bytes_used <= SMALL.max_bytes


def test_depth_bytes_and_the_oldest_are_told(bench: Bench) -> None:
    assert (bench.journal.depth, bench.journal.oldest_accepted_us) == (0, None)
    oldest = bench.accept("A").accepted_us
    bench.clock.advance(s=1)
    later = bench.accept("B").accepted_us
    bench.journal.maintain()
    assert (bench.journal.depth, bench.journal.oldest_accepted_us) == (2, oldest)
    assert bench.journal.bytes_used == SMALL.segment_bytes
    bench.journal.sync()
    bench.journal.settled("A", 1)
    bench.journal.maintain()
    assert bench.journal.oldest_accepted_us == later


# ---- limits ------------------------------------------------------------------------------------------------


def test_a_full_journal_says_when_to_come_back_and_changes_nothing(bench: Bench) -> None:
    count = bench.fill()
    assert count > 50
    assert bench.journal.bytes_used <= SMALL.max_bytes
    with pytest.raises(JournalFullError) as caught:
        bench.accept("K0", bytes(2000))
    assert caught.value.retry_after_s == limits.JOURNAL_FULL_RETRY_S
    assert bench.journal.lookup("s", f"w{bench.count}") is None
    assert bench.journal.depth == count


def test_room_in_a_segment_begun_beyond_the_bound_is_not_for_events(bench: Bench) -> None:
    bench.fill()
    bench.accept(None, bytes(20_000))
    assert bench.journal.bytes_used == SMALL.max_bytes
    with pytest.raises(JournalFullError, match="bytes in use"):
        bench.accept("SMALL", b"fits")


def test_a_full_journal_takes_events_again_when_some_are_settled(bench: Bench) -> None:
    count = bench.fill()
    for number in range(40):
        bench.journal.settled(f"K{number}", count // 40)
    bench.journal.compact()
    bench.journal.sync()
    bench.journal.compact()
    assert bench.accept("K0", bytes(2000)).jno


def test_one_key_holds_at_most_a_quarter(bench: Bench) -> None:
    for _ in range(60):
        bench.accept("HOT", bytes(1000))
        bench.journal.sync()
    with pytest.raises(JournalFullError, match="key HOT holds") as caught:
        bench.accept("HOT", bytes(4000))
    assert caught.value.retry_after_s == limits.KEY_FULL_RETRY_S
    bench.accept("OTHER", bytes(1000))


def test_nothing_is_accepted_while_the_oldest_is_too_old() -> None:
    bench = Bench(Settings(segment_bytes=65_536, max_bytes=1 << 20, max_age_s=10))
    bench.accept()
    bench.journal.sync()
    bench.clock.advance(s=11)
    bench.journal.maintain()
    with pytest.raises(JournalFullError, match="older than 10 s"):
        bench.accept("L")
    bench.journal.settled("K", 1)
    bench.journal.maintain()
    bench.accept("L")


def test_keys_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_JOURNAL_KEYS", 2)
    bench.accept("A")
    bench.accept("B")
    with pytest.raises(JournalFullError, match="2 keys is the limit"):
        bench.accept("C")
    bench.accept("A")


# ---- disk failures -----------------------------------------------------------------------------------------


def test_a_failed_sync_is_never_believed_later(bench: Bench) -> None:
    before = bench.accept().jno
    bench.journal.sync()
    bench.accept()
    bench.disk.fail("sync")
    with pytest.raises(JournalBrokenError, match="the disk failed"):
        bench.journal.sync()
    assert bench.journal.synced == before
    for attempt in (bench.journal.sync, bench.accept, lambda: bench.journal.fate("K", 1, Fate.EXPIRED)):
        with pytest.raises(JournalBrokenError):
            attempt()
    assert bench.journal.maintain() is False
    bench.journal.close()


def test_after_a_failed_sync_the_next_start_writes_again_before_it_believes(bench: Bench) -> None:
    """The page cache shows what the platter does not have, and a plain fdatasync would now succeed."""
    bench.accept()
    bench.disk.fail("sync")
    with pytest.raises(JournalBrokenError):
        bench.journal.sync()
    shown = bench.reopen().recovered
    assert len(shown) == 1
    after_power_cut = bench.disk.power_cut(Random(1))
    assert Journal.on(after_power_cut, SMALL, bench.clock).recovered == shown


def test_a_failed_write_is_final(bench: Bench) -> None:
    bench.accept()
    bench.disk.fail("write")
    with pytest.raises(JournalBrokenError):
        bench.journal.sync()


def test_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_space(bench: Bench) -> None:
    bench.disk.space_bytes = 80_000  # the spare, and nothing after it
    for number in range(150):
        bench.accept(f"K{number}", bytes(1000))
    before = bench.journal.synced
    with pytest.raises(DiskFullError, match="no space left"):
        bench.journal.sync()
    assert bench.journal.synced == before
    with pytest.raises(JournalFullError, match="no space left"):
        bench.accept("L")
    bench.disk.space_bytes = 1 << 30
    bench.journal.sync()
    bench.accept("L")
    bench.journal.sync()
    assert len(bench.reopen().recovered) == 151


def test_a_disk_full_at_the_start_is_one_clear_line() -> None:
    with pytest.raises(MissingError, match="No space left"):
        Journal.on(MemoryDisk(space_bytes=10_000), SMALL, FakeClock())


def test_an_unreadable_disk_at_the_start_is_one_clear_line(bench: Bench) -> None:
    bench.accept()
    bench.journal.close()
    bench.disk.fail("read", errno.EIO)
    with pytest.raises(MissingError, match="Input/output error"):
        Journal.on(bench.disk, SMALL, bench.clock)


def test_damage_met_while_carrying_ends_the_journal(bench: Bench) -> None:
    for number in range(150):
        bench.accept(f"K{number}", bytes(1000))
        bench.journal.sync()
        if number > 1:
            bench.journal.settled(f"K{number}", 1)
    bench.disk.damage(f"{1:016x}.seg", 70)
    with pytest.raises(JournalBrokenError, match="damaged at byte 64"):
        bench.journal.compact()


# ---- the real disk -----------------------------------------------------------------------------------------


def test_a_real_folder_keeps_what_was_accepted(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = Journal.open(tmp_path / "journal", SMALL, clock)
    for number in range(300):
        journal.accept("s", f"w{number}", FINGERPRINT, f"K{number % 7}", bytes(500))
        journal.sync()
    journal.settled("K0", 3)
    journal.close()
    again = Journal.open(tmp_path / "journal", SMALL, clock)
    assert len(again.recovered) == 297
    assert again.lookup("s", "w0") is not None
    again.close()


def test_a_second_journal_in_the_folder_is_refused(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, SMALL, FakeClock())
    with pytest.raises(MissingError, match="in use by another process"):
        Journal.open(tmp_path, SMALL, FakeClock())
    journal.close()
    Journal.open(tmp_path, SMALL, FakeClock()).close()


def test_a_folder_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("")
    with pytest.raises(MissingError, match="cannot be opened"):
        Journal.open(tmp_path / "journal", SMALL, FakeClock())


def test_damage_in_a_real_folder_names_the_file_and_lets_go_of_the_lock(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, SMALL, FakeClock())
    journal.accept("s", "w", FINGERPRINT, "K", b"payload")
    journal.close()
    file = tmp_path / f"{1:016x}.seg"
    data = bytearray(file.read_bytes())
    data[120] ^= 1
    file.write_bytes(data)
    for _ in range(2):
        with pytest.raises(DamagedError, match=str(file)):
            Journal.open(tmp_path, SMALL, FakeClock())


class AllOrNewest(Random):
    """A power cut that keeps every sector of every write, and the newest names."""

    def random(self) -> float:
        return 0.5

    def randrange(self, start: int, *_: object) -> int:
        return start - 1


def test_what_was_dropped_never_comes_back_though_zeroing_it_failed(bench: Bench) -> None:
    """A torn batch is zeroed at the next start; when the sync of the zeros fails, reads show zeros ever after
    and the platter has the old records still, which fit behind new ones that end with a sector too."""
    bench.accept("A", bytes(600))
    bench.clock.advance(s=2)
    bench.journal.sync()  # with its mark
    end = bench.journal._log.active
    assert end is not None
    torn = end.filled + 10
    bench.accept("A", bytes(684))
    bench.accept("B", b"never answered")
    bench.disk.fail("sync", when="before")
    with pytest.raises(JournalBrokenError):
        bench.journal.sync()
    bench.disk = bench.disk.power_cut(AllOrNewest())
    bench.disk.damage(end.name, torn)
    bench.disk.fail("sync")
    with pytest.raises(MissingError):
        bench.reopen_on(bench.disk)
    bench.reopen()
    bench.accept("A", bytes(684))
    bench.journal.sync()
    bench.reopen_on(bench.disk.power_cut(AllOrNewest()))
    assert [(each.key, each.key_seq) for each in bench.journal.recovered] == [("A", 1), ("A", 2)]
