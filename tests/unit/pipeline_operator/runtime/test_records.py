"""Decision records on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import two_stages

from pipeline.errors import MissingError
from pipeline_operator import limits
from pipeline_operator.memory import Memory
from pipeline_operator.observation import Observation
from pipeline_operator.parse_spec import parse_spec
from pipeline_operator.policy import decide
from pipeline_operator.record import Record, decode_record
from pipeline_operator.runtime.records import RecordLog


def a_record() -> Record:
    spec = parse_spec({"spec": {"stages": two_stages()}})
    return decide(spec, Observation(), Memory(), 1_700_000_000_000_000)[1]


def test_each_line_is_a_record_and_a_full_file_is_kept_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "records.jsonl"
    log, record = RecordLog(str(file)), a_record()
    log.write(record)
    log.write(record)
    assert [decode_record(line) for line in file.read_bytes().splitlines()] == [record, record]
    monkeypatch.setattr(limits, "MAX_RECORD_FILE_BYTES", 10)
    log.write(record)
    log.write(record)
    log.close()
    assert file.read_bytes() == b""
    assert decode_record((tmp_path / "records.jsonl.1").read_bytes()) == record


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"--records .*: No such file or directory"):
        RecordLog(str(tmp_path / "none" / "records.jsonl"))


def test_a_full_disk_stops_nothing() -> None:
    log = RecordLog("/dev/full")
    log.write(a_record())
    assert "No space left" in log.fault
    log.close()
    RecordLog("").write(a_record())
