"""Rules for sources and TLS: every message, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import resolve
from pipeline.config.sources import sender_of
from pipeline.errors import ConfigError


def faults(tree: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(tree)
    return caught.value.faults


def source(**settings: Any) -> dict[str, Any]:
    return {"sources": {"x": settings}}


def hmac(**settings: Any) -> dict[str, Any]:
    return source(profile="hmac", hmac=settings)


@pytest.mark.parametrize(
    ("tree", "fault"),
    [
        (
            source(idempotency_key="required"),
            (
                "sources.x.idempotency_key = 'required': profile standard signs its webhook-id; under an "
                "unsigned key a captured request could be posted again; allowed: ignored"
            ),
        ),
        (
            source(profile="tradingview", allow_from=["10.0.0.1/8"]),
            (
                "sources.x.allow_from[0] = '10.0.0.1/8': expected an address or a network such as "
                "10.0.0.0/8: 10.0.0.1/8 has host bits set"
            ),
        ),
        (
            source(trusted_proxies=["proxy"]),
            (
                "sources.x.trusted_proxies[0] = 'proxy': expected an address or a network such as "
                "10.0.0.0/8: 'proxy' does not appear to be an IPv4 or IPv6 network"
            ),
        ),
        (
            source(accepts=[]),
            "sources.x.accepts: empty, so that it could send nothing; allowed: candle, signal, control",
        ),
        (
            {"feed": {"control_source": "desk"}},
            "feed.control_source = 'desk': there is no such source; here are demo",
        ),
        (
            source(accepts=["candle"]) | {"feed": {"control_source": "x"}},
            (
                "feed.control_source = 'x': sources.x.accepts has no control, so the gateway would refuse "
                "what the page sends"
            ),
        ),
        (
            source(profile="github") | {"feed": {"control_source": "x"}},
            "feed.control_source = 'x': its profile is github; controls are signed as profile standard is",
        ),
        (
            source() | {"feed": {"control_source": "x", "read_token_env": ["READ"]}},
            (
                "feed.control_source = 'x': nobody could use it without a token of the role control, in "
                "feed.control_token_files or feed.control_token_env"
            ),
        ),
        (source(allow_from=["::1"] * 257), "sources.x.allow_from: 257 entries; the limit is 256"),
        (
            source(profile="tradingview", tradingview={"token_env": [f"T{number}" for number in range(9)]}),
            "sources.x.tradingview: 9 body tokens; the limit is 8",
        ),
        (hmac(id_header=""), "sources.x.hmac.id_header: must not be empty"),
        (
            hmac(id_header="x-signature"),
            "sources.x.hmac: signature_header, id_header and timestamp_header must differ",
        ),
        (hmac(prefix="é"), "sources.x.hmac.prefix = 'é': allowed: printable ASCII"),
        (
            hmac(signed="{who}{body}"),
            "sources.x.hmac.signed = '{who}{body}': allowed between braces: id, timestamp, body",
        ),
        (
            hmac(signed="{{body}"),
            "sources.x.hmac.signed = '{{body}': allowed between braces: id, timestamp, body",
        ),
        (hmac(signed="{body}."), "sources.x.hmac.signed = '{body}.': must end with its only {body}"),
        (
            hmac(signed="{id}.{body}", timestamp_header="x-time"),
            (
                "sources.x.hmac.signed = '{id}.{body}': a timestamp that is not signed proves nothing, and "
                "one that is signed needs timestamp_header"
            ),
        ),
        (
            {"gateway": {"tls_cert_file": "chain.pem"}},
            "gateway.tls_cert_file, gateway.tls_key_file: one without the other; TLS needs both",
        ),
    ],
)
def test_faults(tree: dict[str, Any], fault: str) -> None:
    assert faults(tree) == [fault]


def test_header_names_are_in_lower_case() -> None:
    (fault,) = faults(hmac(signature_header="X-Signature"))
    assert fault.startswith("sources.x.hmac.signature_header = 'X-Signature': ")


def test_everything_together_is_fine() -> None:
    config = resolve(
        {
            "sources": {
                "a": {"profile": "github"},
                "b": {"profile": "tradingview", "trusted_proxies": ["10.0.0.0/8"]},
                "c": {
                    "profile": "hmac",
                    "idempotency_key": "required",
                    "rate_limit": {"events": 10, "period_s": 60},
                    "hmac": {"timestamp_header": "x-time", "signed": "v0:{timestamp}:{body}"},
                },
            }
        }
    )
    assert config.sources["c"].rate_limit.events == 10


def test_a_kind_that_there_is_not_is_named() -> None:
    (fault,) = faults(source(accepts=["control", "order"]))
    assert fault.startswith("sources.x.accepts[1]")
    assert "order" in fault


def test_who_sends_is_the_first_that_can_be_signed_for_and_may() -> None:
    config = resolve(
        {
            "sources": {
                "alerts": {"profile": "github"},
                "bars": {"accepts": ["candle", "signal"]},
                "desk": {"accepts": ["control"]},
                "all": {},
            }
        }
    )
    assert sender_of(config.sources, "signal") == "bars"
    assert sender_of(config.sources, "control") == "desk"
    assert sender_of(config.sources, "candle", "control") == "all"
    assert sender_of({"desk": config.sources["desk"]}, "signal") is None


def test_the_page_may_send_as_a_source_that_sends_nothing_else() -> None:
    config = resolve(source(accepts=["control"]) | {"feed": {"control_source": "x"}})
    assert config.sources["x"].accepts == ("control",)
