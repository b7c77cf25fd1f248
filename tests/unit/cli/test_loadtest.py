"""`ringline loadtest` up to where the load tests take over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadtests.task import Task, read_task, secret_of, token_of
from pipeline.cli.app import run
from pipeline.errors import MissingError, UsageError


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The words of every process that this one was to become."""
    words: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _program, arguments: words.append(arguments))
    monkeypatch.chdir(tmp_path)
    return words


def task_of(became: list[list[str]]) -> Task:
    return read_task(Path(became[0][-1]))


def test_a_started_pipeline_gets_a_folder_of_its_own(became: list[list[str]], tmp_path: Path) -> None:
    run(["loadtest", "soak", "--start", "--set", "gateway.port=9001"])
    assert became[0][1:5] == ["-P", "-m", "loadtests", "run"]
    task = task_of(became)
    assert (task.shape, task.start, task.time_scale, task.rate) == ("soak", True, 1.0, None)
    assert task.gateway_url == "http://127.0.0.1:9001"
    assert task.collector_url == "http://127.0.0.1:9464"
    assert task.audit_url == "http://127.0.0.1:8006"
    assert Path(task.data_dir).parent == Path(task.folder)
    assert Path(task.folder).parent == tmp_path / "runs"
    assert Path(task.secret_file) == Path(task.data_dir) / "secrets" / "demo.whsec"
    config: Any = msgspec.json.decode(Path(task.config_file).read_bytes())
    assert config["data_dir"] == task.data_dir


def test_the_task_holds_no_secret(became: list[list[str]], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "Q" * 44)
    run(["loadtest", "smoke", "--url", "http://far:1/", "--secret-file", str(secret)])
    assert b"QQQQ" not in Path(became[0][-1]).read_bytes()
    task = task_of(became)
    assert (task.gateway_url, task.data_dir, task.collector_url) == ("http://far:1", "", "")


def test_a_token_is_looked_for_where_it_is_configured(became: list[list[str]], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-to-read-with\n")
    run(["loadtest", "smoke", "--start", "--set", f'feed.read_token_files=["{token}"]'])
    assert token_of(task_of(became)) == "a-token-to-read-with"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["smoke", "--start", "--url", "http://h:1"], 2),
        (["smoke", "--collector", "http://h:1"], 2),
        (["smoke", "--start", "--source", "nobody"], 2),
        (["smoke", "--start", "--time-scale", "0"], 2),
        (["smoke", "--start", "--generators", "99"], 2),
        (["smok", "--start"], 2),
        (["smoke", "--cluster", "--gates", "g.toml"], 2),
        (["smoke", "--autoscale"], 2),
        (["smoke", "--start", "--replicas", "exec=1..3"], 2),
        (["smoke", "--keep-data"], 2),
    ],
)
def test_wrong_words_are_refused_before_anything_starts(
    became: list[list[str]], words: list[str], code: int, tmp_path: Path
) -> None:
    assert run(["loadtest", *words]) == code
    assert became == []
    assert not (tmp_path / "runs").exists()


def test_secrets_that_cannot_be_had_are_named_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("whsec_!!!not-base64")
    with pytest.raises(MissingError, match="not base64") as found:
        secret_of(str(file), "")
    assert "!!!" not in str(found.value)
    with pytest.raises(MissingError, match="No such file"):
        secret_of(str(tmp_path / "none"), "")
    with pytest.raises(MissingError, match="NOWHERE"):
        secret_of("", "NOWHERE", {})


def test_a_file_that_is_no_task_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_text('{"shape": 1}')
    with pytest.raises(UsageError, match="task"):
        read_task(file)
    with pytest.raises(MissingError):
        read_task(tmp_path / "none.json")


def test_a_pipeline_that_scales_itself_is_started_so(became: list[list[str]], tmp_path: Path) -> None:
    words = ["--autoscale", "--replicas", "exec=1..3", "--policy", "p.json", "--keep-data"]
    run(["loadtest", "spike", "--start", *words])
    task = task_of(became)
    expected = ("--autoscale", "--replicas", "exec=1..3", "--policy", str(tmp_path / "p.json"))
    assert (task.up_words, task.keep_data) == (expected, True)
