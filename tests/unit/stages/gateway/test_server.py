"""The whole intake on a port: a real server, a real client, every status at least once."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import standardwebhooks
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import limits
from pipeline.clock import SystemClock
from pipeline.config.schema import Config, Gateway, Source
from pipeline.delivery import Delivery
from pipeline.errors import MissingError
from pipeline.signing import parse_secret, secret_text, signed_headers
from pipeline.stages.gateway.app import GatewayApp
from pipeline.stages.gateway.fake import EasyInstruments, MemoryFullError, MemoryJournal
from pipeline.stages.gateway.recording import NoRecorder
from pipeline.stages.gateway.secrets import Keys
from pipeline.stages.gateway.server import GatewayServer, bind

TEXT = secret_text(b"k" * 32)
SECRET = parse_secret(TEXT)
SIGNAL = b'{"type":"signal","symbol":"AAPL","side":"buy"}'
DEADLINE_S = 20.0

Response = tuple[int, dict[str, str], bytes]


class Running:
    """A gateway on a free port, its event loop in a thread."""

    def __init__(self, max_connections: int = 100, max_pending: int = 100) -> None:
        self.clock = SystemClock()
        self.journal = MemoryJournal(self.clock)
        self.dispatched: list[Delivery] = []
        self._bound = bind("127.0.0.1", 0)
        self.address = self._bound.getsockname()
        self._max_connections = max_connections
        self._config = Config(sources={"demo": Source()}, gateway=Gateway(max_pending=max_pending))
        self._up = threading.Event()
        self._faults: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._up.wait(DEADLINE_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda loop, context: self._faults.append(context))
        self._stopping = asyncio.Event()
        self.app = GatewayApp(
            self._config,
            journal=self.journal,
            instruments=EasyInstruments(),
            secrets={"demo": Keys(secrets=(SECRET,))},
            dispatch=self.dispatched.extend,
            recorder=NoRecorder(),
            clock=self.clock,
        )
        self.server = GatewayServer(self.app, self._bound, self._max_connections)
        await self.server.start()
        self._up.set()
        await self._stopping.wait()
        self.app.drain()
        await self.server.stop(within_s=5)
        await self.app.committer.close()

    def ask_to_stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)

    def call(self, function: Callable[[], object]) -> None:
        """Runs `function` on the loop's thread."""
        done = threading.Event()

        def run() -> None:
            function()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(DEADLINE_S)

    def stop(self) -> None:
        self.journal.release()
        if self._thread.is_alive():
            self.ask_to_stop()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        assert self._faults == []

    def connect(self) -> http.client.HTTPConnection:
        host, port = self.address
        return http.client.HTTPConnection(host, port, timeout=DEADLINE_S)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        connection = self.connect()
        try:
            return request(connection, method, path, body, headers)
        finally:
            connection.close()

    def post(self, webhook_id: str, body: bytes = SIGNAL, headers: dict[str, str] | None = None) -> Response:
        return self.ask("POST", "/webhook/demo", body, signed(webhook_id, body) | (headers or {}))

    def raw(self, data: bytes) -> bytes:
        """What the server says to `data` until it closes the connection."""
        with socket.create_connection(self.address, timeout=DEADLINE_S) as stream:
            stream.sendall(data)
            return rest(stream)


def rest(stream: socket.socket) -> bytes:
    found = b""
    try:
        while piece := stream.recv(65536):
            found += piece
    except ConnectionResetError:
        pass  # the server had bytes of ours unread when it closed
    return found


def signed(webhook_id: str, body: bytes = SIGNAL) -> dict[str, str]:
    return signed_headers(SECRET, webhook_id, int(time.time()), body)


def request(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end
        threading.Event().wait(0.005)


@pytest.fixture
def gateway() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


def kind(response: Response) -> str:
    assert response[1]["content-type"] == "application/problem+json"
    document = json.loads(response[2])
    assert document["status"] == response[0]
    return str(document["type"]).rpartition("/")[2]


def test_a_signed_post_is_accepted_and_a_repeat_replayed(gateway: Running) -> None:
    status, headers, body = gateway.post("one")
    assert status == 202
    assert headers["content-type"] == "application/json"
    assert "date" in headers
    assert "server" not in headers
    again = gateway.post("one")
    assert (again[0], again[2]) == (202, body)
    assert again[1]["idempotent-replayed"] == "true"
    assert [delivery.webhook_id for delivery in gateway.dispatched] == ["one"]


def test_the_reference_package_as_sender_is_understood(gateway: Running) -> None:
    now = datetime.datetime.now(tz=datetime.UTC)
    signature = standardwebhooks.Webhook(TEXT).sign("one", now, SIGNAL.decode())
    headers = {
        "Webhook-Id": "one",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": signature,
        "Content-Type": "application/json",
    }
    assert gateway.ask("POST", "/webhook/demo", SIGNAL, headers)[0] == 202


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_pages_answer_get_and_head(gateway: Running, path: str) -> None:
    assert gateway.ask("GET", path)[0] == 200
    status, headers, body = gateway.ask("HEAD", path)
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


def test_refusals_by_path_method_and_headers(gateway: Running) -> None:
    ask = gateway.ask
    assert kind(ask("POST", "/webhook/other", SIGNAL, signed("one"))) == "not-found"
    refused = ask("GET", "/webhook/demo")
    assert (kind(refused), refused[1]["allow"]) == ("method-not-allowed", "POST")
    encoded = gateway.post("one", headers={"content-encoding": "gzip"})
    assert (kind(encoded), encoded[0]) == ("encoded-body", 415)
    assert kind(ask("POST", "/webhook/demo", SIGNAL)) == "bad-signature"
    assert kind(gateway.post("one", headers={"webhook-signature": "garbage"})) == "bad-signature"
    assert kind(gateway.post("one", headers={"webhook-timestamp": "123.7"})) == "bad-signature"
    future = signed_headers(SECRET, "one", int(time.time()) + 400, SIGNAL)
    assert kind(gateway.post("one", headers=future)) == "bad-signature"


def test_refusals_by_body(gateway: Running) -> None:
    assert kind(gateway.post("one", b"\xff\xfe")) == "malformed-event"
    assert kind(gateway.post("one", b"not json")) == "malformed-event"
    invalid = gateway.post("one", b'{"type":"candle","symbol":7}')
    assert (kind(invalid), invalid[0]) == ("unacceptable-event", 422)
    assert gateway.post("one")[0] == 202
    other = gateway.post("one", SIGNAL + b" ")
    assert (kind(other), other[0]) == ("webhook-id-reused", 422)


def test_a_body_too_large_is_told_and_the_connection_goes_on(gateway: Running) -> None:
    connection = gateway.connect()
    response = request(connection, "POST", "/webhook/demo", b"x" * (limits.MAX_BODY_BYTES + 1))
    assert (kind(response), response[0]) == ("body-too-large", 413)
    assert request(connection, "POST", "/webhook/demo", SIGNAL, signed("one"))[0] == 202
    connection.close()


def test_the_largest_body_arrives_in_pieces_and_whole(gateway: Running) -> None:
    body = SIGNAL + b" " * (limits.MAX_BODY_BYTES - len(SIGNAL))
    assert gateway.post("one", body)[0] == 202


def test_chunks_need_a_length(gateway: Running) -> None:
    connection = gateway.connect()
    connection.request("POST", "/webhook/demo", iter([SIGNAL]), signed("one"), encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 411
    response.read()
    assert request(connection, "GET", "/healthz")[0] == 200
    connection.close()


def test_a_full_journal_is_503_with_retry_after(gateway: Running) -> None:
    gateway.journal.refuse = MemoryFullError(retry_after_s=5)
    response = gateway.post("one")
    assert (kind(response), response[1]["retry-after"]) == ("journal-full", "5")


def test_a_failed_journal_is_503_and_unready(gateway: Running) -> None:
    gateway.journal.fail = OSError(5, "Input/output error")
    assert kind(gateway.post("one")) == "journal-failed"
    assert kind(gateway.post("two")) == "journal-failed"
    assert kind(gateway.ask("GET", "/readyz")) == "not-ready"


def test_too_many_pending_are_turned_away_and_the_others_answered() -> None:
    gateway = Running(max_pending=2)
    gateway.journal.hold()
    waiting = [gateway.connect() for _ in range(2)]
    for number, connection in enumerate(waiting):
        connection.request("POST", "/webhook/demo", SIGNAL, signed(str(number)))
    wait_until(lambda: gateway.app.committer.pending == 2)
    refused = gateway.post("more")
    assert (kind(refused), refused[1]["retry-after"]) == ("too-many-pending", "1")
    gateway.journal.release()
    for connection in waiting:
        assert connection.getresponse().status == 202
        connection.close()
    gateway.stop()


def test_connections_above_the_limit_are_told_so_and_then_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SPARE_CONNECTIONS", 1)
    gateway = Running(max_connections=2)
    held = [gateway.connect() for _ in range(2)]
    for connection in held:
        assert request(connection, "GET", "/healthz")[0] == 200
    refused = gateway.ask("GET", "/healthz")
    assert (kind(refused), refused[1]["connection"]) == ("too-many-connections", "close")
    assert request(held[0], "POST", "/webhook/demo", SIGNAL, signed("one"))[0] == 202
    wait_until(lambda: gateway.server.connections == 2)
    spare = socket.create_connection(gateway.address, timeout=DEADLINE_S)
    wait_until(lambda: gateway.server.connections == 3)
    assert gateway.raw(b"") == b""
    spare.close()
    for connection in held:
        connection.close()
    gateway.stop()


def test_a_slow_sender_is_told_and_cut(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_READ_S", 0.1)
    for start in (
        b"POST /webhook/demo HTTP/1.1\r\nwebhook-",
        b"POST /webhook/demo HTTP/1.1\r\nhost: x\r\ncontent-length: 46\r\n\r\n{",
    ):
        assert gateway.raw(start).startswith(b"HTTP/1.1 408 ")
    assert gateway.raw(b"") == b""
    assert gateway.app.counters.requests[408] == 2


@pytest.mark.parametrize(
    "head",
    [
        b"x-long: " + b"x" * limits.MAX_HEADER_BYTES + b"\r\n",
        b"".join(b"x-%d: y\r\n" % number for number in range(limits.MAX_HEADERS + 1)),
    ],
)
def test_headers_too_large_or_too_many_are_431(gateway: Running, head: bytes) -> None:
    found = gateway.raw(b"POST /webhook/demo HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n")
    assert found.startswith(b"HTTP/1.1 431 ")


def test_a_header_that_never_ends_is_431(gateway: Running) -> None:
    with socket.create_connection(gateway.address, timeout=DEADLINE_S) as stream:
        stream.sendall(b"POST /webhook/demo HTTP/1.1\r\nhost: ")
        try:
            for _ in range(1000):
                stream.sendall(b"x" * 1024)
        except OSError:
            pass  # cut while sending, as it should be
        found = rest(stream)
    assert found == b"" or found.startswith(b"HTTP/1.1 431 ")
    assert gateway.app.counters.requests[431] == 1


def test_a_path_too_long_is_431(gateway: Running) -> None:
    found = gateway.raw(b"GET /" + b"x" * limits.MAX_HEADER_BYTES + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 431 ")


POST = b"POST /webhook/demo HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"NONSENSE / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        POST + b"content-length: +5\r\n\r\nhello",
        POST + b"content-length: 5 5\r\n\r\nhello",
        POST + b"content-length: 99999999999999999999999\r\n\r\nhello",
        POST + b"content-length : 5\r\n\r\nhello",
        POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"x: a\x00b\r\n\r\n",
        POST + b"x: a\rb\r\n\r\n",
        POST + b" folded: x\r\n\r\n",
    ],
)
def test_what_is_no_clean_http_is_400_and_the_end(gateway: Running, data: bytes) -> None:
    found = gateway.raw(data)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert found.count(b"HTTP/1.1 400 ") == 1


def wire(webhook_id: str, body: bytes = SIGNAL) -> bytes:
    lines = [b"%b: %b\r\n" % (n.encode(), v.encode()) for n, v in signed(webhook_id, body).items()]
    return POST + b"".join(lines) + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def test_garbage_behind_a_good_request_never_takes_its_answer(gateway: Running) -> None:
    gateway.journal.hold()
    with socket.create_connection(gateway.address, timeout=DEADLINE_S) as stream:
        stream.sendall(wire("one") + b"\x00garbage")
        wait_until(lambda: gateway.app.committer.pending == 1)
        gateway.journal.release()
        found = rest(stream)
    assert found.startswith(b"HTTP/1.1 202 ")
    assert found.count(b"HTTP/1.1 ") == 1


def test_pipelined_requests_are_answered_in_order(gateway: Running) -> None:
    last = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    found = gateway.raw(b"".join(wire(f"p{number}") for number in range(8)) + last)
    assert found.count(b"HTTP/1.1 202 ") == 8
    assert [d.webhook_id for d in gateway.dispatched] == [f"p{number}" for number in range(8)]
    assert b"HTTP/1.1 200 " in found


def test_a_sender_that_pipelines_without_end_is_cut_after_its_answers(gateway: Running) -> None:
    found = gateway.raw(b"".join(wire(f"p{number}") for number in range(100)))
    answered = found.count(b"HTTP/1.1 202 ")
    assert limits.MAX_PIPELINED <= answered < 100
    assert gateway.journal.appended == answered


def test_an_upgrade_is_not_taken_and_with_a_body_said_so(gateway: Running) -> None:
    headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    assert gateway.ask("GET", "/healthz", None, headers)[0] == 200
    refused = gateway.post("one", headers=headers)
    assert (kind(refused), refused[1]["connection"]) == ("malformed-request", "close")


def test_a_sender_that_resets_while_it_waits_leaves_no_trace(
    gateway: Running, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.journal.hold()
    stream = socket.create_connection(gateway.address, timeout=DEADLINE_S)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.sendall(wire("one"))
    wait_until(lambda: gateway.app.committer.pending == 1)
    stream.close()
    gateway.journal.release()
    wait_until(lambda: len(gateway.dispatched) == 1)
    assert gateway.post("one")[1]["idempotent-replayed"] == "true"
    assert caplog.records == []


def test_draining_refuses_new_events_and_stopping_answers_the_old(gateway: Running) -> None:
    gateway.journal.hold()
    waiting, kept = gateway.connect(), gateway.connect()
    waiting.request("POST", "/webhook/demo", SIGNAL, signed("one"))
    assert request(kept, "GET", "/readyz")[0] == 200
    wait_until(lambda: gateway.app.committer.pending == 1)
    gateway.call(gateway.app.drain)
    refused = request(kept, "POST", "/webhook/demo", SIGNAL, signed("two"))
    assert (kind(refused), refused[1]["retry-after"]) == ("draining", "5")
    gateway.ask_to_stop()
    wait_until(lambda: not listening(gateway.address))
    gateway.journal.release()
    assert waiting.getresponse().status == 202
    gateway.stop()
    for connection in (waiting, kept):
        connection.close()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good request with some of its bytes replaced, cut out or put in."""
    data = bytearray(wire("fuzz"))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        data[start:end] = draw(
            st.binary(max_size=8) | st.sampled_from([b"\r\n", b"\r\n\r\n", b": ", b"0", b","])
        )
    return bytes(data)


def test_mutated_requests_get_promised_answers_and_leave_the_gateway_well(gateway: Running) -> None:
    statuses = set()

    @settings(max_examples=200, deadline=None)
    @given(mutated(), st.integers(1, 400))
    def fuzz(data: bytes, cut: int) -> None:
        with socket.create_connection(gateway.address, timeout=DEADLINE_S) as stream:
            with contextlib.suppress(OSError):
                stream.sendall(data[:cut])
                stream.sendall(data[cut:])
                stream.shutdown(socket.SHUT_WR)
            found = rest(stream)
        if found:
            statuses.add(int(found[9:12]))

    fuzz()
    assert statuses <= {202, 400, 401, 404, 405, 411, 413, 415, 422, 431}
    assert gateway.post("after")[0] == 202


def listening(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=DEADLINE_S).close()
    except OSError:
        return False
    return True


def test_a_port_in_use_is_named() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(MissingError, match=rf"^gateway\.port = {port}: 127\.0\.0\.1:{port} is in use"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_a_host_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(MissingError, match=host):
        bind(host, 0)
