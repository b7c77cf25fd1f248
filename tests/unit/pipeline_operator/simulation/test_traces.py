"""Traces of load."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import MissingError
from pipeline_operator import limits
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
        ("count\n5\n", "1 minute, allowed"),
        ("5\n-1\n", "minute 2: '-1'"),
        ("5\nnan\n", "minute 2: 'nan'"),
        ("5\n6\nmany\n", "minute 3: 'many'"),
        ("5\n1e30\n", "minute 2: '1e30'"),
        ("12x\n5\n6\n", "line 1, minute 1: '12x'"),
        ("09:00,many\n09:01,5\n09:02,6\n", "line 1, minute 1: 'many'"),
        ("many,09:00\n5,5\n5,6\n", "line 1, minute 1: '09:00'"),
        ("-1\n5\n6\n", "line 1, minute 1: '-1'"),
        ("$5\n5\n6\n", "line 1, minute 1: '$5'"),
        ("nan\n5\n6\n", "line 1, minute 1: 'nan'"),
        ("n/a\n5\n6\n", "line 1, minute 1: 'n/a'"),
        ("minute,\n5,5\n6,6\n", "line 1, minute 1: ''"),
        ("minute,count\n\n09:00,5\n09:01,\n", "line 4, minute 2: ''"),
        ("minute,count\ntime,number\n1,5\n2,6\n", "line 2, minute 1: 'number'"),
    ],
)
def test_a_csv_that_is_none_is_refused_with_its_minute(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(TraceError, match=re.escape(said)):
        read_trace(file)


def test_a_csv_that_cannot_be_read_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read_trace(tmp_path / "nothing.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MissingError):
        read_trace(tmp_path / "bytes.csv")


@pytest.mark.parametrize(
    "text", ["600\n1200\n", "count\n600\n1200\n", '"minute","count"\r\n1,600\r\n2,1200\r\n']
)
def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path, text: str) -> None:
    file = tmp_path / "excel.csv"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    trace = read_trace(file)
    assert (trace.seconds, trace.at(30), trace.at(90)) == (120, 10, 20)


@given(st.lists(st.integers(0, limits.MAX_TRACE_COUNT), min_size=2, max_size=20), st.booleans())
def test_every_count_of_a_file_is_a_minute(counts: list[int], heading: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "counts.csv"
        file.write_text("count\n" * heading + "".join(f"{count}\n" for count in counts))
        trace = read_trace(file)
    assert trace.seconds == 60 * len(counts)
    assert [round(trace.at(60 * minute + 30) * 60) for minute in range(len(counts))] == counts
