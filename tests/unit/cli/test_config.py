from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from pipeline.cli.app import run
from pipeline.config import Config, json_schema, load


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGLINE_CONFIG", raising=False)


def test_a_good_configuration_is_said_to_be_fine(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", "--set", "data_dir=/tmp/d"]) == 0
    assert capfd.readouterr().out == "The configuration is fine; its data folder is /tmp/d.\n"


def test_every_fault_is_a_line_on_stderr_and_the_exit_code_is_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", "--set", "links.credit=1", "--set", "gateway.port=x"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.split(" = ")[0] for line in err.splitlines()] == [
        "ringline: links.credit",
        "ringline: gateway.port",
    ]


def test_a_program_gets_every_fault_as_a_document(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--set", "links.credit=1", "--set", "audit.workers=2", "--set", "nonsense"]
    assert run(["config", "check", "--json", *words]) == 2
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found["ok"] is False
    assert [fault.split(" = ")[0] for fault in found["faults"]] == [
        "--set 'nonsense': expected KEY=VALUE, such as --set journal.retention_s=1200",
        "links.credit",
        "audit.workers",
    ]


def test_a_file_that_is_not_there_is_missing(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", "--config", "/no/such.toml"]) == 3
    assert "ringline: configuration /no/such.toml: cannot be read: No such file" in capfd.readouterr().err


def test_a_check_can_be_read_by_a_program(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["ok"] is True


def test_what_is_shown_is_a_file_that_gives_the_same_configuration(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--set", "agent.workers=3", "--set", 'trading.strategies={"a.b":{"kind":"breakout"}}']
    expected = load(assignments=words[1::2])
    for option, name in (((), "shown.toml"), (("--json",), "shown.json")):
        assert run(["config", "show", *option, *words]) == 0
        file = tmp_path / name
        file.write_text(capfd.readouterr().out)
        assert load(file) == expected


def test_a_single_key_can_be_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "journal.retention_s"]) == 0
    out, err = capfd.readouterr()
    assert (out, err) == ("900\n", "# in the environment: RINGLINE_JOURNAL_RETENTION_S\n")
    assert run(["config", "show", "data_dir"]) == 0
    assert capfd.readouterr().out == "ringline-data\n"
    assert run(["config", "show", "links", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["credit"] == Config().links.credit
    assert run(["config", "show", "links"]) == 0
    assert tomllib.loads(capfd.readouterr().out)["credit"] == Config().links.credit


@pytest.mark.parametrize("key", ["journal.size", "data_dir.x"])
def test_a_key_that_does_not_exist_is_wrong_usage(capfd: pytest.CaptureFixture[str], key: str) -> None:
    assert run(["config", "show", key]) == 2
    assert f"ringline: {key}: no such key" in capfd.readouterr().err


def test_the_file_can_be_named_in_the_environment(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_text("[journal]\nretention_s = 1234\n")
    monkeypatch.setenv("RINGLINE_CONFIG", str(tmp_path / "r.toml"))
    assert run(["config", "show", "journal.retention_s"]) == 0
    assert capfd.readouterr().out == "1234\n"


def test_the_schema_is_the_configuration_s(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema"]) == 0
    assert json.loads(capfd.readouterr().out) == json.loads(msgspec.json.encode(json_schema()))


def test_a_custom_source_that_is_not_there_is_a_fault_and_nothing_of_one_is_run(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("import os\nos._exit(9)\nclass Mine: pass\n")
    one = f'{{"kind": "custom", "source": "{tmp_path}/mine.py:Mine"}}'
    there = ["--set", f'trading.strategies={{"s": {one}}}', "--set", "valuation.model=mark"]
    there += ["--set", f'valuation.models={{"mark": {{"kind": "last"}}, "m": {one}}}']
    assert run(["config", "check", *there]) == 0
    capfd.readouterr()
    gone = [word.replace("mine.py:Mine", "none.py:Mine") for word in there]
    assert run(["config", "check", "--json", *gone]) == 2
    none = f"custom: {tmp_path}/none.py:Mine: No such file or directory"
    assert json.loads(capfd.readouterr().out)["faults"] == [
        f"trading.strategies.s: {none}",
        f"valuation.models.m: {none}",
    ]
