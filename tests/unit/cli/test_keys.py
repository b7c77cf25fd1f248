from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli.app import run


def fingerprints(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    capsys.readouterr()
    assert run(["keys", "links", *words, "--json"]) == 0
    found: list[str] = json.loads(capsys.readouterr().out)["fingerprints"]
    return found


def test_a_key_file_is_made_for_its_owner_only_and_rotated_step_by_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "links.key")
    (first,) = fingerprints(capsys, file)
    assert Path(file).stat().st_mode & 0o777 == 0o600
    old, new = fingerprints(capsys, file, "--rotate", "add")
    assert old == first
    assert fingerprints(capsys, file, "--show") == [old, new]
    assert fingerprints(capsys, file, "--rotate", "use") == [new, old]
    assert fingerprints(capsys, file, "--rotate", "retire") == [new]


def test_an_existing_key_file_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "links.key"
    file.write_bytes(b"k" * 32)
    assert run(["keys", "links", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.read_bytes() == b"k" * 32
    assert run(["keys", "links", str(file), "--rotate", "use"]) == 2
    assert run(["keys", "links", str(tmp_path / "none"), "--rotate", "add"]) == 3
    assert run(["keys", "links", str(tmp_path / "no" / "links.key")]) == 3
