"""Members by the supervisor's list: as it says now, and as it said last while it cannot be read."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Config
from pipeline.config.schema import Exec
from pipeline.transport.dns_members import members_of
from pipeline.transport.listed_members import ListedMembers, encode_members, members_file

EXEC = Exec(members="listed", max_replicas=4)


def test_workers_come_and_go_with_the_list(tmp_path: Path) -> None:
    file = members_file(str(tmp_path))
    file.parent.mkdir()
    members = members_of(Config(data_dir=str(tmp_path), exec=EXEC), "exec")
    assert members.endpoints() == {}, "there is no list yet"
    for ordinals in ([0], [0, 1, 2], [0]):
        beside = file.with_suffix(".new")
        beside.write_bytes(encode_members({"agent": [0, 1], "exec": ordinals}))
        beside.replace(file)
        assert members.endpoints() == {k: f"tcp://127.0.0.1:{8004 + 10 * k}" for k in ordinals}
    members.close()


def test_what_was_known_stays_while_the_list_is_none(tmp_path: Path) -> None:
    file = tmp_path / "members.json"
    file.write_bytes(encode_members({"exec": [0, 1]}))
    members = ListedMembers(file, "exec", EXEC)
    known = members.endpoints()
    assert sorted(known) == [0, 1]
    for text in (b"", b"{", b'{"exec": "all"}', b"\xff"):
        file.write_bytes(text)
        assert members.endpoints() == known
    file.unlink()
    assert members.endpoints() == known


def test_a_stage_that_is_not_listed_has_no_workers_and_no_ordinal_is_negative(tmp_path: Path) -> None:
    file = tmp_path / "members.json"
    file.write_bytes(b'{"exec": [-1, 0, 99999]}')
    assert sorted(ListedMembers(file, "exec", EXEC).endpoints()) == [0]
    assert ListedMembers(file, "audit", EXEC).endpoints() == {}
