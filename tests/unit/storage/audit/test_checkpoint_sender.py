from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from real_pipeline import wait_for

from pipeline.config import resolve
from pipeline.errors import ConfigError, MissingError
from pipeline.storage.audit.checkpoint_sender import CheckpointSender, open_sender


class Receiver(HTTPServer):
    """Answers `statuses` in turn, then 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, str, str, bytes]] = []
        self.statuses: list[int] = []


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.command, self.path, self.headers.get("authorization", ""), body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_checkpoint_arrives_with_its_token(receiver: Receiver, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret-of-mine\n")
    url = f"http://127.0.0.1:{receiver.server_port}/keep?this=1"
    audit = resolve({"audit": {"checkpoint_url": url, "checkpoint_token_file": str(token)}}).audit
    sender = open_sender(audit, {})
    assert sender is not None
    with contextlib.closing(sender):
        sender.give(b"note")
        wait_for(lambda: sender.sent == 1, "the checkpoint")
    assert receiver.got == [("PUT", "/keep?this=1", "Bearer secret-of-mine", b"note")]


def test_what_fails_is_tried_again_and_a_newer_one_takes_its_place(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [500, 503]
    sent: list[bytes] = []
    go = threading.Event()

    def send(note: bytes) -> int:
        go.wait(10)
        sent.append(note)
        return receiver.statuses.pop(0) if receiver.statuses else 204

    with contextlib.closing(CheckpointSender(send, "http://far", pause_s=0.01)) as sender:
        sender.give(b"old")
        sender.give(b"newer")
        go.set()
        wait_for(lambda: sender.sent == 1, "the checkpoint")
        assert sent[-1] == b"newer"
        assert sender.failed == 2
    assert "http://far: answered 500; again in" in caplog.text


def test_nobody_who_gives_one_ever_waits() -> None:
    stuck = threading.Event()

    def send(note: bytes) -> int:
        stuck.wait(10)
        return 200

    sender = CheckpointSender(send, "nowhere")
    for number in range(1000):
        sender.give(b"%d" % number)
    sender.close(within_s=0.01)
    assert sender.sent == 0
    stuck.set()


def test_a_token_that_is_missing_refuses_the_start() -> None:
    audit = resolve({"audit": {"checkpoint_url": "https://far/x", "checkpoint_token_env": "NONE"}}).audit
    with pytest.raises(MissingError, match="hold no token"):
        open_sender(audit, {})
    assert open_sender(resolve({}).audit, {}) is None
    with pytest.raises(ConfigError, match=r"audit\.checkpoint_url"):
        resolve({"audit": {"checkpoint_url": "ftp://far"}})
