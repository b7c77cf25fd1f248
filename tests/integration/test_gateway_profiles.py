"""Every kind of sender on a real port, with a real journal behind it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_gateway import SIGNAL, RealGateway, Response, signed

from pipeline.checks import ADDRESS, DERIVED, PATH, RATE, Checks, decode_checks
from pipeline.config.schema import Config, Hmac, RateLimit, Source, TradingView
from pipeline.messages import BUY, Signal, decode_event
from pipeline.signing import Secret, SharedKey
from pipeline.stages.gateway.secrets import Keys

KEY, OLD_KEY = b"It's a Secret to Everybody", b"the secret before this one"
PATH_TOKEN, BODY_TOKEN = b"p" * 32, b"body-token-1"
SHARED = (SharedKey(KEY, "new"), SharedKey(OLD_KEY, "old"))
VIEW = Source(profile="tradingview", allow_from=("127.0.0.1",))

CONFIG = Config(
    sources={
        "demo": Source(),
        "github": Source(profile="github"),
        "plain": Source(profile="hmac"),
        "stamped": Source(
            profile="hmac",
            hmac=Hmac(
                signature_header="x-slack-signature",
                id_header="x-request",
                timestamp_header="x-slack-request-timestamp",
                prefix="v0=",
                signed="v0:{id}:{timestamp}:{body}",
                digest="sha512",
                encoding="base64",
            ),
        ),
        "keyed": Source(profile="hmac", idempotency_key="required", hmac=Hmac(id_header="x-id")),
        "alerts": VIEW,
        "elsewhere": Source(profile="tradingview"),
        "proxied": Source(
            profile="tradingview",
            trusted_proxies=("127.0.0.0/8",),
            tradingview=TradingView(token_member="pass"),
        ),
        "slow": Source(rate_limit=RateLimit(events=2, period_s=60)),
    }
)
KEYS = {
    name: Keys(secrets=(Secret(b"k" * 32, "test"),))
    if source.profile == "standard"
    else Keys(shared=(SharedKey(PATH_TOKEN, "path"),), tokens=(SharedKey(BODY_TOKEN, "body", 8),))
    if source.profile == "tradingview"
    else Keys(shared=SHARED)
    for name, source in CONFIG.sources.items()
}
ALERT = {
    "token": BODY_TOKEN.decode(),
    "ticker": "AAPL",
    "action": "buy",
    "contracts": 12.5,
    "price": 101.25,
    "timenow": "2026-01-05T14:30:00Z",
}
ALERTS = f"/webhook/alerts/{PATH_TOKEN.decode()}"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RealGateway]:
    with RealGateway(tmp_path, CONFIG, KEYS) as running:
        yield running


def checked(gateway: RealGateway) -> Checks:
    """Of the first event that was dispatched."""
    checks = decode_checks(gateway.dispatched[0].checks)
    assert checks is not None
    return checks


def hub(
    body: bytes, key: bytes = KEY, delivery: str = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
) -> dict[str, str]:
    return {
        "X-Hub-Signature-256": "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest(),
        "X-GitHub-Delivery": delivery,
    }


def alert(
    gateway: RealGateway, path: str = ALERTS, more: dict[str, str] | None = None, **changed: Any
) -> Response:
    members = {name: value for name, value in (ALERT | changed).items() if value is not None}
    return gateway.post(path, json.dumps(members).encode(), more)


# ---- GitHub


def test_githubs_own_example_of_a_signature_is_ours() -> None:
    """docs.github.com, "Validating webhook deliveries"."""
    expected = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert hub(b"Hello, World!")["X-Hub-Signature-256"] == "sha256=" + expected


def test_github_is_known_by_its_signature_and_its_delivery_is_the_id(gateway: RealGateway) -> None:
    first = gateway.post("/webhook/github", SIGNAL, hub(SIGNAL))
    assert first.status == 202
    again = gateway.post("/webhook/github", SIGNAL, hub(SIGNAL, OLD_KEY))
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (202, first.body, "true")
    other = SIGNAL + b" "
    reused = gateway.post("/webhook/github", other, hub(other))
    assert (reused.status, reused.kind, reused.document["field"]) == (
        422, "webhook-id-reused", "x-github-delivery",
    )  # fmt: skip
    assert [delivery.webhook_id for delivery in gateway.dispatched] == [
        "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    ]
    assert gateway.app.counters.signatures == {("github", "new"): 2, ("github", "old"): 1}
    assert checked(gateway) == Checks("github", "new", "x-github-delivery", len(SIGNAL))


def test_a_repository_dispatch_carries_the_event_and_a_ping_is_answered(gateway: RealGateway) -> None:
    body = b'{"action":"alert","client_payload":' + SIGNAL + b',"repository":{"id":1}}'
    kind = {"X-GitHub-Event": "repository_dispatch"}
    assert gateway.post("/webhook/github", body, hub(body) | kind).document["key"] == "AAPL"
    ping = b'{"zen":"Design for failure."}'
    pong = gateway.post("/webhook/github", ping, hub(ping, delivery="p") | {"X-GitHub-Event": "ping"})
    assert (pong.status, pong.body) == (200, b'{"status":"nothing to take"}')
    push = gateway.post("/webhook/github", ping, hub(ping, delivery="q") | {"X-GitHub-Event": "push"})
    assert (push.status, push.document["detail"]) == (
        422,
        "x-github-event: allowed: repository_dispatch, ping",
    )
    assert len(gateway.dispatched) == 1


@pytest.mark.parametrize(
    ("changed", "status", "detail"),
    [
        ({"X-Hub-Signature-256": ""}, 401, "x-hub-signature-256: missing"),
        ({"X-Hub-Signature-256": "sha1=00"}, 401, "x-hub-signature-256: does not start with sha256="),
        (
            {"X-Hub-Signature-256": "sha256=" + "0" * 64},
            401,
            "x-hub-signature-256: no signature of this body by a secret known here",
        ),
        ({"X-GitHub-Delivery": ""}, 400, "x-github-delivery: missing"),
        (
            {"X-GitHub-Delivery": "a.b"},
            400,
            "x-github-delivery: allowed are visible ASCII characters other than the dot",
        ),
    ],
)
def test_what_is_not_githubs(gateway: RealGateway, changed: dict[str, str], status: int, detail: str) -> None:
    found = gateway.post("/webhook/github", SIGNAL, hub(SIGNAL) | changed)
    assert (found.status, found.document["detail"]) == (status, detail)
    assert gateway.dispatched == []


# ---- any HMAC, Idempotency-Key


def hex_mac(body: bytes) -> str:
    return hmac.new(KEY, body, hashlib.sha256).hexdigest()


def test_a_plain_hmac_sender_names_its_events_by_idempotency_key(gateway: RealGateway) -> None:
    headers = {"X-Signature": hex_mac(SIGNAL).upper()}
    missing = gateway.post("/webhook/plain", SIGNAL, headers)
    assert (missing.status, missing.kind, missing.document["field"]) == (
        400, "idempotency-key-missing", "idempotency-key",
    )  # fmt: skip
    first = gateway.post("/webhook/plain", SIGNAL, headers | {"Idempotency-Key": '"one"'})
    bare = gateway.post("/webhook/plain", SIGNAL, headers | {"Idempotency-Key": "one"})
    assert (first.status, bare.status, first.body) == (202, 202, bare.body)
    assert [delivery.webhook_id for delivery in gateway.dispatched] == ["one"]
    assert checked(gateway).named_by == "idempotency-key"


def test_a_source_that_requires_the_key_takes_no_other_id(gateway: RealGateway) -> None:
    headers = {"X-Signature": hex_mac(SIGNAL), "X-Id": "mine"}
    assert gateway.post("/webhook/keyed", SIGNAL, headers).document["detail"] == "idempotency-key: missing"
    keyed = headers | {"Idempotency-Key": '"k"'}
    assert gateway.post("/webhook/keyed", SIGNAL, keyed).status == 202
    other = SIGNAL.replace(b"buy", b"sell")
    reused = gateway.post("/webhook/keyed", other, keyed | {"X-Signature": hex_mac(other)})
    assert (reused.status, reused.kind) == (422, "webhook-id-reused")
    assert reused.document["field"] == "idempotency-key"


@pytest.mark.parametrize(("off_s", "status"), [(0, 202), (-299, 202), (-400, 401), (400, 401)])
def test_a_stamped_sender_with_everything_configured(gateway: RealGateway, off_s: int, status: int) -> None:
    stamp = str(int(time.time()) + off_s)
    message = b"v0:r1:" + stamp.encode() + b":" + SIGNAL
    mac = base64.b64encode(hmac.new(KEY, message, hashlib.sha512).digest()).decode()
    headers = {"X-Slack-Signature": "v0=" + mac, "X-Slack-Request-Timestamp": stamp, "X-Request": "r1"}
    assert gateway.post("/webhook/stamped", SIGNAL, headers).status == status
    if status == 202:
        age_ms = checked(gateway).age_ms
        assert age_ms is not None
        assert abs(age_ms + 1000 * off_s) < 20_000
    swapped = gateway.post("/webhook/stamped", SIGNAL, headers | {"X-Request": "r2"})
    assert swapped.status == 401, "the id is signed here"


# ---- TradingView


def test_an_alert_is_taken_and_its_token_is_nowhere(gateway: RealGateway, tmp_path: Path) -> None:
    began_s = time.monotonic()
    found = alert(gateway)
    assert time.monotonic() - began_s < 3
    assert (found.status, found.document["key"]) == (202, "AAPL")
    (delivery,) = gateway.dispatched
    assert decode_event(delivery.payload) == Signal("AAPL", "signal", BUY, 125_000, 1_012_500)
    assert delivery.webhook_id.startswith("tv_")
    given = checked(gateway)
    assert (given.profile, given.named_by, given.age_ms) == ("tradingview", DERIVED, None)
    assert given.gates & (ADDRESS | PATH) == ADDRESS | PATH
    assert given.body_bytes > len(BODY_TOKEN)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert delivery.webhook_id.encode() in kept
    assert BODY_TOKEN not in kept
    assert PATH_TOKEN not in kept


def test_an_alert_sent_twice_is_one_and_the_next_another(gateway: RealGateway) -> None:
    first, again = alert(gateway), alert(gateway)
    assert (again.status, again.body) == (202, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert alert(gateway, timenow="2026-01-05T14:31:00Z").body != first.body
    assert alert(gateway, order_id="Long 2").body != first.body
    assert alert(gateway, contracts=13).kind == "webhook-id-reused"
    assert len(gateway.dispatched) == 3


def test_an_id_of_its_own_wins(gateway: RealGateway) -> None:
    assert alert(gateway, id="alert-7", timenow=None).status == 202
    assert alert(gateway, id="alert-7", timenow="later").headers["idempotent-replayed"] == "true"
    assert gateway.dispatched[0].webhook_id == "alert-7"
    assert checked(gateway).named_by == "id"
    assert alert(gateway, id="a.b").document["field"] == "id"
    assert alert(gateway, id=7).status == 202
    assert alert(gateway, id=["x"]).document["detail"] == "id: empty"
    nothing = alert(gateway, timenow=None)
    assert (nothing.status, nothing.document["field"]) == (422, "timenow")


def test_text_is_taken_as_words(gateway: RealGateway) -> None:
    text = b"token=body-token-1 ticker=AAPL action=sell contracts=3\ntimenow=2026-01-05T14:30:00Z"
    kind = {"Content-Type": "text/plain; charset=utf-8"}
    assert gateway.post(ALERTS, text, kind).status == 202
    assert gateway.post(ALERTS, json.dumps(ALERT).encode(), kind).status == 202
    for body, detail in (
        (b"buy AAPL", "body: text is expected as words name=value, or as a JSON object"),
        (b"a=1 a=2", "body: a is given twice"),
        (b"\xff\xfe", "body: not UTF-8 at byte 0"),
    ):
        found = gateway.post(ALERTS, body, kind)
        assert (found.status, found.document["detail"]) == (400, detail)


@pytest.mark.parametrize(
    ("changed", "status", "detail"),
    [
        ({"token": None}, 401, "token: missing"),
        ({"token": "wrong-token"}, 401, "token: not one known here"),
        ({"token": 7}, 401, "token: not one known here"),
        ({"token": ["body-token-1"]}, 401, "token: missing"),
        ({"symbol": "MSFT"}, 422, "ticker: given beside symbol, which it stands for"),
        ({"action": "hold"}, 422, None),
        ({"contracts": "many"}, 422, None),
        ({"extra": {"a": 1}}, 422, None),
    ],
)
def test_alerts_that_are_refused(
    gateway: RealGateway, changed: dict[str, Any], status: int, detail: str | None
) -> None:
    found = alert(gateway, **changed)
    assert found.status == status
    assert detail is None or found.document["detail"] == detail
    assert BODY_TOKEN not in found.body
    assert gateway.dispatched == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"token":"body-token-1","ticker":"\\ud800","timenow":"1"}',
        b'{"token":"body-token-1","a":NaN}',
        b'{"token":"body-token-1","token":"x"}',
        b"{",
        b'{"token":"body-token-1","a":' + b"[" * 100_000,
    ],
)
def test_alerts_that_are_no_json(gateway: RealGateway, body: bytes) -> None:
    found = gateway.post(ALERTS, body)
    assert (found.status, found.kind) == (400, "malformed-event")


def test_a_path_that_is_not_the_whole_one_leads_nowhere(gateway: RealGateway) -> None:
    nowhere = gateway.post("/nowhere", b"{}").body
    for path in ("/webhook/alerts", "/webhook/alerts/", "/webhook/alerts/" + "x" * 32, ALERTS + "/batch"):
        found = alert(gateway, path)
        assert (found.status, found.body) == (404, nowhere)


def test_only_tradingviews_addresses_may_post(gateway: RealGateway) -> None:
    token = PATH_TOKEN.decode()
    refused = alert(gateway, f"/webhook/elsewhere/{token}")
    assert (refused.status, refused.kind) == (403, "forbidden-address")
    own: dict[str, Any] = {"pass": BODY_TOKEN.decode(), "token": None}
    for forwarded, status in (
        ("52.89.214.238", 202),
        ("6.6.6.6, 34.212.75.30", 202),
        ("52.89.214.238, 6.6.6.6", 403),
    ):
        more = {"X-Forwarded-For": forwarded}
        assert alert(gateway, f"/webhook/proxied/{token}", more, **own).status == status
    assert alert(gateway, f"/webhook/proxied/{token}", **own).status == 403


# ---- rate limit, traces


def test_a_rate_limit_is_told_before_and_when_it_is_met(gateway: RealGateway) -> None:
    answers = [gateway.post("/webhook/slow", SIGNAL, signed(str(number))) for number in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 429]
    assert [answer.headers["ratelimit-policy"] for answer in answers] == ['"source";q=2;w=60'] * 3
    told = [re.fullmatch(r'"source";r=(\d);t=(\d+)', answer.headers["ratelimit"]) for answer in answers]
    assert [match and int(match[1]) for match in told] == [1, 0, 0]
    assert [match and round(int(match[2]), -1) for match in told] == [30, 60, 60]
    assert answers[2].kind == "rate-limited"
    assert checked(gateway).gates == RATE
    assert 25 <= int(answers[2].headers["retry-after"]) <= 30
    assert gateway.send("other-source").status == 202
    forged = gateway.post("/webhook/slow", SIGNAL, signed("x") | {"webhook-signature": "v1,x"})
    assert forged.status == 401, "a stranger uses up nothing"


def test_a_trace_travels_with_its_event(gateway: RealGateway) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for webhook_id, given in (("a", trace), ("b", "garbage"), ("c", None)):
        assert gateway.send(webhook_id, more={"traceparent": given} if given else None).status == 202
    assert [delivery.traceparent for delivery in gateway.dispatched] == [trace, "", ""]
