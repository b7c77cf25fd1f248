"""Ring files: whole when they appear, held by the living, safe to fork, honest when space is short."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.telemetry import layout
from pipeline.telemetry.layout import Mode, Proof, RefusedRingError
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring import COLLECTOR_LOCK, create_ring, make_directory


def test_a_ring_appears_whole_private_and_locked(tmp_path: Path) -> None:
    ring = create_ring(tmp_path / "rings", "agent-0", 64)
    assert ring.path is not None
    assert [path.name for path in ring.path.parent.iterdir()] == [ring.path.name]
    assert ring.path.stat().st_size == layout.ring_bytes(64)
    assert ring.path.stat().st_mode & 0o777 == 0o600
    assert ring.path.parent.stat().st_mode & 0o777 == 0o700
    reader = RingReader.attach(ring.path)
    assert (reader.identity.worker, reader.identity.pid) == ("agent-0", os.getpid())
    assert not reader.writer_is_gone()
    assert reader.heartbeat_ns > 0
    reader.close()
    ring.close()


def test_attaching_changes_no_byte(tmp_path: Path) -> None:
    ring = create_ring(tmp_path, "agent-0", 64)
    ring.put(1, 2, 3)
    assert ring.path is not None
    before = ring.path.read_bytes()
    RingReader.attach(ring.path).close()
    assert ring.path.read_bytes() == before
    ring.close()


def test_without_a_collector_a_closed_ring_takes_its_file_along(tmp_path: Path) -> None:
    create_ring(tmp_path, "agent-0", 64).close()
    assert not list(tmp_path.iterdir())


def test_with_a_collector_a_closed_ring_is_left_to_it(tmp_path: Path) -> None:
    fd = os.open(tmp_path / COLLECTOR_LOCK, os.O_CREAT | os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    ring = create_ring(tmp_path, "agent-0", 64)
    assert ring.path is not None
    reader = RingReader.attach(ring.path)
    ring.close()
    assert ring.path.exists()
    assert reader.writer_is_gone()
    assert reader.closed
    reader.close()
    os.close(fd)


def test_closing_twice_and_writing_after_it_do_nothing(tmp_path: Path) -> None:
    ring = create_ring(tmp_path, "agent-0", 64)
    ring.close()
    ring.close()
    assert not ring.put(1, 2, 3)
    assert (ring.dropped, ring.waiting) == (0, 0)


FORKING_WRITER = """
import os, sys, time
from pathlib import Path
from pipeline.telemetry.ring import create_ring

ring = create_ring(Path(sys.argv[1]), "agent-0", 64)
ring.put(1, 2, 3)
if os.fork() == 0:  # outlives its parent, until its standard input ends
    print(ring.put(4, 5, 6), flush=True)
    ring.close()
    sys.stdin.read()
os._exit(0)
"""


def test_a_forked_child_neither_writes_nor_keeps_its_dead_parent_alive(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKING_WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "False\n"
        writer.wait(10)
        [path] = tmp_path.iterdir()
        reader = RingReader.attach(path)
        assert reader.writer_is_gone()
        assert not reader.closed
        assert reader.drain(np.zeros((8, 4), dtype=np.int64)).kept == 1
        reader.close()


def test_a_name_that_would_leave_the_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="file name"):
        create_ring(tmp_path, "../agent", 64)
    assert not list(tmp_path.iterdir())


def test_a_full_file_system_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        create_ring(tmp_path, "agent-0", 64)
    assert not list(tmp_path.iterdir())


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match="is not a directory of user"):
        make_directory(tmp_path)


def test_a_link_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="is a symbolic link"):
        make_directory(tmp_path / "link")


def test_a_file_cut_short_under_its_reader_is_refused_in_time(tmp_path: Path) -> None:
    ring = create_ring(tmp_path, "agent-0", 64)
    assert ring.path is not None
    reader = RingReader.attach(ring.path)
    os.truncate(ring.path, 100)
    with pytest.raises(RefusedRingError, match="truncated"):
        reader.drain(np.zeros((8, 4), dtype=np.int64))
    reader.close()
    ring.abandon()


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("proof", list(Proof))
def test_mode_and_proof_travel_in_the_header(tmp_path: Path, mode: Mode, proof: Proof) -> None:
    ring = create_ring(tmp_path, "agent-0", 64, mode=mode, proof=proof)
    assert ring.path is not None
    reader = RingReader.attach(ring.path)
    assert (reader.identity.mode, reader.identity.proof) == (mode, proof)
    reader.close()
    ring.close()
