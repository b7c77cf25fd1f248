"""The real disk: a sync reaches the kernel, and the mark says afterwards how far it went."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.clock import FakeClock
from pipeline.config.schema import Journal as Settings
from pipeline.storage.journal import Journal, JournalBrokenError
from pipeline.storage.journal.disk import OsDisk
from pipeline.storage.journal.layout import MARK_FILE, MARK_SLOT_BYTES, mark_offset, unpack_mark

SETTINGS = Settings(segment_bytes=65_536, max_bytes=1 << 20)


class Calls:
    """The names of the files that fdatasync was called for, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[str] = []
        self.error: OSError | None = None
        self._fdatasync = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._called)

    def _called(self, descriptor: int) -> None:
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        if self.error is not None:
            raise self.error
        self._fdatasync(descriptor)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def marked(directory: Path) -> int:
    """The synced number that the mark file's bytes say."""
    data = (directory / MARK_FILE).read_bytes()
    slots = [unpack_mark(data[mark_offset(turn) :][:MARK_SLOT_BYTES]) for turn in (0, 1)]
    return max(slot.synced for slot in slots if slot is not None)


def test_a_sync_is_one_fdatasync_of_that_file(calls: Calls, tmp_path: Path) -> None:
    disk = OsDisk(tmp_path)
    for name in ("a", "b"):
        disk.create(name, 4096)
    calls.synced.clear()
    disk.write("a", 0, b"bytes")
    assert calls.synced == []
    disk.sync("a")
    disk.sync("a")
    disk.sync("b")
    assert calls.synced == ["a", "a", "b"]
    disk.close()


def test_a_failing_fdatasync_is_raised(calls: Calls, tmp_path: Path) -> None:
    disk = OsDisk(tmp_path)
    disk.create("a", 4096)
    calls.error = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input/output error"):
        disk.sync("a")
    disk.close()


def test_each_journal_sync_syncs_its_segment_and_then_marks_it(calls: Calls, tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, SETTINGS, FakeClock())
    for number in range(3):
        before = marked(tmp_path)
        accepted = journal.accept("s", f"w{number}", bytes(16), "K", b"payload")
        assert marked(tmp_path) == before, "marked before it was synced"
        calls.synced.clear()
        assert journal.sync() >= accepted.jno
        assert [name for name in calls.synced if name.endswith(".seg")] == [f"{1:016x}.seg"]
        assert marked(tmp_path) == journal.synced >= accepted.jno
    journal.close()


def test_a_failed_sync_leaves_the_mark_where_it_was(calls: Calls, tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, SETTINGS, FakeClock())
    journal.accept("s", "w1", bytes(16), "K", b"payload")
    journal.sync()
    before = marked(tmp_path)
    journal.accept("s", "w2", bytes(16), "K", b"payload")
    calls.error = OSError(5, "Input/output error")
    with pytest.raises(JournalBrokenError):
        journal.sync()
    assert marked(tmp_path) == journal.synced == before
    calls.error = None
    journal.close()


def test_the_mark_itself_is_synced_once_a_second_at_most_and_when_closed(
    calls: Calls, tmp_path: Path
) -> None:
    clock = FakeClock()
    journal = Journal.open(tmp_path, SETTINGS, clock)
    calls.synced.clear()
    for number in range(6):
        journal.accept("s", f"w{number}", bytes(16), "K", b"payload")
        journal.sync()
        clock.advance(ms=400)
    assert calls.synced.count(MARK_FILE) == 1
    journal.close()
    assert calls.synced.count(MARK_FILE) == 2
