from __future__ import annotations

from pathlib import Path

from pipeline.clock import FakeClock
from pipeline.stages.feed.reports import EVERY_NS, Reports


class Stepping(FakeClock):
    """A moment in which the reports are due again passes with each look at it."""

    def monotonic_ns(self) -> int:
        self.advance(ns=EVERY_NS)
        return super().monotonic_ns()


def reports_in(folder: Path) -> Reports:
    return Reports(folder, Stepping().monotonic_ns)


def put(folder: Path, name: str, taken_us: int) -> None:
    new = folder / f"{name}.new"
    new.write_text(f'{{"name": "{name}", "taken_us": {taken_us}}}')
    new.replace(folder / f"{name}.json")


def taken(reports: Reports) -> dict[str, int]:
    return {report.name: report.taken_us for report in reports.read()}


def test_every_worker_s_last_word_is_read_by_name(tmp_path: Path) -> None:
    reports = reports_in(tmp_path)
    put(tmp_path, "exec-0", 1)
    put(tmp_path, "agent-0", 2)
    assert list(taken(reports).items()) == [("agent-0", 2), ("exec-0", 1)]
    put(tmp_path, "agent-0", 3)
    assert taken(reports) == {"agent-0": 3, "exec-0": 1}
    (tmp_path / "exec-0.json").unlink()
    assert taken(reports) == {"agent-0": 3}


def test_what_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    reports = reports_in(tmp_path)
    put(tmp_path, "agent-0", 1)
    before = reports.read()
    assert reports.read()[0] is before[0]


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "agent-0", 1)
    (tmp_path / "exec-0.json").write_text("{")
    (tmp_path / "notes.txt").write_text("{}")
    assert taken(reports_in(tmp_path)) == {"agent-0": 1}
    assert taken(reports_in(tmp_path / "missing")) == {}


def test_between_two_looks_the_last_word_stands(tmp_path: Path) -> None:
    clock = FakeClock()
    reports = Reports(tmp_path, clock.monotonic_ns)
    put(tmp_path, "agent-0", 1)
    assert taken(reports) == {"agent-0": 1}
    put(tmp_path, "agent-0", 2)
    assert taken(reports) == {"agent-0": 1}
    clock.advance(ns=EVERY_NS)
    assert taken(reports) == {"agent-0": 2}
