from __future__ import annotations

from pathlib import Path

from pipeline.supervisor.lock import DataLock
from pipeline.supervisor.status import Status, is_running, read_status, run_folder, write_status

STATUS = Status(
    pid=7, started_us=1, data_dir="/d", config_file="/d/run/config.json", endpoints={}, processes=()
)


def take(folder: Path) -> DataLock:
    return DataLock.take(folder, wait_s=0, report=print)


def test_a_folder_without_a_pipeline_has_no_status(tmp_path: Path) -> None:
    assert not is_running(str(tmp_path))
    assert read_status(str(tmp_path)) is None


def test_a_status_left_behind_by_a_dead_pipeline_is_not_believed(tmp_path: Path) -> None:
    run_folder(str(tmp_path)).mkdir()
    write_status(str(tmp_path), STATUS)
    assert read_status(str(tmp_path)) is None


def test_the_status_of_a_running_pipeline_is_what_it_wrote(tmp_path: Path) -> None:
    folder = run_folder(str(tmp_path))
    folder.mkdir()
    lock = take(folder)
    assert is_running(str(tmp_path))
    assert read_status(str(tmp_path)) is None  # it has not written yet
    write_status(str(tmp_path), STATUS)
    assert read_status(str(tmp_path)) == STATUS
    assert (folder / "status.json").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "status.json"]
    lock.release()
    assert not is_running(str(tmp_path))


def test_a_foreign_status_file_is_no_status(tmp_path: Path) -> None:
    folder = run_folder(str(tmp_path))
    folder.mkdir()
    lock = take(folder)
    (folder / "status.json").write_text("[]")
    assert read_status(str(tmp_path)) is None
    lock.release()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    take(tmp_path).release()
    lock = take(tmp_path)
    lock.release()
    lock.release()
