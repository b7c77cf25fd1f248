"""Signed checkpoints: their bytes, their keys, when they are written, and what they prove."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

import pytest
from some_rows import lone_row, some_rows

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.config import Config, load, resolve
from pipeline.errors import MissingError, UsageError
from pipeline.storage.audit import AuditReader, Link, SqliteAuditStore
from pipeline.storage.audit.checkpoint import Checkpoint, CheckpointError, Kept, parse_checkpoint
from pipeline.storage.audit.checkpoints import (
    CheckpointWriter,
    checkpoint_folder,
    contradiction,
    latest,
    load_public_key,
    load_signing_key,
    public_key_file,
    read_note,
)
from pipeline.storage.audit.note import SigningKey, VerifyKey

GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    "\n— PeterNeumann x08go/ZJkuBS9UG/"
    "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
"""The example of Go's golang.org/x/mod/sumdb/note."""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(assignments=[f"data_dir={tmp_path}/data", f"audit.checkpoint_file={tmp_path}/copy"])


@pytest.fixture
def key(config: Config) -> SigningKey:
    return load_signing_key(config)


# ---- bytes ------------------------------------------------------------------------------------------------


def test_keys_and_signatures_are_those_of_other_programs() -> None:
    key = VerifyKey.parse(GO_VERIFIER)
    assert str(key) == GO_VERIFIER
    with pytest.raises(UsageError, match="no checkpoint"):
        key.open(GO_NOTE)  # signed, and no checkpoint
    with pytest.raises(CheckpointError, match="not signed"):
        key.open(GO_NOTE.replace("answer", "anzwer"))


@pytest.mark.parametrize("kept", [None, Kept(3, b"k" * 32)])
def test_what_is_signed_is_read_back(key: SigningKey, kept: Kept | None) -> None:
    checkpoint = Checkpoint("ringline/audit", 12, b"h" * 32, kept)
    note = key.sign(checkpoint)
    assert note.startswith("ringline/audit\n12\naGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGg=\n")
    assert key.verify_key.open(note) == checkpoint


def test_any_changed_character_is_found(key: SigningKey) -> None:
    note = key.sign(Checkpoint("ringline/audit", 12, b"h" * 32))
    for at in range(len(note) - 1):
        changed = note[:at] + ("x" if note[at] != "x" else "y") + note[at + 1 :]
        with pytest.raises((CheckpointError, UsageError)):
            key.verify_key.open(changed)


@pytest.mark.parametrize(
    "text",
    ["", "a\n", "a\n1\n\n", "a\n01\n" + "A" * 44 + "\n", "a\n-1\nAA==\n", "\n1\nAA==\n", "a\n1\nAA==\n"],
)
def test_what_is_no_checkpoint_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="no checkpoint"):
        parse_checkpoint(text)


def test_a_key_is_made_once_for_its_owner_only(config: Config, key: SigningKey) -> None:
    file = Path(config.data_dir) / "secrets" / "audit.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert str(load_signing_key(config).verify_key) == str(key.verify_key)
    assert str(load_public_key(public_key_file(config))) == str(key.verify_key)
    with pytest.raises(MissingError, match=r"is of ringline/audit, audit.origin is other"):
        SigningKey.load(file, "other")
    file.write_text("nonsense")
    with pytest.raises(MissingError, match="holds no signing key") as told:
        load_signing_key(config)
    assert "nonsense" not in str(told.value)


def test_a_named_key_signs_instead_also_without_its_id(tmp_path: Path) -> None:
    file = tmp_path / "mounted" / "audit.key"
    config = resolve({"data_dir": str(tmp_path / "data"), "audit": {"signing_key_file": str(file)}})
    made = load_signing_key(config)
    assert not (tmp_path / "data" / "secrets").exists()
    name, _, rest = file.read_text().strip().removeprefix("PRIVATE+KEY+").partition("+")
    file.write_text(f"PRIVATE+KEY+{name}++{rest.partition('+')[2]}\n")
    assert str(load_signing_key(config).verify_key) == str(made.verify_key)


# ---- writing ----------------------------------------------------------------------------------------------


def test_the_end_of_the_chain_is_signed_on_schedule_when_it_moved(config: Config, key: SigningKey) -> None:
    links = [Link(0, bytes(32))]
    writer = CheckpointWriter(config, key, lambda: links[-1])
    folder = checkpoint_folder(config)
    writer.tick(NS_PER_S)
    assert latest(folder) is None
    links.append(Link(5, b"5" * 32))
    writer.tick(2 * NS_PER_S)
    assert latest(folder) is None
    writer.tick(61 * NS_PER_S)
    links.append(Link(9, b"9" * 32))
    writer.tick(121 * NS_PER_S)
    newest = latest(folder)
    assert newest is not None
    assert key.verify_key.open(read_note(newest)) == Checkpoint("ringline/audit", 9, b"9" * 32)
    assert Path(config.audit.checkpoint_file).read_bytes() == newest.read_bytes()
    assert len(list(folder.glob("*.checkpoint"))) == 2


def test_a_new_writer_signs_no_chain_that_is_shorter_than_the_last(config: Config, key: SigningKey) -> None:
    CheckpointWriter(config, key, lambda: Link(9, b"9" * 32)).write()
    CheckpointWriter(config, key, lambda: Link(8, b"8" * 32)).write()
    assert len(list(checkpoint_folder(config).glob("*.checkpoint"))) == 1


def test_only_so_many_are_kept(config: Config, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CHECKPOINTS", 3)
    for seq in range(1, 8):
        CheckpointWriter(config, key, lambda seq=seq: Link(seq, b"x" * 32)).write()  # type: ignore[misc]
    assert [int(file.stem) for file in sorted(checkpoint_folder(config).glob("*.checkpoint"))] == [5, 6, 7]


def test_what_cannot_be_written_is_reported_and_tried_again(
    config: Config, key: SigningKey, caplog: pytest.LogCaptureFixture
) -> None:
    copy = Path(config.audit.checkpoint_file)
    copy.mkdir()
    writer = CheckpointWriter(config, key, lambda: Link(1, b"1" * 32))
    with caplog.at_level(logging.WARNING):
        writer.write()
    assert "checkpoint of row 1: cannot be written" in caplog.text
    copy.rmdir()
    writer.write()
    assert copy.is_file()


# ---- what they prove --------------------------------------------------------------------------------------


def audit(path: Path, rows: int) -> Path:
    with contextlib.closing(SqliteAuditStore.open(path)) as store:
        store.append(some_rows()[:rows])
    return path


def signed(path: Path) -> Checkpoint:
    with contextlib.closing(AuditReader.open(path)) as reader:
        return Checkpoint("o", *reader.head())


def test_a_chain_that_grew_since_passes_through_its_checkpoint(tmp_path: Path) -> None:
    path = audit(tmp_path / "audit.db", 10)
    early = signed(path)
    audit(path, 30)
    with contextlib.closing(AuditReader.open(path)) as reader:
        assert (reader.verify(signed=early).ok, reader.verify(signed=early).rows) == (True, 30)


def test_rows_cut_off_the_end_are_found(tmp_path: Path) -> None:
    path = audit(tmp_path / "audit.db", 30)
    late = signed(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM rows WHERE seq > 20")
    connection.close()
    with contextlib.closing(AuditReader.open(path)) as reader:
        assert reader.verify().ok
        report = reader.verify(signed=late)
    assert (report.ok, report.rows, report.first_bad) == (False, 20, 21)
    assert report.detail == "row 21 is missing: the checkpoint has 30 rows"


def test_a_chain_written_anew_is_found(tmp_path: Path) -> None:
    early = signed(audit(tmp_path / "audit.db", 10))
    with contextlib.closing(SqliteAuditStore.open(tmp_path / "forged.db")) as store:
        store.append([lone_row(f"K{number}") for number in range(20)])
    with contextlib.closing(AuditReader.open(tmp_path / "forged.db")) as reader:
        assert reader.verify().ok
        report = reader.verify(signed=early)
    assert (report.ok, report.first_bad) == (False, 10)
    assert "written anew" in report.detail


def test_an_audit_that_contradicts_the_last_checkpoint_is_noticed_at_a_start(
    tmp_path: Path, config: Config, key: SigningKey
) -> None:
    folder = checkpoint_folder(config)
    path = audit(tmp_path / "audit.db", 30)

    def found(file: Path) -> str:
        with contextlib.closing(AuditReader.open(file)) as reader:
            return contradiction(reader, key.verify_key, folder)

    assert found(path) == ""
    with contextlib.closing(AuditReader.open(path)) as reader:
        CheckpointWriter(config, key, lambda: reader.link(20) or Link(0, b"")).write()
    assert found(path) == ""
    assert found(audit(tmp_path / "restored.db", 10)) == "it has 10 rows, and 20 were signed"
    with contextlib.closing(SqliteAuditStore.open(tmp_path / "forged.db")) as store:
        store.append([lone_row(f"K{number}") for number in range(25)])
    assert found(tmp_path / "forged.db") == "row 20 is not the one that was signed"
