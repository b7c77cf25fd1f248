"""Events that were given up: listed, and sent anew under an id that makes asking twice harmless."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from traded import Desk, candle, write_audit

from pipeline.cli.app import run
from pipeline.config import load
from pipeline.messages import Fate, SignalIn

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Output = pytest.CaptureFixture[str]


class Gateway(http.server.ThreadingHTTPServer):
    """Takes every signed event and says that it became the row `event_id`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.event_id = ""
        self.status = 202
        self.taken: list[tuple[str, Any]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        Webhook(SECRET).verify(body.decode(), dict(self.headers.items()))
        self.server.taken.append((self.headers["webhook-id"], json.loads(body)))
        said = {"event_id": self.server.event_id, "status": "accepted", "title": "no"}
        answer = json.dumps(said).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


IDS: dict[str, str] = {}


@pytest.fixture
def words(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An audit with a signal and a candle that were given up, then what became of a new one of each."""
    monkeypatch.delenv("RINGLINE_CONFIG", raising=False)
    (tmp_path / "secret").write_text(SECRET)
    chosen = [
        f"data_dir={tmp_path}/data",
        f"gateway.port={gateway.server_port}",
        f'sources={{"desk": {{"secret_files": ["{tmp_path}/secret"]}}}}',
        "trading.strategies={}",
    ]
    desk = Desk(load(assignments=chosen), "AAPL")
    buy = SignalIn(symbol="AAPL", side="buy", quantity="2.5", price="10.25")
    rows = [
        desk.handle(buy, "dead-signal", Fate.DEAD_LETTERED),
        desk.handle(candle(1, "10.5"), "dead-candle", Fate.DEAD_LETTERED),
        desk.handle(candle(2), "alive"),
        desk.handle(buy, "signal-again"),
        desk.handle(candle(1, "10.5"), "candle-again"),
    ]
    IDS.update({row.webhook_id: row.event_id.hex() for row in rows})
    write_audit(load(assignments=chosen), rows)
    return [word for text in chosen for word in ("--set", text)]


def test_the_list_has_what_was_given_up_and_nothing_else(words: list[str], capfd: Output) -> None:
    assert run(["dlq", "list", "--json", *words]) == 0
    stories = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [story["event_id"] for story in stories] == [IDS["dead-signal"], IDS["dead-candle"]]
    assert run(["dlq", "list", *words]) == 0
    assert IDS["dead-candle"] in capfd.readouterr().out
    assert run(["dlq", "list", "--key", "JPM", *words]) == 0
    assert capfd.readouterr().out == "No event was given up.\n"


def test_a_signal_is_sent_as_it_was_posted_and_its_end_is_told(
    gateway: Gateway, words: list[str], capfd: Output
) -> None:
    gateway.event_id = IDS["signal-again"]
    assert run(["dlq", "retry", IDS["dead-signal"], *words]) == 0
    expected = {
        "type": "signal", "symbol": "AAPL", "side": "buy", "strategy": "signal", "quantity": "2.5",
        "price": "10.25",
    }  # fmt: skip
    assert gateway.taken == [(f"retry-{IDS['dead-signal']}", expected)]
    assert f"in place of {IDS['dead-signal']}: placed" in capfd.readouterr().out
    assert run(["dlq", "retry", IDS["dead-signal"], "--no-wait", *words]) == 0
    assert gateway.taken[1] == gateway.taken[0], "twice asked, the gateway takes it once"


def test_a_candle_that_comes_too_late_now_is_refused_and_the_reason_told(
    gateway: Gateway, words: list[str], capfd: Output
) -> None:
    gateway.event_id = IDS["candle-again"]
    assert run(["dlq", "retry", IDS["dead-candle"], *words]) == 1
    assert "rejected: CANDLE_STALE" in capfd.readouterr().err
    (_, posted), *_ = gateway.taken
    assert (posted["time"], posted["close"]) == ("2001-01-01T21:00:00.000000Z", "10.5")


def test_what_the_gateway_refuses_and_what_never_comes_are_no(
    gateway: Gateway, words: list[str], capfd: Output
) -> None:
    gateway.status = 422
    assert run(["dlq", "retry", IDS["dead-signal"], *words]) == 1
    assert capfd.readouterr().err == "422: no\n"
    gateway.status, gateway.event_id = 202, "ab" * 16
    assert run(["dlq", "retry", IDS["dead-signal"], "--timeout", "0.2", "--json", *words]) == 1
    assert json.loads(capfd.readouterr().out)["row"] is None


@pytest.mark.parametrize(
    ("event_id", "code", "said"),
    [
        ("xyz", 2, "'xyz': an event id has 32 hexadecimal digits"),
        ("z" * 32, 2, "an event id has 32 hexadecimal digits"),
        ("ab" * 16, 1, "no such event is audited"),
    ],
)
def test_ids_that_lead_nowhere_are_named(
    words: list[str], capfd: Output, event_id: str, code: int, said: str
) -> None:
    assert run(["dlq", "retry", event_id, *words]) == code
    assert said in capfd.readouterr().err


def test_an_event_that_was_not_given_up_is_not_sent(
    gateway: Gateway, words: list[str], capfd: Output
) -> None:
    assert run(["dlq", "retry", IDS["alive"], *words]) == 2
    assert "was not given up, it ended as" in capfd.readouterr().err
    assert gateway.taken == []
