from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from pipeline.config import Config, load
from pipeline.config.schema import Source
from pipeline.errors import MissingError, UsageError
from pipeline.replay.audit_view import AuditView
from pipeline.replay.build import Course
from pipeline.replay.history import first, read_history
from pipeline.replay.job import check_empty, judged, new_folder, write_report
from pipeline.replay.report import Report, decode_report
from pipeline.replay.running import Running, sender_secret
from pipeline.telemetry import telemetry_directory

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_run_gets_a_folder_of_its_start_time(tmp_path: Path) -> None:
    names = [new_folder(tmp_path / "runs", NOW).name for _ in range(3)]
    assert names == ["2026-01-02T03-04-05Z", "2026-01-02T03-04-05Z-2", "2026-01-02T03-04-05Z-3"]


def test_a_runs_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError, match="runs folder"):
        new_folder(tmp_path / "file" / "runs", NOW)


def test_a_data_folder_that_something_was_in_is_refused(tmp_path: Path) -> None:
    check_empty(tmp_path / "new")
    (tmp_path / "secrets").mkdir()
    check_empty(tmp_path)
    (tmp_path / "journal").mkdir()
    with pytest.raises(UsageError, match=r"not empty \(journal\)"):
        check_empty(tmp_path)


def test_a_run_that_never_came_to_an_audit_still_has_a_report(tmp_path: Path) -> None:
    config = msgspec.structs.replace(Config(), data_dir=str(tmp_path))
    course = Course("run")
    course.faults.append("interrupted before the pipeline was ready")
    report = judged(config, first(read_history(), 10), course)
    assert not report.ok
    assert not report.chain_verified
    assert report.planned == 10
    assert report.faults[0] == "interrupted before the pipeline was ready"


def test_a_report_is_written_in_three_forms(tmp_path: Path, report: Report) -> None:
    write_report(tmp_path, report)
    assert decode_report((tmp_path / "report.json").read_bytes()) == report
    assert (tmp_path / "report.md").read_text().startswith("# Ringline run")
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_a_report_that_cannot_be_written_is_one_clear_line(tmp_path: Path, report: Report) -> None:
    with pytest.raises(MissingError, match="report in"):
        write_report(tmp_path / "none", report)


def test_an_audit_that_is_not_there_yet_has_no_rows(tmp_path: Path) -> None:
    view = AuditView(load(assignments=[f"data_dir={tmp_path}"]))
    assert view.length() == 0
    view.close()


def test_the_secret_is_the_files_then_the_variables_then_the_generated_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "demo.whsec").write_text("whsec_generated\n")
    (tmp_path / "other").write_text("whsec_file\n")
    monkeypatch.setenv("DEMO_SECRET", "whsec_variable")

    def secret(source: Source) -> str:
        config = msgspec.structs.replace(Config(), data_dir=str(tmp_path), sources={"demo": source})
        return sender_secret(config, "demo")

    assert secret(Source()) == "whsec_generated"
    assert secret(Source(secret_env=("DEMO_SECRET",))) == "whsec_variable"
    both = Source(secret_env=("DEMO_SECRET",), secret_files=(str(tmp_path / "other"),))
    assert secret(both) == "whsec_file"
    with pytest.raises(MissingError, match="NOT_SET is not set"):
        secret(Source(secret_env=("NOT_SET",)))
    with pytest.raises(MissingError, match="cannot be read"):
        secret(Source(secret_files=(str(tmp_path / "none"),)))


def test_a_stopped_run_leaves_nothing_in_shared_memory(tmp_path: Path) -> None:
    config = msgspec.structs.replace(Config(), data_dir=str(tmp_path))
    folder = telemetry_directory(config)
    folder.mkdir()
    (folder / "agent-0.in-hand").write_bytes(b"")
    Running(config, print).stop()
    assert not folder.exists()


def test_a_configured_telemetry_folder_is_left_alone(tmp_path: Path) -> None:
    telemetry = msgspec.structs.replace(Config().telemetry, directory=str(tmp_path))
    Running(msgspec.structs.replace(Config(), telemetry=telemetry), print).stop()
    assert tmp_path.exists()


def test_a_collector_that_is_not_there_gives_no_snapshot(tmp_path: Path) -> None:
    config = Config()
    telemetry = msgspec.structs.replace(config.telemetry, port=1)
    config = msgspec.structs.replace(config, data_dir=str(tmp_path), telemetry=telemetry)
    assert Running(config, print).snapshot() is None
