"""Signed events from the command line, taken by an HTTP server that checks them as a stranger would."""

from __future__ import annotations

import http.server
import json
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from pipeline.cli.app import run
from pipeline.cli.send import curl_line

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CANDLE = ["--symbol", "A", "--time", "t", "--open", "1", "--high", "2", "--low", "1", "--close", "2"]
Output = pytest.CaptureFixture[str]


class Gateway(http.server.ThreadingHTTPServer):
    """Answers what it is told to, after it has verified the signature with somebody else's library."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 202
        self.headers: dict[str, str] = {}
        self.answer = b'{"event_id":"ab","status":"accepted","key":"AAPL","key_seq":7,"more":null}'
        self.taken: list[tuple[str, Any]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        Webhook(SECRET).verify(body.decode(), dict(self.headers.items()))
        self.server.taken.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

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


@pytest.fixture
def words(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.delenv("RINGLINE_CONFIG", raising=False)
    (tmp_path / "secret").write_text(SECRET)
    return [
        *("--set", f"gateway.port={gateway.server_port}"),
        *("--set", f'sources={{"desk": {{"secret_files": ["{tmp_path}/secret"]}}}}'),
    ]


def test_a_signal_from_options_is_signed_and_posted(
    gateway: Gateway, words: list[str], capfd: Output
) -> None:
    assert run(["send", "--symbol", "AAPL", "--side", "buy", "--quantity", "10", "--id", "m1", *words]) == 0
    expected = {"type": "signal", "symbol": "AAPL", "side": "buy", "quantity": "10"}
    assert gateway.taken == [("/webhook/desk", expected)]
    assert capfd.readouterr().out == (
        "202: event_id ab, status accepted, key AAPL, key_seq 7 (webhook-id m1)\n"
    )


@pytest.mark.parametrize(
    ("options", "event"),
    [
        (
            ["--control", "halt", "--reason", "fat finger"],
            {"type": "control", "action": "halt", "reason": "fat finger"},
        ),
        (
            CANDLE,
            {"type": "candle"}
            | {word[2:]: value for word, value in zip(CANDLE[::2], CANDLE[1::2], strict=True)},
        ),
        (
            ["--symbol", "A", "--side", "close", "--strategy", "mine", "--price", "5"],
            {"type": "signal", "symbol": "A", "side": "close", "strategy": "mine", "price": "5"},
        ),
    ],
)
def test_every_kind_of_event_can_be_said_in_options(
    gateway: Gateway, words: list[str], options: list[str], event: dict[str, str]
) -> None:
    assert run(["send", *options, *words]) == 0
    assert gateway.taken == [("/webhook/desk", event)]


def test_who_sends_is_the_first_source_that_may(gateway: Gateway, words: list[str], tmp_path: Path) -> None:
    own = {"secret_files": [f"{tmp_path}/secret"]}
    sources = {"bars": own | {"accepts": ["candle"]}, "desk": own | {"accepts": ["control"]}, "all": own}
    words = [*words[:2], "--set", f"sources={json.dumps(sources)}"]
    for options in (CANDLE, ["--control", "halt"], ["--symbol", "A", "--side", "buy"]):
        assert run(["send", *options, *words]) == 0
    (tmp_path / "odd.json").write_text("[1]")
    assert run(["send", str(tmp_path / "odd.json"), *words]) == 0
    taken = [path.rpartition("/")[2] for path, _ in gateway.taken]
    assert taken == ["bars", "desk", "all", "bars"]


def test_a_file_is_sent_as_it_is(gateway: Gateway, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text('{"any": "thing"}')
    assert run(["send", str(tmp_path / "event.json"), *words]) == 0
    assert gateway.taken == [("/webhook/desk", {"any": "thing"})]


def test_a_program_gets_the_whole_answer(gateway: Gateway, words: list[str], capfd: Output) -> None:
    assert run(["send", "--control", "resume", "--id", "m1", "--json", *words]) == 0
    answer = json.loads(gateway.answer)
    assert json.loads(capfd.readouterr().out) == {"status": 202, "webhook_id": "m1", "answer": answer}


def test_a_duplicate_is_said_to_be_one(gateway: Gateway, words: list[str], capfd: Output) -> None:
    gateway.headers = {"Idempotent-Replayed": "true"}
    assert run(["send", "--control", "resume", *words]) == 0
    assert capfd.readouterr().out.startswith("202, a duplicate: event_id ab")


@pytest.mark.parametrize(
    ("status", "answer", "code", "said"),
    [
        (422, b'{"title": "no", "detail": "price: too high"}', 1, "422: price: too high (webhook-id m1)"),
        (503, b'{"title": "The journal is full"}', 3, "503: The journal is full (webhook-id m1)"),
        (502, b"<html>\nbad gateway", 1, "502: <html> bad gateway (webhook-id m1)"),
        (500, b"\xff", 1, "500: \ufffd (webhook-id m1)"),
    ],
)
def test_a_refusal_is_a_line_on_stderr_and_an_exit_code(
    gateway: Gateway, words: list[str], capfd: Output, status: int, answer: bytes, code: int, said: str
) -> None:
    gateway.status, gateway.answer = status, answer
    assert run(["send", "--control", "halt", "--id", "m1", *words]) == code
    assert capfd.readouterr() == ("", said + "\n")


def test_a_gateway_that_is_down_is_missing(words: list[str], capfd: Output) -> None:
    assert run(["send", "--control", "halt", "--url", "http://127.0.0.1:1", *words]) == 3
    assert "POST http://127.0.0.1:1/webhook/desk: no answer: Connection refused" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to send"),
        (["--control", "halt", "--symbol", "A"], "--symbol does not go with --control"),
        (["--symbol", "A", "--close", "1", "--side", "buy"], "--side does not go with --symbol"),
        (["--symbol", "A", "--side", "buy", "--reason", "x"], "--reason does not go with --symbol"),
        (["--control", "halt", "--source", "nobody"], "--source 'nobody': unknown; here are desk"),
        (["--control", "halt", "--url", "localhost:1"], "expected http://HOST:PORT"),
        (["--control", "halt", "--url", "http://h:x"], "http://h:x/webhook/desk: "),
        (["pyproject.toml", "--symbol", "A"], "either FILE or --symbol, not both"),
    ],
)
def test_words_that_do_not_fit_are_refused_before_anything_is_sent(
    gateway: Gateway, words: list[str], capfd: Output, options: list[str], said: str
) -> None:
    assert run(["send", *options, *words]) == 2
    assert said in capfd.readouterr().err
    assert gateway.taken == []


def test_an_id_that_no_receiver_takes_is_refused(words: list[str], capfd: Output) -> None:
    assert run(["send", "--control", "halt", "--id", "a.b", *words]) == 1
    assert capfd.readouterr().err.startswith("ringline: webhook-id: ")


def test_the_secret_of_a_source_without_one_is_made_once(
    gateway: Gateway, words: list[str], tmp_path: Path, capfd: Output
) -> None:
    """Gateway and sender find the same one, whoever comes first."""
    data = tmp_path / "data"
    options = [
        "--set",
        'sources={"new": {}}',
        "--set",
        f"data_dir={data}",
        "--control",
        "halt",
        "--print-curl",
    ]
    assert run(["send", *words, *options]) == 0
    made = (data / "secrets" / "new.whsec").read_text()
    assert run(["send", *words, *options]) == 0
    assert (data / "secrets" / "new.whsec").read_text() == made


def test_a_curl_line_carries_a_signature_that_a_stranger_accepts(
    gateway: Gateway, words: list[str], capfd: Output
) -> None:
    options = ["--control", "halt", "--reason", "it's 5 o'clock", "--print-curl"]
    assert run(["send", *options, *words]) == 0
    assert gateway.taken == []
    line = shlex.split(capfd.readouterr().out)
    assert line[0] == "curl"
    headers = dict(word.split(": ", 1) for word in line if ": " in word and not word.startswith("{"))
    body = line[line.index("--data-raw") + 1]
    assert Webhook(SECRET).verify(body, headers)["reason"] == "it's 5 o'clock"
    assert f"http://127.0.0.1:{gateway.server_port}/webhook/desk" in line


def test_a_body_that_is_no_text_has_no_curl_line(words: list[str], tmp_path: Path, capfd: Output) -> None:
    (tmp_path / "event").write_bytes(b"\xff")
    assert run(["send", str(tmp_path / "event"), "--print-curl", *words]) == 2
    assert "--print-curl: this body is not text" in capfd.readouterr().err


def test_a_curl_line_quotes_what_a_shell_would_read() -> None:
    line = curl_line("http://h/w", {"a": "b"}, b"$(rm) 'x'")
    assert shlex.split(line)[-1] == "$(rm) 'x'"
