"""The page over HTTP: whose page may send controls, and what a stream goes on from."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.clock import FakeClock
from pipeline.config import resolve
from pipeline.stages.feed.access import Access
from pipeline.stages.feed.app import FeedApp
from pipeline.stages.feed.controls import Controls
from pipeline.stages.feed.page import PageApp
from pipeline.web.view import Point
from pipeline.web.viewers import Viewers

TOKEN = "c" * 20
DESK = "https://desk.example"


def asked(
    tmp_path: Path, viewers: Viewers, method: str, path: str, headers: dict[str, str], query: str = ""
) -> tuple[int, bytes]:
    """Status and body; a stream ends when it has told what there is."""
    feed = {"control_token_env": ["CONTROL"], "allow_origins": [DESK]}
    config = resolve({"data_dir": str(tmp_path), "feed": feed})
    access = Access(config.feed, {"CONTROL": TOKEN})
    app = PageApp(cast(FeedApp, None), access, viewers, Controls(config, FakeClock()), config.feed.page_ms)
    given = {"host": "page.example", "authorization": f"Bearer {TOKEN}", **headers}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if method == "POST":
            return {"type": "http.request", "body": b'{"action":"none","id":"1"}', "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        said.append(message)
        if b"event: points" in message.get("body", b""):
            viewers.close()

    asyncio.run(app(scope, receive, send))
    return said[0]["status"], b"".join(one.get("body", b"") for one in said)


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        (DESK, "forbidden-origin"),  # may read, and no more
        ("https://evil.example", "forbidden-origin"),
        ("https://page.example", "bad-parameter"),  # its own page is heard: there is no such action
    ],
)
def test_controls_are_taken_from_the_servers_own_page_alone(tmp_path: Path, origin: str, kind: str) -> None:
    headers = {"origin": origin, "content-type": "application/json"}
    _, body = asked(tmp_path, Viewers(), "POST", "/v1/control", headers)
    assert json.loads(body)["type"].rpartition("/")[2] == kind


@pytest.mark.parametrize(("after", "numbers"), [("{epoch}:2", [3]), ("other:2", [1, 2, 3]), ("2", [1, 2, 3])])
def test_a_stream_tells_its_epoch_and_goes_on_from_a_place_of_its_own_only(
    tmp_path: Path, after: str, numbers: list[int]
) -> None:
    viewers = Viewers()
    for number in (1, 2, 3):
        viewers.give(
            Point(
                number=number, at_ms=number * 1000, count=1, lost=0, p50_ms=1, p95_ms=2, p99_ms=3,
                rate_per_s=1, lag_ms=(None, None, None),
            ),
            frame=b"{}",
        )  # fmt: skip
    epoch = viewers.history.epoch
    status, body = asked(tmp_path, viewers, "GET", "/v1/live", {}, "after=" + after.format(epoch=epoch))
    assert status == 200
    hello, points = body.decode().split("\n\n")[:2]
    assert json.loads(hello.partition("data: ")[2])["epoch"] == epoch
    assert points.startswith(f"id: {epoch}:3\nevent: points\n")
    assert [one[0] for one in json.loads(points.partition("data: ")[2])] == numbers


def test_what_is_no_place_is_named(tmp_path: Path) -> None:
    status, body = asked(tmp_path, Viewers(), "GET", "/v1/live", {}, "after=a:b")
    assert (status, json.loads(body)["field"]) == (400, "after")
