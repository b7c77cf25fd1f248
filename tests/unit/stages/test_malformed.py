from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import limits
from pipeline.stages.malformed import MalformedFrames


def test_the_newest_frames_are_kept_and_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "malformed"
    frames = MalformedFrames(folder, "agent-0")
    count = 2 * limits.MAX_MALFORMED_FRAMES + 3
    for number in range(count):
        frames.keep(b"%d" % number)
    kept = {int(path.read_bytes()) for path in folder.iterdir()}
    assert kept == set(range(count - limits.MAX_MALFORMED_FRAMES, count))


def test_a_long_frame_is_cut_and_a_shorter_one_leaves_nothing_of_it(tmp_path: Path) -> None:
    frames = MalformedFrames(tmp_path, "agent-0")
    frames.keep(bytes(limits.MAX_MALFORMED_BYTES + 1))
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == limits.MAX_MALFORMED_BYTES
    for _ in range(limits.MAX_MALFORMED_FRAMES):
        frames.keep(b"x")
    assert path.read_bytes() == b"x"


def test_workers_keep_theirs_apart(tmp_path: Path) -> None:
    for worker in ("agent-0", "agent-1"):
        MalformedFrames(tmp_path, worker).keep(worker.encode())
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"agent-0", b"agent-1"}


def test_what_cannot_be_kept_is_told_and_never_raised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    MalformedFrames(blocked, "agent-0").keep(b"frame")
    MalformedFrames(blocked / "below", "agent-0").keep(b"frame")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "malformed frame not kept" in caplog.text
