"""The page's controls are sent as a source that may send nothing else, and others may not send them."""

from __future__ import annotations

import contextlib
import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from real_pipeline import Client, Running, make_config, wait_for

from pipeline.config import Config
from pipeline.storage.audit.engines import open_reader

PAGE_SECRET = "whsec_" + "cGFnZQ" * 6
READ, CONTROL = "r" * 32, "c" * 32


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name, text in (("page.whsec", PAGE_SECRET), ("read", READ), ("control", CONTROL)):
        (tmp_path / name).write_text(text)
    return make_config(
        tmp_path,
        feed={
            "read_token_files": [str(tmp_path / "read")],
            "control_token_files": [str(tmp_path / "control")],
            "control_source": "page",
        },
        sources={
            "demo": {"secret_files": [str(tmp_path / "demo.whsec")], "accepts": ["candle", "signal"]},
            "page": {"secret_files": [str(tmp_path / "page.whsec")], "accepts": ["control"]},
        },
        trading={"strategies": {}, "throttles": []},
    )


def control(config: Config, token: str, name: str, action: str) -> tuple[int, Any]:
    """As the page posts it."""
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", config.feed.port, timeout=30)
    ) as connection:
        body = json.dumps({"action": action, "id": name, "reason": "a test"})
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        connection.request("POST", "/v1/control", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_controls_reach_the_audit_as_that_source_and_each_source_keeps_to_its_kinds(config: Config) -> None:
    order = {"type": "signal", "symbol": "AAPL", "side": "buy", "quantity": "1", "price": "10"}
    halt = {"type": "control", "action": "halt"}
    with (
        Running(config),
        contextlib.closing(Client(config)) as demo,
        contextlib.closing(Client(config, PAGE_SECRET)) as page,
    ):
        demo.post_until_taken("open", order)

        status, told = control(config, READ, "one", "halt")
        assert (status, told["type"].rpartition("/")[2]) == (403, "forbidden-role")
        status, answer = control(config, CONTROL, "one", "halt")
        assert status == 202
        assert control(config, CONTROL, "one", "halt") == (202, answer), "the same id is the same event"

        for client, source, event in ((page, "page", order), (demo, "demo", halt)):
            status, told, _ = client.post("other", event, source)
            assert (status, told["type"].rpartition("/")[2]) == (403, "forbidden-event"), told

        with contextlib.closing(open_reader(config)) as audit:
            event_id = bytes.fromhex(answer["event_id"])
            wait_for(lambda: bool(audit.by_event_id(event_id)), "its row")
            (row,) = audit.by_event_id(event_id)
        assert (row.delivery.source, row.delivery.webhook_id, row.delivery.key) == ("page", "one", "AAPL")
