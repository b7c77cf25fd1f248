from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.schema import Links
from pipeline.errors import MissingError
from pipeline.transport.curve import KeyTurns, LinkKey, load_link_keys, new_secret, read_key_file, secrets_in


def test_one_secret_gives_one_pair_and_another_another() -> None:
    one = new_secret()
    assert LinkKey.of(one) == LinkKey.of(one)
    assert LinkKey.of(one).raw_public != LinkKey.of(new_secret()).raw_public
    assert len(LinkKey.of(one).fingerprint) == 16


def test_the_pair_of_a_secret_never_changes_as_every_version_must_derive_the_same() -> None:
    key = LinkKey.of(b"0123456789abcdef0123456789abcdef")
    assert key.public == b"EYMc6qr44@5Lz/cBFLp4@OrSg9$#1[7Z&f}[pr@7"


def test_a_key_file_may_have_comments_and_empty_lines() -> None:
    data = b"# ours\n\n" + b"a" * 32 + b"\r\n  " + b"b" * 40 + b"\n"
    assert secrets_in(data, "x") == [b"a" * 32, b"b" * 40]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "links.key_file x: 0 keys; allowed: 1 to 4"),
        (b"a" * 31, "key 1 has 31 bytes; at least 32"),
        (b"\n".join(b"%032d" % n for n in range(5)), "5 keys; allowed: 1 to 4"),
    ],
)
def test_what_is_no_key_file_is_refused_without_telling_its_content(data: bytes, fault: str) -> None:
    with pytest.raises(MissingError) as raised:
        secrets_in(data, "links.key_file x")
    assert fault in str(raised.value)
    assert "aaaa" not in str(raised.value)


def test_keys_come_from_a_file_or_the_environment_or_there_are_none(tmp_path: Path) -> None:
    file = tmp_path / "links.key"
    file.write_bytes(b"f" * 32)
    key = LinkKey.of(b"f" * 32)
    assert load_link_keys(Links(key_file=str(file)), {}) == (key,)
    assert load_link_keys(Links(key_env="K"), {"K": "f" * 32}) == (key,)
    assert load_link_keys(Links(), {}) == ()
    assert load_link_keys(Links(key_file=str(file), curve="off"), {}) == ()
    with pytest.raises(MissingError, match="environment variable K: not set"):
        load_link_keys(Links(key_env="K"), {})
    with pytest.raises(MissingError, match="No such file"):
        read_key_file(tmp_path / "none")


def test_a_peer_that_never_answered_is_dialled_with_the_next_key_and_one_that_did_with_the_same() -> None:
    keys = tuple(LinkKey.of(bytes([n]) * 32) for n in (65, 66))
    turns = KeyTurns(keys)
    assert [turns.next("a") for _ in range(3)] == [keys[0], keys[1], keys[0]]
    turns.next("a")
    turns.heard("a")
    assert [turns.next("a") for _ in range(2)] == [keys[1], keys[0]]
    assert turns.next("b") == keys[0]
    assert KeyTurns(()).next("a") is None
