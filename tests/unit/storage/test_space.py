"""Free space: what is said when, and when no more events should be taken."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.clock import FakeClock
from pipeline.config import load
from pipeline.limits import MIB
from pipeline.storage.space import Level, SpaceWatch, free_bytes, judge_space


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 100), min_size=1), st.integers(0, 100), st.data())
def test_the_fullest_folder_decides(found: dict[str, int], warn_bytes: int, data: st.DataObject) -> None:
    floor_bytes = data.draw(st.integers(0, warn_bytes))
    space = judge_space(found, warn_bytes, floor_bytes)
    least = min(found.values())
    assert (space.free_bytes, found[space.folder]) == (least, least)
    expected = Level.FULL if least < floor_bytes else Level.LOW if least < warn_bytes else Level.PLENTY
    assert space.level is expected
    assert bool(space.detail) == (expected is not Level.PLENTY)


def test_a_disk_that_fills_is_reported_once_and_again_when_it_matters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, free = FakeClock(), [900 * MIB]
    watch = SpaceWatch([Path("/data")], 500 * MIB, 100 * MIB, clock, lambda _: free[0])

    def said(new_free: int, wait_s: float = limits.SPACE_EVERY_S) -> tuple[str, list[str]]:
        free[0] = new_free * MIB
        clock.advance(s=wait_s)
        caplog.clear()
        return watch.unready(), caplog.messages

    low = "/data: 400 MiB free, below 500 MiB: make room soon"
    full = "/data: 99 MiB free, below 100 MiB: no new events are taken"
    assert said(900) == ("", [])
    assert said(400) == ("", [low])
    assert said(400) == ("", [])
    assert said(400, limits.SPACE_SAY_EVERY_S) == ("", [low])
    assert said(99) == (full, [full])
    assert said(900, limits.SPACE_EVERY_S - 1) == (full, [])
    assert said(900, 1) == ("", ["/data: 900 MiB free again"])


def test_space_that_cannot_be_measured_is_said_and_not_taken_for_full(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(folder: Path) -> int:
        raise OSError(5, "Input/output error")

    watch = SpaceWatch([Path("/data")], 500, 100, FakeClock(), fail)
    assert watch.unready() == ""
    assert caplog.messages == ["/data: free space is unknown: Input/output error"]


def test_a_real_folder_is_measured_also_before_it_is_there(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") > 0
    assert (
        SpaceWatch.of(load(assignments=[f"data_dir={tmp_path}/new", "space.floor_bytes=0"])).unready() == ""
    )


def test_with_less_than_the_floor_it_is_unready(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    most = 1024 * limits.GIB
    config = load(
        assignments=[f"data_dir={tmp_path}", f"space.floor_bytes={most}", f"space.warn_bytes={most}"]
    )
    assert "no new events are taken" in SpaceWatch.of(config).unready()
