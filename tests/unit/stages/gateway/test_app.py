"""The ASGI application by itself: the rules of HTTP, and that no request whatever gets another answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import limits
from pipeline.clock import FakeClock
from pipeline.config.schema import Config, Gateway, Source
from pipeline.delivery import Delivery
from pipeline.signing import Secret, signed_headers
from pipeline.stages.gateway.app import GatewayApp
from pipeline.stages.gateway.fake import EasyInstruments, MemoryJournal
from pipeline.stages.gateway.recording import GATEWAY_RECEIVE
from pipeline.stages.gateway.secrets import Keys
from pipeline.storage.space import Level, Space

SECRET = Secret(b"s" * 32, "test")
SIGNAL = b'{"type":"signal","symbol":"AAPL","side":"buy"}'
PROMISED = {200, 202, 400, 401, 404, 405, 411, 413, 415, 422, 503}

Headers = list[tuple[bytes, bytes]]


class Desk:
    """An application, and what it answers."""

    def __init__(self, gateway: Gateway) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.dispatched: list[Delivery] = []
        self.recorded: list[int] = []
        self.app = GatewayApp(
            Config(sources={"demo": Source()}, gateway=gateway),
            journal=self.journal,
            instruments=EasyInstruments(),
            secrets={"demo": Keys(secrets=(SECRET,))},
            dispatch=self.dispatched.extend,
            recorder=self,
            clock=self.clock,
        )

    def record(self, event_id: int, duration_ns: int, correlation: int = 0) -> None:
        self.recorded.append(event_id)

    def signed(self, webhook_id: str = "one", body: bytes = SIGNAL) -> Headers:
        named = signed_headers(SECRET, webhook_id, self.clock.wall_us() // 1_000_000, body)
        return [(name.encode(), value.encode()) for name, value in named.items()]

    def headers(self, webhook_id: str = "one", body: bytes = SIGNAL) -> Headers:
        return [*self.signed(webhook_id, body), (b"content-length", b"%d" % len(body))]

    async def ask(
        self, method: str, path: str, headers: Headers | None = None, pieces: Iterable[bytes | None] = (b"",)
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """One request; None among the pieces is the sender going away. Status 0 is no answer."""
        messages = self._messages(list(pieces))
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": headers or []}
        await self.app(scope, receive, send)
        if not sent:
            return 0, {}, b""
        head, body = sent
        return head["status"], dict(head["headers"]), body["body"]

    @staticmethod
    def _messages(pieces: list[bytes | None]) -> Any:
        for index, piece in enumerate(pieces, 1):
            if piece is None:
                yield {"type": "http.disconnect"}
                return
            yield {"type": "http.request", "body": piece, "more_body": index < len(pieces)}

    async def post(
        self, headers: Headers | None = None, pieces: Iterable[bytes | None] = (SIGNAL,)
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        return await self.ask("POST", "/webhook/demo", self.headers() if headers is None else headers, pieces)

    async def close(self) -> None:
        self.journal.release()
        await self.app.committer.close()


def tell(story: Any, gateway: Gateway | None = None) -> Desk:
    desk = Desk(gateway or Gateway())

    async def whole() -> None:
        try:
            await story(desk)
        finally:
            await desk.close()

    asyncio.run(whole())
    return desk


def test_a_signed_event_is_accepted_dispatched_and_measured() -> None:
    async def story(desk: Desk) -> None:
        status, headers, body = await desk.post()
        assert status == 202
        assert headers[b"content-type"] == b"application/json"
        assert headers[b"content-length"] == b"%d" % len(body)
        assert json.loads(body)["event_id"] == desk.dispatched[0].event_id.hex()

    desk = tell(story)
    assert desk.recorded[-1] == GATEWAY_RECEIVE
    assert desk.app.counters.requests == {202: 1}


def test_a_refusal_is_not_measured_as_a_receive() -> None:
    async def story(desk: Desk) -> None:
        assert (await desk.post(pieces=(b"{}",)))[0] == 401

    assert GATEWAY_RECEIVE not in tell(story).recorded


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/healthz", 200, None),
        ("HEAD", "/readyz", 200, None),
        ("POST", "/metrics", 405, b"GET, HEAD"),
        ("DELETE", "/healthz", 405, b"GET, HEAD"),
        ("GET", "/webhook/demo", 405, b"POST"),
        ("PUT", "/webhook/unknown", 405, b"POST"),
        ("POST", "/webhook/unknown", 404, None),
        ("POST", "/webhook/", 404, None),
        ("POST", "/webhook/demo/", 404, None),
        ("POST", "/", 404, None),
        ("GET", "/admin", 404, None),
    ],
)
def test_routes(method: str, path: str, status: int, allow: bytes | None) -> None:
    async def story(desk: Desk) -> None:
        found, headers, _ = await desk.ask(method, path)
        assert (found, headers.get(b"allow")) == (status, allow)

    tell(story)


def test_an_unknown_source_is_told_nothing_about_the_known_ones() -> None:
    async def story(desk: Desk) -> None:
        _, _, unknown = await desk.ask("POST", "/webhook/unknown", desk.headers(), (SIGNAL,))
        _, _, nowhere = await desk.ask("POST", "/nowhere")
        assert unknown == nowhere
        assert b"demo" not in unknown

    tell(story)


@pytest.mark.parametrize(
    ("extra", "status", "words"),
    [
        ([], 411, "Content-Length: missing"),
        ([(b"transfer-encoding", b"chunked")], 411, "Content-Length: missing"),
        ([(b"content-length", b"46"), (b"transfer-encoding", b"chunked")], 400, "transfer-encoding"),
        ([(b"content-length", b"46"), (b"content-length", b"46")], 400, "content-length: given twice"),
        ([(b"content-length", b"46"), (b"webhook-id", b"two")], 400, "webhook-id: given twice"),
        ([(b"content-length", b"-1")], 400, "expected digits"),
        ([(b"content-length", b"9" * 16)], 400, "expected digits"),
        ([(b"content-length", b"262145")], 413, "262145 bytes or more; the limit is 262144"),
        ([(b"content-length", b"46"), (b"content-encoding", b"gzip")], 415, "only identity"),
        ([(b"content-length", b"46"), (b"content-encoding", b"Identity")], 202, "accepted"),
        ([(b"content-length", b"46"), (b"connection", b"Upgrade"), (b"upgrade", b"h2c")], 400, "upgrade: "),
        ([(b"content-length", b"46"), (b"connection", b"close"), (b"upgrade", b"h2c")], 202, "accepted"),
        ([(b"content-length", b"46"), (b"accept", b"a"), (b"accept", b"b")], 202, "accepted"),
    ],
)
def test_headers_decide_before_the_body_is_read(extra: Headers, status: int, words: str) -> None:
    async def story(desk: Desk) -> None:
        found, _, body = await desk.post([*desk.signed(), *extra])
        assert found == status
        assert words in body.decode()

    tell(story)


def test_a_body_much_too_large_ends_the_connection() -> None:
    async def story(desk: Desk) -> None:
        length = limits.MAX_DISCARD_BYTES + 1
        status, headers, _ = await desk.post([(b"content-length", b"%d" % length)])
        assert (status, headers[b"connection"]) == (413, b"close")

    tell(story)


def test_a_body_in_pieces_is_put_together() -> None:
    async def story(desk: Desk) -> None:
        assert (await desk.post(pieces=[bytes([byte]) for byte in SIGNAL]))[0] == 202

    tell(story)


def test_a_body_longer_than_announced_stops_at_the_limit() -> None:
    async def story(desk: Desk) -> None:
        assert (await desk.post(pieces=[b"x" * 600, b"x" * 600, b""]))[0] == 413
        assert (await desk.post())[0] == 202

    tell(story, Gateway(max_body_bytes=1024))


def test_bodies_in_pieces_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PARTIAL_BYTES", 100)

    async def story(desk: Desk) -> None:
        status, headers, _ = await desk.post(pieces=[b"x" * 60, b"x" * 60, b""])
        assert (status, headers[b"connection"]) == (503, b"close")
        assert (await desk.post(pieces=[SIGNAL[:20], SIGNAL[20:]]))[0] == 202

    tell(story)


@pytest.mark.parametrize("pieces", [[None], [SIGNAL[:5], None]])
def test_a_sender_that_goes_away_is_forgotten(pieces: list[bytes | None]) -> None:
    async def story(desk: Desk) -> None:
        assert (await desk.post(pieces=pieces))[0] == 0
        assert (await desk.post())[0] == 202

    tell(story)


def test_a_failing_disk_is_told_to_those_who_wait() -> None:
    async def story(desk: Desk) -> None:
        desk.journal.fail = OSError(5, "Input/output error")
        status, headers, body = await desk.post()
        assert (status, headers[b"retry-after"]) == (503, b"30")
        assert b"Input/output" not in body
        assert (await desk.ask("GET", "/readyz"))[0] == 503
        assert (await desk.ask("GET", "/healthz"))[0] == 200

    tell(story)


def test_readiness_names_its_reason() -> None:
    async def story(desk: Desk) -> None:
        desk.clock.step_wall(5_000_000)
        status, _, body = await desk.ask("GET", "/readyz")
        assert status == 503
        assert json.loads(body)["detail"] == "the wall clock stepped by +5.000 s; the limit is 1 s"

    tell(story)


def test_metrics_tell_requests_events_and_the_journal() -> None:
    async def story(desk: Desk) -> None:
        await desk.post()
        await desk.post()
        desk.journal.oldest_accepted_us = desk.clock.wall_us() - 2_500_000
        _, headers, body = await desk.ask("GET", "/metrics")
        assert headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
        lines = body.decode().splitlines()
        for line in (
            'ringline_gateway_requests_total{status="202"} 2',
            "ringline_gateway_accepted_total 1",
            "ringline_gateway_duplicates_total 1",
            "ringline_gateway_journal_depth 1",
            "ringline_gateway_oldest_unsettled_seconds 2.5",
            "ringline_gateway_ready 1",
        ):
            assert line in lines

    tell(story)


def test_metrics_tell_the_room_on_the_disk() -> None:
    async def story(desk: Desk) -> None:
        _, _, body = await desk.ask("GET", "/metrics")
        assert b"disk_free_bytes" not in body
        desk.app._space = lambda: Space(Level.LOW, "/data", 5_000_000)
        _, _, body = await desk.ask("GET", "/metrics")
        assert b"\nringline_gateway_disk_free_bytes 5000000\n" in body
        assert b"\nringline_gateway_disk_low 1\n" in body

    tell(story)


names = st.sampled_from(
    [b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"content-length", b"content-encoding", b"x"]
)
methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"])
paths = st.sampled_from(["/webhook/demo", "/webhook/x", "/healthz", "/readyz", "/metrics", "/"]) | st.text()


@settings(max_examples=300)
@given(
    methods,
    paths,
    st.lists(st.tuples(names | st.binary(), st.binary(max_size=40)), max_size=8),
    st.lists(st.binary(max_size=80) | st.none(), min_size=1, max_size=3),
)
def test_arbitrary_requests_get_promised_answers(
    method: str, path: str, headers: Headers, pieces: list[bytes | None]
) -> None:
    async def story(desk: Desk) -> None:
        status, _, body = await desk.ask(method, path, headers, pieces)
        assert status in PROMISED | {0}
        assert status != 202
        if status >= 400:
            assert json.loads(body)["status"] == status

    tell(story)


@settings(max_examples=300)
@given(st.binary(max_size=120) | st.text(max_size=60).map(str.encode), st.booleans())
def test_arbitrary_signed_bodies_get_promised_answers(body: bytes, split: bool) -> None:
    async def story(desk: Desk) -> None:
        pieces = [body[:7], body[7:]] if split else [body]
        status, _, _ = await desk.post(desk.headers("fuzz", body), pieces)
        assert status in {400, 422}
        assert desk.journal.appended == 0

    tell(story)


@settings(max_examples=300)
@given(st.data())
def test_a_good_request_with_one_header_changed_is_never_a_crash(data: st.DataObject) -> None:
    async def story(desk: Desk) -> None:
        headers = desk.headers()
        index = data.draw(st.integers(0, len(headers) - 1))
        headers[index] = (headers[index][0], data.draw(st.binary(max_size=300)))
        status, _, _ = await desk.post(headers)
        assert status in {202, 400, 401, 411, 413}

    tell(story)
