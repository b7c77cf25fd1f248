"""The senders of webhooks: how each signs, what it may send and how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from pipeline import limits
from pipeline.config.section import Section
from pipeline.text import NameText

Kind = Literal["candle", "signal", "control"]
"""The kinds of events, as the `type` of a body names them."""
KINDS: tuple[Kind, ...] = ("candle", "signal", "control")
HeaderName = Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,64}(?!\n)$")]


class Hmac(Section, frozen=True):
    """How a sender of profile `hmac` signs. Header names in lower case."""

    signature_header: HeaderName = "x-signature"
    id_header: HeaderName = "idempotency-key"
    """Identifies the event; a repeat within `journal.retention_s` replays the first answer."""
    timestamp_header: HeaderName = ""
    """Whole seconds since 1970; checked against `tolerance_s`. Empty: the sender gives none."""
    digest: Literal["sha256", "sha384", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[str, Meta(max_length=32)] = ""
    """Before the encoded digest, such as `sha256=`."""
    signed: Annotated[str, Meta(max_length=128)] = ""
    """What is signed: text around {id}, {timestamp} and, last, {body}. Empty: `{timestamp}.{body}` with a
    timestamp header, else `{body}`."""


class TradingView(Section, frozen=True):
    """What a sender of profile `tradingview` puts into its alerts."""

    token_member: NameText = "token"  # noqa: S105 - a name
    """The member that holds the body token; it is taken out before anything is kept."""
    token_files: tuple[str, ...] = ()
    token_env: tuple[str, ...] = ()
    """Files and environment variables with a body token each; none: no body token is asked for."""


class RateLimit(Section, frozen=True):
    """How often a source may post; a batch counts each of its events."""

    events: Annotated[int, Meta(ge=0, le=limits.MAX_RATE)] = 0
    """A `period_s`, on average; 0: no limit."""
    period_s: Annotated[int, Meta(ge=1, le=86_400)] = 1
    burst: Annotated[int, Meta(ge=0, le=limits.MAX_RATE)] = 0
    """At once; 0: as many as `events`."""


class Source(Section, frozen=True):
    """A sender of webhooks: `POST /webhook/{name}`, for `tradingview` `POST /webhook/{name}/{path token}`."""

    profile: Literal["standard", "github", "tradingview", "hmac"] = "standard"
    secret_files: tuple[str, ...] = ()
    """Files with one secret each (`standard`: `whsec_…`; `tradingview`: the path token); all are accepted, so
    a secret can be rotated. Empty together with `secret_env`: one is generated in
    `data_dir/secrets/NAME.whsec` on the first start."""
    secret_env: tuple[str, ...] = ()
    """Environment variables that hold a secret each."""
    tolerance_s: Annotated[int, Meta(ge=1, le=3600)] = limits.DEFAULT_TOLERANCE_S
    idempotency_key: Literal["ignored", "accepted", "required"] = "ignored"
    """Whether the header `Idempotency-Key` identifies the event in place of what its profile says."""
    allow_from: tuple[str, ...] = ()
    """Addresses and networks that may post. Empty: all; for `tradingview` the four it publishes."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose `X-Forwarded-For` is believed."""
    accepts: tuple[Kind, ...] = KINDS
    """The kinds of events that it may send; any other gets 403. A source that may send `control` alone can
    halt and flatten, and never place an order of its own."""
    rate_limit: RateLimit = RateLimit()
    hmac: Hmac = Hmac()
    tradingview: TradingView = TradingView()


def sender_of(sources: Mapping[str, Source], *kinds: str) -> str | None:
    """The first source that our own commands can sign for and that may send events of these kinds."""
    for name, source in sources.items():
        if source.profile == "standard" and set(kinds) <= set(source.accepts):
            return name
    return None
