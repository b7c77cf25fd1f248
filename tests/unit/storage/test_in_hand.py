"""The note of what a worker has in hand."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from pipeline import limits
from pipeline.errors import MissingError
from pipeline.storage.in_hand import InHand


def dies_with(directory: Path, key: str, key_seq: int, worker: str = "agent-0") -> int:
    """A worker that notes and is gone without a word; returns its boot."""
    worker_note = InHand.open(directory, worker)
    worker_note.note(key, key_seq)
    _vanish(worker_note)
    return worker_note.boot


def _vanish(worker_note: InHand) -> None:
    """What the kernel does when a process ends."""
    worker_note._map.close()
    os.close(worker_note._lock)


def test_the_first_worker_of_a_name_finds_nothing(tmp_path: Path) -> None:
    first = InHand.open(tmp_path / "notes", "agent-0")
    assert first.died is None
    first.close()


def test_what_a_dead_worker_had_in_hand_is_named_once_with_its_boot(tmp_path: Path) -> None:
    boot = dies_with(tmp_path, "AAPL", 7)
    second = InHand.open(tmp_path, "agent-0")
    assert second.died == ("AAPL", 7, boot)
    assert second.boot != boot
    _vanish(second)
    third = InHand.open(tmp_path, "agent-0")
    assert third.died is None
    third.close()


def test_a_worker_that_died_idle_or_left_well_names_nothing(tmp_path: Path) -> None:
    idle = InHand.open(tmp_path, "agent-0")
    idle.note("AAPL", 7)
    idle.clear()
    _vanish(idle)
    left = InHand.open(tmp_path, "agent-0")
    assert left.died is None
    left.note("AAPL", 8)
    left.close()
    last = InHand.open(tmp_path, "agent-0")
    assert last.died is None
    last.close()


def test_a_shorter_key_after_a_longer_one_is_read_whole(tmp_path: Path) -> None:
    worker = InHand.open(tmp_path, "agent-0")
    worker.note("LONGSYMBOL.X", 2**63)
    worker.note("é", 1)
    _vanish(worker)
    after = InHand.open(tmp_path, "agent-0")
    assert after.died is not None
    assert after.died[:2] == ("é", 1)
    after.close()


def test_the_longest_key_fits(tmp_path: Path) -> None:
    key = "\U0001f600" * limits.MAX_SYMBOL_CHARS
    dies_with(tmp_path, key, 3)
    after = InHand.open(tmp_path, "agent-0")
    assert after.died is not None
    assert after.died.key == key
    after.close()


def test_workers_of_other_names_are_independent(tmp_path: Path) -> None:
    dies_with(tmp_path, "AAPL", 7, "agent-0")
    other = InHand.open(tmp_path, "agent-1")
    assert other.died is None
    other.close()


def test_a_living_worker_of_the_same_name_is_in_the_way(tmp_path: Path) -> None:
    living = InHand.open(tmp_path, "agent-0")
    with pytest.raises(MissingError, match="in use by another process"):
        InHand.open(tmp_path, "agent-0")
    living.close()


def test_a_torn_note_is_no_note_and_never_another_one(tmp_path: Path) -> None:
    """The worker dies between any two bytes of writing a note over the one before."""
    path = tmp_path / "agent-0.in-hand"
    dies_with(tmp_path, "OLDER", 41)
    older = path.read_bytes()
    dies_with(tmp_path, "NEWKEY", 42)
    newer = path.read_bytes()
    for cut in range(16, len(newer)):
        path.write_bytes(older[:8] + newer[8:cut] + older[cut:])
        after = InHand.open(tmp_path, "agent-0")
        assert after.died is None or after.died[:2] in {("OLDER", 41), ("NEWKEY", 42)}
        _vanish(after)


def test_every_flipped_byte_is_no_note(tmp_path: Path) -> None:
    path = tmp_path / "agent-0.in-hand"
    dies_with(tmp_path, "AAPL", 42)
    good = path.read_bytes()
    for offset in [*range(8), *range(16, 34)]:
        bad = bytearray(good)
        bad[offset] ^= 0xFF
        path.write_bytes(bad)
        after = InHand.open(tmp_path, "agent-0")
        assert after.died is None
        _vanish(after)


def test_no_space_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(MissingError, match="No space left"):
        InHand.open(tmp_path, "agent-0")
    monkeypatch.undo()
    InHand.open(tmp_path, "agent-0").close()


def _note_until_killed(directory: str) -> None:
    worker = InHand.open(Path(directory), "agent-0")
    number = 0
    while True:
        number += 1
        worker.note(f"K{number % 3}", number)


@pytest.mark.skipif(sys.platform != "linux", reason="kills by signal")
def test_a_killed_process_leaves_its_note(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_note_until_killed, args=(str(tmp_path),))
    process.start()
    path, deadline = tmp_path / "agent-0.in-hand", time.monotonic() + 30
    while not path.exists() or not path.read_bytes()[16:24].strip(b"\0"):
        assert time.monotonic() < deadline, "the worker never noted anything"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    after = InHand.open(tmp_path, "agent-0")
    if after.died is not None:
        assert after.died.key == f"K{after.died.key_seq % 3}"
    after.close()
