from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import resolve
from pipeline.errors import ConfigError, MissingError
from pipeline.stages.feed.access import CONTROL, Access

READ_TOKEN = "r" * 20
CONTROL_TOKEN = "c" * 20


def access(**feed: Any) -> Access:
    environment = {"READ": READ_TOKEN, "CONTROL": CONTROL_TOKEN, "SHORT": "x"}
    return Access(resolve({"feed": feed}).feed, environment)


def status(found: Access, headers: dict[str, str], *subprotocols: str, role: str = "read") -> int:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    refusal = found.refusal(pairs, subprotocols, role)
    return refusal.status if refusal is not None else 200


def bearer(token: str) -> dict[str, str]:
    return {"host": "desk.example", "authorization": f"Bearer {token}"}


def test_roles_may_what_they_say() -> None:
    found = access(read_token_env=["READ"], control_token_env=["CONTROL"])
    assert status(found, bearer(READ_TOKEN)) == 200
    assert status(found, bearer(CONTROL_TOKEN)) == 200
    assert status(found, bearer(READ_TOKEN), role=CONTROL) == 403, "known, and may not"
    assert status(found, bearer("r"), role=CONTROL) == 401
    assert status(found, bearer(CONTROL_TOKEN), role=CONTROL) == 200
    for wrong in ("", "r", READ_TOKEN + "r", "é"):
        assert status(found, bearer(wrong)) == 401
    assert status(found, {"host": "desk.example"}) == 401
    assert status(found, {"host": "127.0.0.1:8006"}) == 401, "also on this machine"


def test_a_browser_gives_its_token_as_a_subprotocol() -> None:
    found = access(read_token_env=["READ"], allow_origins=["https://desk.example"])
    token = base64.urlsafe_b64encode(READ_TOKEN.encode()).decode().rstrip("=")
    page = {"host": "api.example", "origin": "https://desk.example"}
    assert status(found, page, "ringline.v1", f"bearer.{token}") == 200
    assert status(found, page, "ringline.v1", "bearer.!") == 401
    assert status(found, {**page, "origin": "https://evil.example"}, f"bearer.{token}") == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8006", "localhost:8006", "[::1]:8006", "127.8.8.8"])
def test_without_tokens_this_machine_may(host: str) -> None:
    assert status(access(), {"host": host}) == 200
    assert status(access(), {"host": host, "origin": "http://localhost:9464"}) == 200


def test_without_tokens_no_page_of_a_stranger_may_nor_his_name_for_this_machine() -> None:
    assert status(access(), {"host": "127.0.0.1:8006", "origin": "https://evil.example"}) == 403
    assert status(access(), {"host": "127.0.0.1:8006", "origin": "null"}) == 403
    assert status(access(), {"host": "rebound.example"}) == 403
    assert status(access(), {}) == 403


def test_a_page_that_may_is_told_so_and_no_other() -> None:
    found = access(read_token_env=["READ"], allow_origins=["https://desk.example"])
    assert (b"access-control-allow-origin", b"https://desk.example") in found.sharing(
        [(b"origin", b"https://desk.example")]
    )
    assert found.sharing([(b"origin", b"https://evil.example")]) == []
    assert found.sharing([]) == []


def test_tokens_that_cannot_be_had_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught:
        access(read_token_env=["NONE", "SHORT"], control_token_files=[str(tmp_path / "none")])
    assert len(str(caught.value).splitlines()) == 3
    assert READ_TOKEN not in str(caught.value)


def test_beyond_loopback_it_takes_a_token() -> None:
    with pytest.raises(ConfigError, match=r"feed\.host = '0\.0\.0\.0': beyond loopback it needs a token"):
        resolve({"feed": {"host": "0.0.0.0"}})
    assert resolve({"feed": {"host": "0.0.0.0", "read_token_env": ["READ"]}}).feed.enabled


def test_a_page_of_this_server_may_ask_with_its_token() -> None:
    found = access(read_token_env=["READ"])
    own = bearer(READ_TOKEN) | {"origin": "http://desk.example"}
    assert status(found, own) == 200
    assert status(found, own | {"authorization": ""}) == 401
    assert status(found, own | {"origin": "http://evil.example"}) == 403


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"host": "127.0.0.1:8006"}, True),
        ({"host": "127.0.0.1:8006", "origin": "http://127.0.0.1:8006"}, True),
        ({"host": "127.0.0.1:8006", "origin": "http://127.0.0.1:3000"}, False),
        ({"host": "127.0.0.1:8006", "origin": "null"}, False),
        ({"host": "127.0.0.1:8006", "sec-fetch-site": "cross-site"}, False),
    ],
)
def test_controls_are_for_the_servers_own_page(headers: dict[str, str], own: bool) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert Access.is_own(pairs) is own


def test_a_name_made_to_point_here_is_no_name_of_this_machine() -> None:
    assert status(access(), {"host": "evil.example", "origin": "http://evil.example"}) == 403
