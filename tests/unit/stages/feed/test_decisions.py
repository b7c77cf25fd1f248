"""The autoscaler's words, from the file that it writes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline import limits
from pipeline.autoscale.state import AutoscaleState, Change, state_file
from pipeline.stages.feed.decisions import Decisions

NOW_US = 10_000_000


def write(folder: Path, changes: int) -> None:
    state = AutoscaleState(
        at_us=9_000_000,
        mode="on",
        sentence="all SLAs are met",
        stages=(),
        changes=tuple(
            Change(
                stage="agent", before=1, after=2, decided_us=number * 1_000_000, sentence=f"raise {number}"
            )
            for number in range(1, changes + 1)
        ),
    )
    file = state_file(str(folder))
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.encode(state))


def test_without_a_file_or_with_half_of_one_there_are_none(tmp_path: Path) -> None:
    found = Decisions(tmp_path)
    assert found.newest(NOW_US) == ()
    write(tmp_path, 1)
    file = state_file(str(tmp_path))
    file.write_bytes(file.read_bytes()[:20])
    assert found.newest(NOW_US) == ()


def test_the_last_word_comes_first_then_the_changes_the_last_one_first(tmp_path: Path) -> None:
    found = Decisions(tmp_path)
    write(tmp_path, 2)
    assert [one["sentence"] for one in found.newest(NOW_US)] == ["all SLAs are met", "raise 2", "raise 1"]
    assert found.newest(NOW_US)[1]["at"] == "1970-01-01T00:00:02.000000Z"
    write(tmp_path, 3)
    assert found.newest(NOW_US)[1]["sentence"] == "raise 3"
    write(tmp_path, 3 * limits.DECISIONS_SHOWN)
    assert len(found.newest(NOW_US)) == limits.DECISIONS_SHOWN


def test_the_words_of_an_earlier_run_are_not_told(tmp_path: Path) -> None:
    found = Decisions(tmp_path)
    write(tmp_path, 1)
    old_us = 9_000_000 + limits.DECISION_OLD_S * 1_000_000
    assert len(found.newest(old_us)) == 2
    assert found.newest(old_us + 1) == ()
    assert Decisions(tmp_path).newest(old_us + 1) == ()
