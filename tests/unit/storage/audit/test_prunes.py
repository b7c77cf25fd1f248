"""Old rows leave an audit: what stays verifies and rebuilds, what leaves is archived and signed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from some_rows import state_rows

from pipeline import limits
from pipeline.config import Config, load
from pipeline.delivery import Delivery
from pipeline.errors import MissingError, RinglineError, UsageError
from pipeline.storage.audit import AuditReader
from pipeline.storage.audit.archive import find_rows, parse_row, verify_archive
from pipeline.storage.audit.backup import back_up
from pipeline.storage.audit.checkpoint import Archived, Checkpoint
from pipeline.storage.audit.checkpoints import load_signing_key
from pipeline.storage.audit.database import Database
from pipeline.storage.audit.engines import open_database, open_reader, open_store
from pipeline.storage.audit.note import SigningKey
from pipeline.storage.audit.prunes import Pruned, prune

ROWS = 60
"""20 of each of three keys, a microsecond apart from 1000 on; states in every fourth of a key."""


class Site:
    """An audit with rows, and what belongs to it."""

    def __init__(self, config: Config, environment: dict[str, str]) -> None:
        self.config = config
        self.environment = environment
        self.key: SigningKey = load_signing_key(config)
        self.rows: list[Delivery] = state_rows(2 * ROWS)
        self.append(0, ROWS)

    def append(self, start: int, end: int) -> None:
        with contextlib.closing(open_store(self.config, self.environment)) as store:
            assert all(judged.appended for judged in store.append(self.rows[start:end]))

    def reader(self) -> contextlib.closing[AuditReader]:
        return contextlib.closing(open_reader(self.config, self.environment))

    def database(self) -> contextlib.closing[Database]:
        return contextlib.closing(open_database(self.config, self.environment, writable=True))

    def prune(self, before_us: int, archive: Path) -> Pruned:
        with self.database() as database:
            return prune(database, self.key, before_us, archive)


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    words = [f"data_dir={tmp_path}/data", "audit.state_every=4", f"audit.engine={request.param}"]
    environment = {}
    if request.param == "postgres":
        new_schema: Callable[[], str] = request.getfixturevalue("new_schema")
        words.append(f"audit.postgres_schema={new_schema()}")
        environment["RINGLINE_AUDIT_DSN"] = request.getfixturevalue("postgres_dsn")
    return Site(load(assignments=words), environment)


@pytest.mark.parametrize("step", [7, 10_000])
def test_what_stays_verifies_and_rebuilds_and_goes_on(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(limits, "PRUNE_STEP_ROWS", step)
    with contextlib.closing(open_store(site.config, site.environment)) as store:
        tails = [store.tail(key) for key in "ABC"]
    done = site.prune(1000 + 30, tmp_path / "archive")
    assert (done.archived, done.upto) == (30, 30)
    assert done.removed == 21  # of ten rows of a key, the eighth has states and stays with the two after it
    with contextlib.closing(open_store(site.config, site.environment)) as store:
        assert [store.tail(key) for key in "ABC"] == tails
    site.append(ROWS, 2 * ROWS)
    with site.reader() as reader:
        report = reader.verify(key=site.key.verify_key)
        assert (report.ok, report.detail) == (True, "")
        assert (report.pruned, report.rows) == (30, 2 * ROWS - 21)
        with pytest.raises(MissingError, match="takes its public key"):
            reader.verify()
    assert verify_archive(tmp_path / "archive", site.key.verify_key).rows == 30


def test_a_pruned_audit_is_pruned_again_and_the_archives_follow_each_other(
    site: Site, tmp_path: Path
) -> None:
    site.prune(1000 + 30, tmp_path / "one")
    assert site.prune(1000 + 30, tmp_path / "none") == Pruned(0, 0, 30)
    assert not (tmp_path / "none").exists()
    assert site.prune(1000 + 50, tmp_path / "two").archived == 20
    assert site.prune(10**15, tmp_path / "three").upto == ROWS
    archived = [
        parse_row(line).seq
        for name in ("one", "two", "three")
        for line in (tmp_path / name).read_bytes().splitlines()
        if b'"seq"' in line and b'"after"' not in line
    ]
    assert archived == list(range(1, ROWS + 1))
    for name in ("one", "two", "three"):
        assert verify_archive(tmp_path / name, site.key.verify_key).ok
    site.append(ROWS, 2 * ROWS)
    with site.reader() as reader:
        assert reader.verify(key=site.key.verify_key).ok


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("DELETE FROM rows WHERE seq = 22", "the rows kept of those up to 30 are not the ones"),
        ("UPDATE rows SET outcome = 'placed' WHERE seq = 25", "columns differ"),
        ("DELETE FROM rows WHERE seq = 31", "row 31 is missing; row 32 follows"),
        ("UPDATE pruned SET note = replace(note, '30', '31')", "is not signed by the key"),
        ("DELETE FROM pruned", "row 1 is missing"),
    ],
)
def test_tampering_with_what_stays_is_found(site: Site, tmp_path: Path, tampering: str, said: str) -> None:
    site.prune(1000 + 30, tmp_path / "archive")
    with site.database() as database:
        database.execute(tampering)
    with site.reader() as reader:
        report = reader.verify(key=site.key.verify_key)
    assert not report.ok
    assert said in report.detail
    with pytest.raises(RinglineError, match="nothing is pruned"):
        site.prune(1000 + 40, tmp_path / "next")


def test_a_checkpoint_from_before_and_one_from_after_still_hold(site: Site, tmp_path: Path) -> None:
    with site.reader() as reader:
        early, late = reader.link(20), reader.link(50)
    assert early is not None
    assert late is not None
    site.prune(1000 + 30, tmp_path / "archive")
    with site.reader() as reader:
        for link in (early, late):
            signed = Checkpoint("o", *link)
            assert reader.verify(key=site.key.verify_key, signed=signed).ok


def test_an_archive_is_never_overwritten(site: Site, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("precious")
    with pytest.raises(MissingError, match=r"archive .*: cannot be written: File exists"):
        site.prune(1000 + 30, tmp_path / "archive")
    with site.reader() as reader:
        assert reader.counts()["rows"] == ROWS


def test_a_changed_archive_does_not_verify(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "archive"
    site.prune(1000 + 30, file)
    lines = file.read_bytes().splitlines(keepends=True)
    changed = [
        [*lines[:5], *lines[6:]],
        [*lines[:5], lines[5].replace(b'"filled"', b'"held"').replace(b'"held"', b'"placed"'), *lines[6:]],
        lines[:-1],
        [*lines[:5], b"nonsense\n", *lines[6:]],
        [*lines[:-2], lines[-1]],
    ]
    for version in changed:
        file.write_bytes(b"".join(version))
        assert not verify_archive(file, site.key.verify_key).ok
    file.write_bytes(b"".join(lines[1:]))
    with pytest.raises(UsageError, match="is none"):
        verify_archive(file, site.key.verify_key)
    file.write_bytes(b"".join(lines))
    assert verify_archive(file, site.key.verify_key).rows == 30
    assert json.loads(lines[-1])["checkpoint"].startswith("ringline/audit\n30\n")


# ---- backup -----------------------------------------------------------------------------------------------


def test_a_backup_is_an_audit_as_of_one_moment_while_the_worker_goes_on(tmp_path: Path) -> None:
    site = Site(load(assignments=[f"data_dir={tmp_path}/data", "audit.state_every=4"]), {})
    with contextlib.closing(open_store(site.config)) as store:
        assert back_up(site.config, tmp_path / "copy") == ROWS
        store.append(site.rows[ROWS:])
    with contextlib.closing(AuditReader.open(tmp_path / "copy")) as reader:
        assert (reader.verify().ok, reader.counts()["rows"]) == (True, ROWS)
    with pytest.raises(MissingError, match="is there already"):
        back_up(site.config, tmp_path / "copy")
    with pytest.raises(MissingError, match="cannot be written"):
        back_up(site.config, tmp_path / "nowhere" / "copy")
    with pytest.raises(UsageError, match="pg_dump"):
        back_up(load(assignments=["audit.engine=postgres"]), tmp_path / "other")


def test_the_note_names_the_archives_and_their_rows(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_ARCHIVES_NAMED", 2)
    monkeypatch.setattr(limits, "PRUNE_STEP_ROWS", 7)
    with site.reader() as reader:
        assert reader.archives() == ()
    for upto, name in ((10, "one"), (20, "two words"), (30, "no\nline")):
        site.prune(1000 + upto, tmp_path / name)
    with site.reader() as reader:
        assert reader.archives() == (
            Archived(11, 20, str(tmp_path / "two words")),
            Archived(21, 30, "a file"),
        )
        assert reader.verify(key=site.key.verify_key).ok
    for name, rows in (("one", 10), ("two words", 10), ("no\nline", 10)):
        report = verify_archive(tmp_path / name, site.key.verify_key)
        assert (report.ok, report.rows) == (True, rows)


def test_an_event_is_found_in_an_archive_by_either_name(site: Site, tmp_path: Path) -> None:
    site.prune(1000 + 30, tmp_path / "archive")
    wanted = site.rows[4]
    (found,) = find_rows(tmp_path / "archive", wanted.event_id, "no such id")
    assert (found.seq, found.delivery) == (5, wanted)
    named = [row.delivery for row in find_rows(tmp_path / "archive", b"", wanted.webhook_id)]
    assert named == [row for row in site.rows[:30] if row.webhook_id == wanted.webhook_id]
    assert find_rows(tmp_path / "archive", site.rows[40].event_id, "no such id") == []
