"""Traces of load."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import MissingError
from pipeline_operator.errors import TraceError
from pipeline_operator.simulation.traces import SHIPPED, Trace, read_trace, stairs


def test_shipped_traces_have_names_of_their_own_and_sane_loads() -> None:
    assert len({trace.name for trace in SHIPPED}) == len(SHIPPED) == 5
    for trace in SHIPPED:
        assert [at for at, _ in trace.points] == sorted(at for at, _ in trace.points)
        assert all(0 < trace.at(second) <= 2000 for second in range(0, trace.seconds, 10))


def test_a_load_between_points_is_on_their_line() -> None:
    trace = Trace("line", "", ((0, 100), (10, 200)))
    assert [trace.at(second) for second in (-1, 0, 5, 10, 99)] == [100, 100, 150, 200, 200]


def test_stairs_jump() -> None:
    trace = Trace("stairs", "", stairs([(0, 10), (60, 50)], 120))
    assert [trace.at(second) for second in (0, 59.9, 60, 119)] == [10, 10, 50, 50]


def test_a_csv_has_a_count_a_minute_in_its_last_column(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text("minute,count\n09:00,600\n09:01,1200\n\n")
    trace = read_trace(file)
    assert (trace.name, trace.seconds) == ("day", 120)
    assert (trace.at(30), trace.at(90)) == (10, 20)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 minutes"),
        ("count\n5\n", "1 minutes"),
        ("5\n-1\n", "minute 2: '-1'"),
        ("5\nnan\n", "minute 2: 'nan'"),
        ("5\n6\nmany\n", "minute 3: 'many'"),
        ("5\n1e30\n", "minute 2: '1e30'"),
    ],
)
def test_a_csv_that_is_none_is_refused_with_its_minute(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(TraceError, match=said):
        read_trace(file)


def test_a_csv_that_cannot_be_read_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read_trace(tmp_path / "nothing.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MissingError):
        read_trace(tmp_path / "bytes.csv")
