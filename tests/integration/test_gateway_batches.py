"""Many events in one request, on a real port and a real journal: one commit, a result each."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from real_gateway import SECRET, RealGateway, Response, signed

from pipeline import limits
from pipeline.checks import decode_checks
from pipeline.config.schema import Config, Gateway, RateLimit, Source
from pipeline.signing import SharedKey
from pipeline.stages.gateway.secrets import Keys

KEY = b"0123456789abcdef"
BUY: dict[str, Any] = {"type": "signal", "symbol": "AAPL", "side": "buy"}
SELL = BUY | {"side": "sell", "symbol": "MSFT"}
HALT = {"type": "control", "action": "halt"}
CONFIG = Config(
    sources={
        "demo": Source(),
        "limited": Source(rate_limit=RateLimit(events=4, period_s=60)),
        "github": Source(profile="github"),
        "desk": Source(accepts=("control",)),
    },
    gateway=Gateway(max_batch_events=5),
)
KEYS = {
    "demo": Keys(secrets=(SECRET,)),
    "limited": Keys(secrets=(SECRET,)),
    "desk": Keys(secrets=(SECRET,)),
    "github": Keys(shared=(SharedKey(KEY, "key"),)),
}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RealGateway]:
    with RealGateway(tmp_path, CONFIG, KEYS) as running:
        yield running


def post(
    gateway: RealGateway,
    events: Any,
    webhook_id: str = "batch",
    source: str = "demo",
    more: dict[str, str] | None = None,
) -> Response:
    body = events if isinstance(events, bytes) else msgspec.json.encode(events)
    return gateway.post(f"/webhook/{source}/batch", body, signed(webhook_id, body) | (more or {}))


def results(response: Response) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = response.document["results"]
    return found


def test_all_are_accepted_in_their_order_with_one_commit(gateway: RealGateway) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    response = post(gateway, [BUY, SELL, HALT], more={"traceparent": trace})
    assert (response.status, gateway.app.committer.syncs) == (202, 1)
    assert [(result["status"], result["key"]) for result in results(response)] == [
        (202, "AAPL"), (202, "MSFT"), (202, None),
    ]  # fmt: skip
    assert [(d.key, d.webhook_id, d.traceparent) for d in gateway.dispatched] == [
        ("AAPL", "batch.0", trace),
        ("MSFT", "batch.1", trace),
        ("AAPL", "batch.2", trace),
        ("MSFT", "batch.2", trace),
    ]
    assert results(response)[0]["event_id"] == gateway.dispatched[0].event_id.hex()
    checks = [decode_checks(delivery.checks) for delivery in gateway.dispatched]
    assert [one and (one.index, one.named_by) for one in checks] == [
        (0, "webhook-id"), (1, "webhook-id"), (2, "webhook-id"), (2, "webhook-id"),
    ]  # fmt: skip
    (size,) = {one.body_bytes for one in checks if one}
    assert size == len(msgspec.json.encode([BUY, SELL, HALT]))


def test_a_repeat_replays_each(gateway: RealGateway) -> None:
    first, again = post(gateway, [BUY, SELL]), post(gateway, [BUY, SELL])
    assert again.status == 202
    assert results(again) == [result | {"replayed": True} for result in results(first)]
    assert len(gateway.dispatched) == 2


def test_the_good_are_taken_beside_the_bad_and_these_may_be_put_right(gateway: RealGateway) -> None:
    response = post(gateway, [BUY, BUY | {"side": "up"}, SELL])
    assert response.status == 207
    assert [result["status"] for result in results(response)] == [202, 422, 202]
    assert results(response)[1]["field"] == "side"
    again = post(gateway, [BUY, BUY | {"side": "sell"}, SELL | {"side": "buy"}])
    assert [result["status"] for result in results(again)] == [202, 202, 422]
    assert results(again)[2]["type"].endswith("/webhook-id-reused")
    assert [delivery.webhook_id for delivery in gateway.dispatched] == ["batch.0", "batch.2", "batch.1"]


def test_of_a_source_that_may_not_send_all_the_others_are_taken(gateway: RealGateway) -> None:
    response = post(gateway, [BUY, HALT, SELL], source="desk")
    assert response.status == 207
    assert [result["status"] for result in results(response)] == [403, 202, 403]
    assert results(response)[0]["type"].endswith("/forbidden-event")
    assert gateway.dispatched == [], "a halt of no key yet"


def test_a_single_event_never_has_the_id_of_one_in_a_batch(gateway: RealGateway) -> None:
    assert post(gateway, [BUY]).status == 202
    body = msgspec.json.encode(BUY)
    headers = signed("x", body) | {"webhook-id": "batch.0"}
    assert gateway.post("/webhook/demo", body, headers).status == 401
    assert gateway.send("batch").status == 202


@pytest.mark.parametrize(
    ("body", "status", "kind", "detail"),
    [
        (b"[]", 422, "unacceptable-event", "body: an empty batch"),
        (b"{}", 422, "unacceptable-event", "body: expected an array of events, got dict"),
        (b"7", 422, "unacceptable-event", "body: expected an array of events, got str"),
        (b"[" + b",".join([b"{}"] * 6) + b"]", 413, "batch-too-large", "6 events; the limit is 5"),
        (b"[{}", 400, "malformed-event", "body: input data was truncated"),
        (b"\xff", 400, "malformed-event", "body: not UTF-8 at byte 0"),
        (b"[" * 50_000, 400, "malformed-event", "body: nested deeper than 8 levels"),
    ],
)
def test_what_is_no_batch(gateway: RealGateway, body: bytes, status: int, kind: str, detail: str) -> None:
    response = post(gateway, body)
    assert (response.status, response.kind, response.document["detail"]) == (status, kind, detail)


def test_every_element_is_looked_at_as_closely_as_a_single_event(gateway: RealGateway) -> None:
    bad = [b'{"type":"control","type":"control"}', b'{"a":NaN}', b"7", b"[[[[[[[[[[]]]]]]]]]]", b'"\\ud800"']
    for body in bad:
        response = post(gateway, b"[" + body + b"]", webhook_id=hashlib.sha256(body).hexdigest())
        statuses = [result["status"] for result in results(response)] if response.status == 207 else []
        assert response.status == 400 or statuses in ([400], [422])
    assert gateway.dispatched == []


def test_an_id_must_leave_room_for_the_numbers(gateway: RealGateway) -> None:
    assert post(gateway, [BUY], "x" * (limits.MAX_WEBHOOK_ID_CHARS - 4)).status == 202
    response = post(gateway, [BUY], "x" * (limits.MAX_WEBHOOK_ID_CHARS - 3))
    assert (response.status, response.document["field"]) == (400, "webhook-id")


def test_a_forged_or_too_large_batch_is_not_read(gateway: RealGateway) -> None:
    forged = post(gateway, [BUY], more={"webhook-signature": "v1,x"})
    assert (forged.status, forged.kind) == (401, "bad-signature")
    assert post(gateway, b" " * (limits.MAX_BODY_BYTES + 1)).status == 413
    assert gateway.ask("GET", "/webhook/demo/batch").status == 405
    assert gateway.post("/webhook/none/batch", b"[]").status == 404


def test_each_event_counts_against_the_rate(gateway: RealGateway) -> None:
    first = post(gateway, [BUY, BUY, BUY], "a", "limited")
    assert (first.status, first.headers["ratelimit"][:12]) == (202, '"source";r=1')
    refused = post(gateway, [BUY, BUY], "b", "limited")
    assert (refused.status, refused.kind) == (429, "rate-limited")
    assert post(gateway, [BUY], "c", "limited").status == 202
    larger = post(gateway, [BUY] * 5, "d", "limited")
    assert (larger.status, larger.document["detail"]) == (413, "5 events; the limit is 4")


def test_githubs_signature_holds_a_batch_together_too(gateway: RealGateway) -> None:
    body = msgspec.json.encode([BUY, SELL])
    mac = hmac.new(KEY, body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": "sha256=" + mac, "X-GitHub-Delivery": "d"}
    assert gateway.post("/webhook/github/batch", body, headers).status == 202
    assert [delivery.webhook_id for delivery in gateway.dispatched] == ["d.0", "d.1"]
