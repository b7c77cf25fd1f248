"""TradingView's alerts. They carry no signature, so a sender is known by all it can show: an address of
theirs, a path that cannot be guessed, and a body token that opens nothing else.

The body is what the user wrote into the alert: JSON, or (then posted as text/plain) words `name=value`:

    {"token": "…", "ticker": "{{ticker}}", "action": "{{strategy.order.action}}", "timenow": "{{timenow}}"}
    token=… ticker={{ticker}} action={{strategy.order.action}} timenow={{timenow}}

What is TradingView's own is taken out (`token`, `id`, `timenow`, `order_id`), `ticker`, `action` and
`contracts` are read as `symbol`, `side` and `quantity`, and the rest is an event as anybody posts it. Only
that is fingerprinted, journalled and shown: the token ends here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from pipeline.checks import DERIVED
from pipeline.config.schema import Source
from pipeline.errors import InvalidEventError
from pipeline.signing import SharedKey, SignatureError, id_fault
from pipeline.stages.gateway.answer import Header
from pipeline.stages.gateway.idempotency import HEADER as KEY_HEADER
from pipeline.stages.gateway.idempotency import key_of
from pipeline.stages.gateway.parse import MalformedEventError, scan
from pipeline.stages.gateway.profiles import Named, Verified, identified

ADDRESSES = ("52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7")
"""From which TradingView says that it posts."""
_ALIASES = {"ticker": "symbol", "action": "side", "contracts": "quantity"}
_OWN = ("id", "timenow", "order_id")
_TEXT = b"text/plain"


class TradingViewProfile:
    """An alert is verified, identified and redacted in one go."""

    name = "tradingview"
    challenge: Header = (b"www-authenticate", b"TradingView")
    headers = (b"content-type", KEY_HEADER)
    id_name = "id"

    def __init__(self, source_name: str, tokens: Sequence[SharedKey], source: Source) -> None:
        self._source_name = source_name
        self._tokens = tokens
        self._member = source.tradingview.token_member
        self._key_mode = source.idempotency_key

    def verify(self, named: Named, body: bytes, now_s: int) -> Verified:  # noqa: ARG002
        alert = _read(named, body)
        secret = self._token(alert)
        identity, named_by = self._identity(named, alert)
        return Verified(identity, secret, _event(alert), named_by, 0, len(body))

    def event(self, named: Named, body: bytes) -> bytes | None:  # noqa: ARG002
        return body

    def _token(self, alert: dict[str, Any]) -> str:
        given = alert.pop(self._member, None)
        if not self._tokens:
            return "path"
        if not isinstance(given, str) or not given:
            raise SignatureError(self._member, "missing")
        data = given.encode("utf-8", "surrogatepass")
        for token in self._tokens:
            if token.is_token(data):
                return token.name
        raise SignatureError(self._member, "not one known here")

    def _identity(self, named: Named, alert: dict[str, Any]) -> tuple[str, str]:
        """The identity, and what it is from."""
        if self._key_mode != "ignored" and (KEY_HEADER in named or self._key_mode == "required"):
            return identified("idempotency-key", key_of(named.get(KEY_HEADER, b""))), "idempotency-key"
        own = alert.get("id")
        if own is not None:
            text = own if isinstance(own, str) else ""
            if fault := id_fault(text.encode("utf-8", "surrogatepass")):
                raise InvalidEventError("id", fault)
            return text, "id"
        if not alert.get("timenow") and not alert.get("time"):
            detail = "missing; without it (or an id) two alerts could not be told from one sent twice"
            raise InvalidEventError("timenow", detail)
        return self._derived(alert), DERIVED

    def _derived(self, alert: dict[str, Any]) -> str:
        """A hash of what makes an alert this one: it is the same however often it is sent."""
        fields = (
            self._source_name,
            alert.get("ticker", alert.get("symbol")),
            alert.get("timenow", alert.get("time")),
            alert.get("action", alert.get("side")),
            alert.get("order_id"),
            alert.get("strategy"),
        )
        return "tv_" + hashlib.sha256(msgspec.json.encode(fields)).hexdigest()[:40]


def _event(alert: dict[str, Any]) -> bytes:
    """What is left of an alert when all that is TradingView's is gone."""
    event: dict[str, Any] = {"type": "signal"}
    for name, value in alert.items():
        ours = _ALIASES.get(name, name)
        if ours != name and ours in alert:
            raise InvalidEventError(name, f"given beside {ours}, which it stands for")
        if name not in _OWN:
            event[ours] = value
    return msgspec.json.encode(event)


def _read(named: Named, body: bytes) -> dict[str, Any]:
    """The alert's members, numbers as they were written."""
    plain = named.get(b"content-type", b"").partition(b";")[0].strip().lower() == _TEXT
    if plain and not body.lstrip().startswith(b"{"):
        return _words(body)
    document = scan(body)
    if not isinstance(document, dict):
        raise InvalidEventError("event", f"expected an object, got {type(document).__name__}")
    return document


def _words(body: bytes) -> dict[str, Any]:
    """`name=value` words, separated by white space."""
    try:
        words = body.decode().split()
    except UnicodeDecodeError as error:
        raise MalformedEventError(f"not UTF-8 at byte {error.start}") from None
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise MalformedEventError("text is expected as words name=value, or as a JSON object")
        if name in found:
            raise MalformedEventError(f"{name[:64]} is given twice")
        found[name] = value
    return found
