"""Bad input on a real port: each kind with its exact answer, nothing journalled, the gateway well after."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_gateway import DEADLINE_S, SIGNAL, RealGateway, rest, signed

from pipeline import limits

Said = tuple[int, str, str, str | None]
"""Status, type, detail, field."""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RealGateway]:
    with RealGateway(tmp_path) as running:
        yield running
        assert running.dispatched == []
        assert running.send("after").status == 202


def said(status: int, body: bytes) -> Said:
    document: dict[str, Any] = json.loads(body)
    assert document["status"] == status
    return status, document["type"].rpartition("/")[2], document["detail"], document.get("field")


def post(gateway: RealGateway, body: bytes) -> Said:
    answer = gateway.send("bad", body)
    return said(answer.status, answer.body)


SURROGATE = "JSON is malformed: unexpected end of escaped utf-16 surrogate pair (byte 33)"
DECIMAL = r"expected `str` matching regex '^-?[0-9]+(\\.[0-9]+)?(?!\\n)$'"
TWICE = 'key "symbol" is given twice'


def unacceptable(field: str, detail: str) -> Said:
    return 422, "unacceptable-event", f"{field}: {detail}", field


def malformed(detail: str) -> Said:
    return 400, "malformed-event", f"body: {detail}", "body"


# ---- bodies that are signed, and no events


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", malformed("input data was truncated")),
        (b"\xff\xfe", malformed("not UTF-8 at byte 0")),
        (SIGNAL[:-2] + b"\xc3\x28" + SIGNAL[-2:], malformed("not UTF-8 at byte 44")),
        (SIGNAL.replace(b"AAPL", b"\xed\xa0\x80"), malformed("not UTF-8 at byte 27")),
        (b"\xef\xbb\xbf" + SIGNAL, malformed("JSON is malformed: invalid character (byte 0)")),
        (SIGNAL.replace(b"AAPL", b"\\ud800"), malformed(SURROGATE)),
        (
            b'{"type":"signal","symbol":"A","symbol":"B","side":"buy"}',
            malformed(TWICE),
        ),
        (
            b'{"type":"signal","symbol":"A","s\\u0079mbol":"B","side":"buy"}',
            malformed(TWICE),
        ),
        (SIGNAL[:-1] + b',"price":NaN}', malformed("JSON is malformed: invalid character (byte 54)")),
        (SIGNAL[:-1] + b',"price":Infinity}', malformed("JSON is malformed: invalid character (byte 54)")),
        (SIGNAL[:-1] + b',"price":-Infinity}', malformed("JSON is malformed: invalid character (byte 55)")),
        (SIGNAL[:-1] + b',"price":"NaN"}', unacceptable("price", DECIMAL + '; was "NaN"')),
        (SIGNAL[:-1] + b',"price":1e999}', malformed("number out of range")),
        (SIGNAL + SIGNAL, malformed("JSON is malformed: trailing characters (byte 47)")),
        (b"[" * 9 + b"]" * 9, malformed("nested deeper than 8 levels")),
        (b"[" * 200_000, malformed("nested deeper than 8 levels")),
        (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, malformed("nested deeper than 8 levels")),
        (b"[]", unacceptable("event", "expected `object`, got `array`")),
        (b"null", unacceptable("event", "expected `object`, got `null`")),
    ],
)
def test_bodies(gateway: RealGateway, body: bytes, expected: Said) -> None:
    assert post(gateway, body) == expected


# ---- signatures


def test_a_replayed_request_is_answered_again_and_taken_once(tmp_path: Path) -> None:
    with RealGateway(tmp_path) as gateway:
        headers = signed("one")
        first, again = (gateway.post("/webhook/demo", SIGNAL, headers) for _ in range(2))
        assert (first.status, again.status, first.body) == (202, 202, again.body)
        assert again.headers["idempotent-replayed"] == "true"
        assert len(gateway.dispatched) == 1


@pytest.mark.parametrize(
    ("off_s", "words"),
    [(-1000, "1000 s old; the limit is 300 s"), (1000, "1000 s in the future; the limit is 300 s")],
)
def test_captured_and_future_dated_requests(gateway: RealGateway, off_s: int, words: str) -> None:
    answer = gateway.post("/webhook/demo", SIGNAL, signed("one", at_s=int(time.time()) + off_s))
    status, kind, detail, field = said(answer.status, answer.body)
    assert (status, kind, field) == (401, "bad-signature", "webhook-timestamp")
    seconds = int(detail.removeprefix("webhook-timestamp: ").split()[0])
    assert 0 <= abs(seconds - 1000) <= 5
    assert detail == f"webhook-timestamp: {words}".replace("1000", str(seconds))


SIGNATURE = "webhook-signature: no signature of this body by a secret known here"


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"webhook-signature": "garbage"}, SIGNATURE),
        ({"webhook-signature": "v1,"}, SIGNATURE),
        ({"webhook-signature": "v1,====="}, SIGNATURE),
        ({"webhook-signature": "v2,AAAA v1a,BBBB"}, SIGNATURE),
        ({"webhook-signature": " ".join(["v1,A"] * 9)}, "webhook-signature: more than 8 signatures"),
        ({"webhook-signature": ""}, "webhook-signature: missing"),
        ({"webhook-timestamp": f"{int(time.time())}.7"}, None),
        ({"webhook-timestamp": "1e9"}, None),
        ({"webhook-timestamp": "²"}, None),
        ({"webhook-timestamp": "9" * 400}, None),
        ({"webhook-id": "a.b"}, "webhook-id: allowed are visible ASCII characters other than the dot"),
        ({"webhook-id": "x" * 256}, "webhook-id: 256 characters; the limit is 255"),
    ],
)
def test_signatures(gateway: RealGateway, changed: dict[str, str], detail: str | None) -> None:
    if detail is None:
        detail = "webhook-timestamp: expected whole seconds since 1970-01-01, digits only"
    answer = gateway.post("/webhook/demo", SIGNAL, signed("one") | changed)
    assert said(answer.status, answer.body) == (401, "bad-signature", detail, detail.partition(":")[0])


# ---- HTTP

HEAD = b"POST /webhook/demo HTTP/1.1\r\nhost: x\r\n"
NO_HTTP = (400, "malformed-request", "what was received is no HTTP/1.1 request", None)
TOO_LARGE = (
    431,
    "headers-too-large",
    f"the limit is {limits.MAX_HEADERS} headers of {limits.MAX_HEADER_BYTES} bytes together",
    None,
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # smuggling: what another reader would split or join differently
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", NO_HTTP),
        (HEAD + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello", NO_HTTP),
        (HEAD + b"content-length: 5, 5\r\n\r\nhello", NO_HTTP),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", NO_HTTP),
        (HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", NO_HTTP),
        (HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", NO_HTTP),
        (HEAD + b"content-length : 5\r\n\r\nhello", NO_HTTP),
        (HEAD + b"content-length: +5\r\n\r\nhello", NO_HTTP),
        (HEAD + b"content-length: 0x5\r\n\r\nhello", NO_HTTP),
        (HEAD + b"x: one\r\n two\r\ncontent-length: 0\r\n\r\n", NO_HTTP),
        (HEAD + b" x: folded\r\ncontent-length: 0\r\n\r\n", NO_HTTP),
        (HEAD.replace(b"\r\n", b"\n") + b"content-length: 0\n\n", NO_HTTP),
        (HEAD + b"x: one\ncontent-length: 0\r\n\r\n", NO_HTTP),
        (HEAD + b"x: a\rb\r\ncontent-length: 0\r\n\r\n", NO_HTTP),
        (HEAD + b"x: a\x00b\r\ncontent-length: 0\r\n\r\n", NO_HTTP),
        # which host? RFC 9112 §3.2
        (HEAD.replace(b"host: x\r\n", b"") + b"content-length: 0\r\n\r\n", NO_HTTP),
        (HEAD + b"host: x\r\ncontent-length: 0\r\n\r\n", NO_HTTP),
        (HEAD + b"Host: y\r\ncontent-length: 0\r\n\r\n", NO_HTTP),
        (HEAD.replace(b"1.1", b"1.0") + b"host: y\r\ncontent-length: 0\r\n\r\n", NO_HTTP),
        (HEAD.replace(b"1.1", b"2.0") + b"content-length: 0\r\n\r\n", NO_HTTP),
        (HEAD.replace(b"1.1", b"0.9") + b"content-length: 0\r\n\r\n", NO_HTTP),
        # too much
        (
            HEAD + b"x: " + b"y" * limits.MAX_HEADER_BYTES + b"\r\n\r\n",
            TOO_LARGE,
        ),
        (HEAD + b"x: y\r\n" * (limits.MAX_HEADERS + 1) + b"\r\n", TOO_LARGE),
        (
            HEAD + b"content-length: 2000000\r\n\r\n",
            (413, "body-too-large", "2000000 bytes or more; the limit is 262144", None),
        ),
        # not even HTTP
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", NO_HTTP),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NO_HTTP),
    ],
)
def test_requests_that_are_refused_and_end_their_connection(
    gateway: RealGateway, data: bytes, expected: Said
) -> None:
    found = gateway.raw(data)
    head, _, body = found.partition(b"\r\n\r\n")
    assert found.count(b"HTTP/1.1 4") == 1
    assert b"connection: close" in head.lower()
    assert said(int(head[9:12]), body) == expected


def test_chunks_are_refused_by_name_and_nothing_behind_them_is_a_request(gateway: RealGateway) -> None:
    inner = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
    chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)
    found = gateway.raw(chunked + b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 411 ")
    assert b'{"status":"alive"}' in found


@pytest.mark.parametrize("start", [HEAD + b"webhook-", HEAD + b"content-length: 46\r\n\r\n{"])
def test_a_slow_loris_is_told_and_cut(
    gateway: RealGateway, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_READ_S", 0.2)
    with socket.create_connection(gateway.address, timeout=DEADLINE_S) as stream:
        stream.sendall(start)
        found = rest(stream)
    head, _, body = found.partition(b"\r\n\r\n")
    assert said(int(head[9:12]), body)[:2] == (408, "request-timeout")


def test_an_oversized_body_is_told_and_the_connection_goes_on(gateway: RealGateway) -> None:
    size = limits.MAX_BODY_BYTES + 1
    data = HEAD + b"content-length: %d\r\n\r\n" % size + b"x" * size
    found = gateway.raw(data + b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 413 ")
    assert b'"262145 bytes or more; the limit is 262144"' in found
    assert found.endswith(b'{"status":"alive"}')
