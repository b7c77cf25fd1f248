"""Every byte cut and flipped: all that was synced comes back intact, or the start is refused, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest

from pipeline.clock import FakeClock
from pipeline.config.schema import Journal as Settings
from pipeline.delivery import Delivery
from pipeline.errors import DamagedError
from pipeline.storage.journal import Journal
from pipeline.storage.journal.layout import (
    GROUP,
    MARK_FILE,
    MARK_SLOT_BYTES,
    WORD,
    mark_offset,
    pack_record,
    segment_name,
)
from pipeline.storage.journal.memory_disk import MemoryDisk
from pipeline.storage.journal.scan import scan_segment

SEGMENT_BYTES = 1024
SETTINGS = Settings(segment_bytes=SEGMENT_BYTES, max_bytes=64 * SEGMENT_BYTES)
MASKS = (0x01, 0x80, 0xFF)


class Written:
    """A journal of some segments, as its process left it when it was killed."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.disk = MemoryDisk()
        journal = Journal.on(self.disk, SETTINGS, self.clock)
        self.synced: list[Delivery] = []
        self.unsynced: list[Delivery] = []
        rng = Random(7)
        for number in range(24):
            payload = rng.randbytes(rng.randint(20, 120))
            accepted = journal.accept("s", f"w{number}", bytes(16), f"K{number % 3}", payload)
            self.synced += accepted.deliveries
            if number % 2:
                journal.sync()
        accepted = journal.accept("s", "last", bytes(16), "K0", b"not synced")
        self.unsynced += accepted.deliveries
        self.segments = sorted(name for name in self.disk.names() if name.endswith(".seg"))
        data = self.disk.read(self.segments[-1], 0, SEGMENT_BYTES)
        self.end = scan_segment(len(self.segments), data).end

    def outcome(self, disk: MemoryDisk) -> str:
        """What opening `disk` comes to; fails on a silent loss or an invention."""
        try:
            journal = Journal.on(disk, SETTINGS, self.clock)
        except DamagedError as error:
            named = re.search(r"memory:\S+: damaged at byte \d+", str(error))
            return "refused" if named else f"does not name file and offset: {error}"
        found = {(d.key, d.key_seq): d for d in journal.recovered}
        for delivery in self.synced:
            assert found.pop((delivery.key, delivery.key_seq)) == delivery, "a silent loss"
        for delivery in self.unsynced:
            found.pop((delivery.key, delivery.key_seq), None)
        assert not found, "an invention"
        known = journal.lookup("s", "w0")
        assert known is not None
        return "intact"


@pytest.fixture(scope="module")
def written() -> Written:
    return Written()


def flips(written: Written, name: str, offsets: range) -> Iterator[str]:
    for offset in offsets:
        for mask in MASKS:
            disk = written.disk.copy()
            disk.damage(name, offset, mask)
            yield written.outcome(disk)


def cuts(written: Written, name: str) -> Iterator[tuple[int, str]]:
    for size in range(written.disk.size(name)):
        disk = written.disk.copy()
        disk.cut_file(name, size)
        yield size, written.outcome(disk)


def test_the_undamaged_journal_comes_back(written: Written) -> None:
    assert len(written.segments) >= 4
    assert written.outcome(written.disk.copy()) == "intact"


def test_every_flipped_byte_of_the_last_segment_is_refused_up_to_its_end_and_harmless_after(
    written: Written,
) -> None:
    name = written.segments[-1]
    assert set(flips(written, name, range(48))) == {"refused"}
    assert set(flips(written, name, range(64, written.end))) == {"refused"}
    assert set(flips(written, name, range(written.end, SEGMENT_BYTES))) == {"intact"}


def test_every_cut_of_the_last_segment_is_refused_up_to_its_end_and_harmless_after(written: Written) -> None:
    for size, outcome in cuts(written, written.segments[-1]):
        # A number may end in zero bytes, which a cut puts back.
        assert outcome == ("refused" if size < written.end else "intact"), size


@pytest.mark.parametrize("index", [0, 1])
def test_every_flipped_byte_of_an_earlier_segment_is_refused_or_harmless(
    written: Written, index: int
) -> None:
    outcomes = list(flips(written, written.segments[index], range(SEGMENT_BYTES)))
    assert "refused" in outcomes


def test_every_cut_of_a_middle_segment_is_refused_or_harmless(written: Written) -> None:
    outcomes = [outcome for _, outcome in cuts(written, written.segments[1])]
    assert outcomes[0] == "refused"


def test_every_flipped_byte_of_the_mark_is_harmless(written: Written) -> None:
    for turn in (0, 1):
        offsets = range(mark_offset(turn), mark_offset(turn) + MARK_SLOT_BYTES)
        assert set(flips(written, MARK_FILE, offsets)) == {"intact"}


def test_every_cut_of_the_mark_is_harmless(written: Written) -> None:
    for size in [*range(MARK_SLOT_BYTES + 1), *range(4090, 4096 + MARK_SLOT_BYTES + 1)]:
        disk = written.disk.copy()
        disk.cut_file(MARK_FILE, size)
        assert written.outcome(disk) == "intact"


def test_a_missing_mark_is_harmless_when_the_end_is_clean_and_refused_when_it_is_not(
    written: Written,
) -> None:
    disk = written.disk.copy()
    disk.unlink(MARK_FILE)
    assert written.outcome(disk.copy()) == "intact"
    last = written.segments[-1]
    for offset in range(64, written.end, 7):
        worse = disk.copy()
        worse.damage(last, offset)
        assert written.outcome(worse) == "refused"
    disk.cut_file(last, written.end - 1)
    assert written.outcome(disk) == "refused"


@pytest.mark.parametrize("index", [0, 1, -2])
def test_a_missing_segment_is_refused(written: Written, index: int) -> None:
    disk = written.disk.copy()
    disk.unlink(written.segments[index])
    assert written.outcome(disk) == "refused"


def test_the_missing_last_segment_is_refused(written: Written) -> None:
    disk = written.disk.copy()
    disk.unlink(written.segments[-1])
    assert written.outcome(disk) == "refused"


def test_segments_that_changed_their_names_are_refused(written: Written) -> None:
    disk = written.disk.copy()
    disk.rename(written.segments[1], "x")
    disk.rename(written.segments[2], written.segments[1])
    disk.rename("x", written.segments[2])
    assert written.outcome(disk) == "refused"


def test_the_error_names_the_file_and_the_offset_of_the_first_damaged_record(written: Written) -> None:
    disk = written.disk.copy()
    disk.damage(written.segments[2], 64 + 5)
    with pytest.raises(DamagedError, match=rf"memory:{segment_name(3)}: damaged at byte 64: record \d+"):
        Journal.on(disk, SETTINGS, written.clock)


def test_a_group_further_on_proves_a_loss_that_a_stale_mark_does_not_know_of() -> None:
    """The mark of a second ago survived the power cut, the data of the group damaged here had been synced."""
    clock, disk = FakeClock(), MemoryDisk()
    settings = Settings(segment_bytes=8192, max_bytes=65_536)
    journal = Journal.on(disk, settings, clock)
    stale = disk.read(MARK_FILE, 0, disk.size(MARK_FILE))
    for number in range(3):
        journal.accept("s", f"w{number}", bytes(16), "K", b"payload")
        journal.sync()
    killed = disk.copy()
    killed.write(MARK_FILE, 0, stale)
    killed.damage(segment_name(1), 64 + 60)
    with pytest.raises(DamagedError, match="was synced"):
        Journal.on(killed, settings, clock)


def test_bytes_in_an_event_cannot_pass_for_a_proof() -> None:
    """A sender puts a forged GROUP record into its event; then the power goes while the event is written."""
    clock, disk = FakeClock(), MemoryDisk()
    settings = Settings(segment_bytes=8192, max_bytes=65_536)
    journal = Journal.on(disk, settings, clock)
    journal.accept("s", "w0", bytes(16), "K", b"payload")
    journal.sync()
    end = len(disk.read(segment_name(1), 0, 8192).rstrip(b"\0"))
    forged = pack_record(5, GROUP, WORD.pack(1_000_000), 0)
    journal.accept("s", "w1", bytes(16), "K", forged)
    before = disk.read(MARK_FILE, 0, disk.size(MARK_FILE))
    journal.sync()
    killed = disk.copy()
    killed.write(MARK_FILE, 0, before)
    killed.damage(segment_name(1), end + 50)
    recovered = Journal.on(killed, settings, clock).recovered
    assert [delivery.webhook_id for delivery in recovered] == ["w0"]


def test_what_was_torn_is_zeroed_so_that_it_cannot_follow_a_new_record() -> None:
    clock, disk = FakeClock(), MemoryDisk()
    journal = Journal.on(disk, SETTINGS, clock)
    for number in range(2):
        journal.accept("s", f"w{number}", bytes(16), "K", b"same length")
    before = disk.read(MARK_FILE, 0, disk.size(MARK_FILE))
    journal.sync()
    killed = disk.copy()
    killed.write(MARK_FILE, 0, before)
    killed.damage(segment_name(1), 64 + 28 + 30)
    again = Journal.on(killed, SETTINGS, clock)
    assert again.recovered == []
    again.accept("s", "other", bytes(16), "K", b"same length")
    again.sync()
    last = Journal.on(killed.copy(), SETTINGS, clock)
    assert [delivery.webhook_id for delivery in last.recovered] == ["other"]
