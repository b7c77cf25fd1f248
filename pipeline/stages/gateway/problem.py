"""All that gateway, feed and valuation answer other than success: RFC 9457 problem details, in one table."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

from pipeline.stages.gateway.answer import Answer, Header

CONTENT_TYPE: Header = (b"content-type", b"application/problem+json")
TYPE_PREFIX = "https://ringline.dev/problems/"


class Problem(Enum):
    """A kind of problem: the last part of its type URI, its status, its title."""

    MALFORMED_REQUEST = ("malformed-request", 400, "The request is not well-formed HTTP/1.1")
    MALFORMED_EVENT = ("malformed-event", 400, "The body is not well-formed JSON")
    BAD_SIGNATURE = ("bad-signature", 401, "The request is not signed as it must be")
    KEY_MISSING = ("idempotency-key-missing", 400, "The request needs an Idempotency-Key")
    BAD_PARAMETER = ("bad-parameter", 400, "A parameter of the request is wrong")
    UNAUTHORIZED = ("unauthorized", 401, "The request needs a token that may do this")
    FORBIDDEN_ORIGIN = ("forbidden-origin", 403, "This web page may not read here")
    FORBIDDEN_ROLE = ("forbidden-role", 403, "This token may not do this")
    FORBIDDEN_ADDRESS = ("forbidden-address", 403, "This address may not post here")
    FORBIDDEN_EVENT = ("forbidden-event", 403, "This source may not send such an event")
    NOT_FOUND = ("not-found", 404, "There is nothing here")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The method does not fit here")
    NOT_THE_CHAIN = ("not-the-chain", 409, "The audit does not go on from there")
    PRUNED = ("pruned", 410, "These rows were taken out of the audit")
    REQUEST_TIMEOUT = ("request-timeout", 408, "The request did not arrive in time")
    LENGTH_REQUIRED = ("length-required", 411, "The request needs a Content-Length")
    BODY_TOO_LARGE = ("body-too-large", 413, "The body is too large")
    BATCH_TOO_LARGE = ("batch-too-large", 413, "The batch has too many events")
    ENCODED_BODY = ("encoded-body", 415, "The body is compressed or otherwise encoded")
    UNACCEPTABLE_EVENT = ("unacceptable-event", 422, "The event cannot be accepted")
    ID_REUSED = ("webhook-id-reused", 422, "This webhook-id was used for another body")
    HEADERS_TOO_LARGE = ("headers-too-large", 431, "The headers are too large")
    RATE_LIMITED = ("rate-limited", 429, "This source posts too often")
    JOURNAL_FULL = ("journal-full", 503, "The journal is full")
    JOURNAL_SLOW = ("journal-slow", 503, "The journal takes longer than this sender waits")
    JOURNAL_FAILED = ("journal-failed", 503, "The journal has failed")
    CIRCUIT_OPEN = ("circuit-open", 503, "The journal is failing or slow")
    TOO_MANY_PENDING = ("too-many-pending", 503, "Too many requests are waiting")
    TOO_MANY_CONNECTIONS = ("too-many-connections", 503, "Too many connections are open")
    TOO_MANY_CLIENTS = ("too-many-clients", 503, "Too many clients are connected")
    AUDIT_AWAY = ("audit-away", 503, "The audit cannot be read")
    GATEWAY_AWAY = ("gateway-away", 503, "The gateway does not answer")
    KEY_STOPPED = ("key-stopped", 503, "The key is stopped")
    DRAINING = ("draining", 503, "The gateway is leaving")
    MALFORMED_BODY = ("malformed-body", 400, "The body is not well-formed JSON")
    UNACCEPTABLE_BODY = ("unacceptable-body", 422, "The body is not as it must be")
    UNKNOWN_DOMAIN = ("unknown-domain", 404, "There is no such domain")
    UNKNOWN_SYMBOL = ("unknown-symbol", 404, "Nothing is known of this symbol")
    NO_MARK = ("no-mark", 409, "A position has no price yet")
    STALE_MARK = ("stale-mark", 409, "A position's mark is too old")
    OLDER_MARK = ("older-mark", 409, "A later mark is known")
    DOMAIN_CHANGED = ("domain-changed", 409, "The domain was changed meanwhile")
    OWN_DOMAIN = ("own-domain", 409, "This domain is the pipeline's own")
    OWN_BOOK_BEHIND = ("own-book-behind", 503, "The pipeline's own book is not up to date")
    TOO_MANY_DOMAINS = ("too-many-domains", 409, "There are as many domains as may be")
    VALUATION_TOO_LARGE = ("valuation-too-large", 413, "The valuation is too large")
    ENGINE_AWAY = ("engine-away", 503, "The valuation's engine does not answer")
    FAILED = ("failed", 500, "Something unforeseen went wrong")
    NOT_READY = ("not-ready", 503, "The gateway is not ready")

    @property
    def uri(self) -> str:
        return TYPE_PREFIX + self.value[0]

    @property
    def status(self) -> int:
        return self.value[1]

    @property
    def title(self) -> str:
        return self.value[2]


def problem(
    kind: Problem,
    detail: str,
    *,
    field: str | None = None,
    retry_after_s: int | None = None,
    headers: Iterable[Header] = (),
) -> Answer:
    """The answer for one occurrence: `detail` says which value broke which limit, `field` where."""
    members: dict[str, str | int] = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    }
    extra = list(headers)
    if field is not None:
        members["field"] = field
    if retry_after_s is not None:
        members["retry_after_s"] = retry_after_s
        extra.append((b"retry-after", b"%d" % retry_after_s))
    return Answer(kind.status, msgspec.json.encode(members), [CONTENT_TYPE, *extra])
