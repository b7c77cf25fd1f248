"""The journal in its real surroundings: a sync thread beside the accepting one, and SIGKILL at any moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pipeline import limits
from pipeline.clock import SystemClock
from pipeline.config.schema import Journal as Settings
from pipeline.storage.journal import Journal, JournalFullError

SETTINGS = Settings(segment_bytes=64 * limits.KIB, max_bytes=limits.MIB, retention_s=1)


def test_events_accepted_beside_a_running_sync_all_come_back(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, Settings(segment_bytes=256 * limits.KIB), SystemClock())
    done = threading.Event()

    def sync_all_the_time() -> None:
        while not done.is_set():
            journal.sync()

    thread = threading.Thread(target=sync_all_the_time)
    thread.start()
    for number in range(5000):
        journal.accept("s", f"w{number}", bytes(16), f"K{number % 50}", b"payload %d" % number)
    done.set()
    thread.join()
    journal.close()
    again = Journal.open(tmp_path, Settings(segment_bytes=256 * limits.KIB), SystemClock())
    assert {d.payload for d in again.recovered} == {b"payload %d" % number for number in range(5000)}
    again.close()


def _accept_until_killed(directory: str, answers: Connection, first: int) -> None:
    """Tells the number of each event when it is synced; settles most, so that segments come and go."""
    journal = Journal.open(Path(directory), SETTINGS, SystemClock())
    number = first
    while True:
        batch = []
        for _ in range(10):
            key = f"K{number % 7}"
            try:
                accepted = journal.accept("s", f"w{number}", bytes(16), key, b"%d" % number + bytes(500))
            except JournalFullError:
                journal.sync()
                last = journal.last(key)[0]
                journal.settled(key, last)
                answers.send((-1, key, last))
                break
            batch.append((number, accepted.deliveries[0].key, accepted.deliveries[0].key_seq))
            number += 1
        journal.sync()
        for told in batch:
            answers.send(told)
            if told[1] != "K3" and told[2] > 20:
                journal.settled(told[1], told[2] - 20)
                answers.send((-1, told[1], told[2] - 20))
        journal.maintain()


@pytest.mark.parametrize("patience", [1, 150, 700])
def test_a_killed_gateway_loses_nothing_it_had_synced(tmp_path: Path, patience: int) -> None:
    context = multiprocessing.get_context("spawn")
    synced: dict[tuple[str, int], int] = {}
    settled: dict[str, int] = {}
    first = 0
    for _ in range(2):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_accept_until_killed, args=(str(tmp_path), theirs, first))
        process.start()
        theirs.close()
        for _ in range(patience):
            assert ours.poll(30), "the process stopped answering"
            _note(ours.recv(), synced, settled)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        while ours.poll():
            try:
                _note(ours.recv(), synced, settled)
            except EOFError:
                break
        ours.close()
        first = max(synced.values()) + 100
        journal = Journal.open(tmp_path, SETTINGS, SystemClock())
        found = {(d.key, d.key_seq): int(d.payload.rstrip(b"\0")) for d in journal.recovered}
        for (key, key_seq), number in synced.items():
            if key_seq > settled.get(key, 0):
                assert found[key, key_seq] == number
        journal.close()


def _note(told: tuple[int, str, int], synced: dict[tuple[str, int], int], settled: dict[str, int]) -> None:
    number, key, key_seq = told
    if number < 0:
        settled[key] = max(key_seq, settled.get(key, 0))
    else:
        synced[key, key_seq] = number
