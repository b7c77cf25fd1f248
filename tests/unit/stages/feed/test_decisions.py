"""The autoscaler's newest words, read while it writes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline import limits
from pipeline.stages.feed.decisions import FILE, Decisions


def write(folder: Path, *lines: str, end: str = "\n") -> None:
    file = folder / FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(lines) + end)


def line(number: int) -> str:
    said = {"at": f"2026-01-01T00:00:{number:02d}Z", "sentence": f"raise {number}", "stage": "agent"}
    return msgspec.json.encode(said).decode()


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert Decisions(tmp_path).newest() == ()


def test_the_last_comes_first_and_what_is_no_line_is_left_out(tmp_path: Path) -> None:
    found = Decisions(tmp_path)
    write(tmp_path, line(1), "no JSON", line(2), line(3)[:20], end="")
    assert [one["sentence"] for one in found.newest()] == ["raise 2", "raise 1"]
    write(tmp_path, line(1), line(2), line(3))
    assert found.newest()[0] == {"at": "2026-01-01T00:00:03Z", "sentence": "raise 3"}


def test_of_a_long_file_only_the_end_is_read(tmp_path: Path) -> None:
    write(tmp_path, "x" * (2 * limits.DECISIONS_TAIL_BYTES), *(line(number) for number in range(30)))
    found = Decisions(tmp_path).newest()
    assert len(found) == limits.DECISIONS_SHOWN
    assert found[0]["sentence"] == "raise 29"
