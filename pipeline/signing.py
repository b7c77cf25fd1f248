"""Signatures of webhooks: made by senders, verified by the gateway. Pure: the time is an argument.

Standard Webhooks are `Secret`, `sign` and `verify`; what others sign with is a `SharedKey`.

Signed are the raw bytes `{webhook-id}.{webhook-timestamp}.{body}` with HMAC-SHA256; the header carries a
list `v1,<base64> v1,<base64>`. Specification: github.com/standard-webhooks/standard-webhooks, version 1.0.0.

A signature is compared in its text form. So nothing that a stranger sent is ever decoded, and a
signature has one spelling only.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from pipeline import limits
from pipeline.errors import RinglineError

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
SECRET_PREFIX = "whsec_"  # noqa: S105 - the public prefix

_VERSION = b"v1,"
_BLOCK_BYTES = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))
_ID_BYTES = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("."))
"""Visible ASCII without the dot, which separates the signed parts: with it two requests could share them."""


class SignatureError(RinglineError):
    """A request is not signed as it should be. `header` is the one at fault; the text says how."""

    def __init__(self, header: str, detail: str) -> None:
        super().__init__(f"{header}: {detail}")
        self.header = header
        self.detail = detail


class Secret:
    """A shared secret, ready to sign. Shows its name and never its bytes.

    Holds the two SHA-256 states of HMAC (RFC 2104) with the key already in them, so that a signature
    costs two copies and not a key schedule: 0.7 µs instead of 1.7 µs.
    """

    __slots__ = ("_inner", "_outer", "name")

    def __init__(self, key: bytes, name: str) -> None:
        """`key`: 24 to 64 bytes; `name` says where it came from, for counters and messages."""
        if not limits.MIN_SECRET_BYTES <= len(key) <= limits.MAX_SECRET_BYTES:
            raise ValueError(
                f"{len(key)} bytes; allowed: {limits.MIN_SECRET_BYTES} to {limits.MAX_SECRET_BYTES} bytes"
            )
        padded = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(padded.translate(_INNER_PAD))
        self._outer = sha256(padded.translate(_OUTER_PAD))
        self.name = name

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"

    def signature(self, head: bytes, body: bytes) -> bytes:
        """`v1,<base64>` over `head` (id and timestamp, each with its dot) and `body`."""
        inner = self._inner.copy()
        inner.update(head)
        inner.update(body)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return _VERSION + binascii.b2a_base64(outer.digest(), newline=False)


class SharedKey:
    """A key or token that is any text or bytes. Shows its name and never its bytes."""

    __slots__ = ("_key", "name")

    def __init__(self, key: bytes, name: str, least_bytes: int = limits.MIN_KEY_BYTES) -> None:
        """Raises ValueError for a key that is too short to be one, or too long."""
        if not least_bytes <= len(key) <= limits.MAX_KEY_BYTES:
            raise ValueError(f"{len(key)} bytes; allowed: {least_bytes} to {limits.MAX_KEY_BYTES} bytes")
        self._key = key
        self.name = name

    def __repr__(self) -> str:
        return f"SharedKey({self.name!r})"

    def mac(self, message: bytes, digest: str) -> bytes:
        """HMAC (RFC 2104) of `message` by `digest`, such as sha256."""
        return hmac.digest(self._key, message, digest)

    def is_token(self, given: bytes) -> bool:
        """Whether `given` is this key itself, in a time that does not depend on its bytes."""
        return compare_digest(self._key, given)


def parse_secret(text: str, name: str = "secret") -> Secret:
    """The secret written as `whsec_<base64>`, with or without padding. Raises ValueError saying what is wrong
    and never repeating the text."""
    stripped = text.strip()
    if not stripped.startswith(SECRET_PREFIX):
        raise ValueError(f"does not start with {SECRET_PREFIX}")
    encoded = stripped[len(SECRET_PREFIX) :].rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError(f"what follows {SECRET_PREFIX} is not base64") from None
    return Secret(key, name)


def secret_text(key: bytes) -> str:
    """The usual way to write a secret down: `whsec_<base64>`."""
    return SECRET_PREFIX + base64.b64encode(key).decode("ascii")


def sign(secret: Secret, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`. Raises SignatureError for an id that no receiver would take."""
    identity = webhook_id.encode("utf-8")
    _check_id(identity)
    return secret.signature(b"%b.%d." % (identity, timestamp_s), body).decode("ascii")


def signed_headers(secret: Secret, webhook_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers that a signed request carries."""
    return {
        ID_HEADER: webhook_id,
        TIMESTAMP_HEADER: str(timestamp_s),
        SIGNATURE_HEADER: sign(secret, webhook_id, timestamp_s, body),
    }


def verify(
    secrets: Sequence[Secret],
    webhook_id: bytes,
    timestamp: bytes,
    signature: bytes,
    body: bytes,
    *,
    now_s: int,
    tolerance_s: int,
) -> Secret:
    """The secret that signed this request; raises SignatureError if none of them did.

    The first three are the headers' raw values, empty where one is missing. Every comparison takes
    the same time whatever the bytes are.
    """
    if (
        not webhook_id
        or len(webhook_id) > limits.MAX_WEBHOOK_ID_CHARS
        or webhook_id.translate(None, _ID_BYTES)
    ):
        _check_id(webhook_id)  # says what is wrong with it
    check_timestamp(timestamp, now_s, tolerance_s)
    if not signature:
        raise SignatureError(SIGNATURE_HEADER, "missing")
    given = signature.split(b" ", limits.MAX_SIGNATURES)
    if len(given) > limits.MAX_SIGNATURES:
        raise SignatureError(SIGNATURE_HEADER, f"more than {limits.MAX_SIGNATURES} signatures")
    head = b"%b.%b." % (webhook_id, timestamp)
    for secret in secrets:
        expected = secret.signature(head, body)
        for candidate in given:
            if compare_digest(expected, candidate):
                return secret
    raise SignatureError(SIGNATURE_HEADER, "no signature of this body by a secret known here")


def _check_id(webhook_id: bytes) -> None:
    if not webhook_id:
        raise SignatureError(ID_HEADER, "missing")
    if fault := id_fault(webhook_id):
        raise SignatureError(ID_HEADER, fault)


def id_fault(webhook_id: bytes) -> str:
    """What is wrong with an id, empty when nothing is."""
    if not webhook_id:
        return "empty"
    if len(webhook_id) > limits.MAX_WEBHOOK_ID_CHARS:
        return f"{len(webhook_id)} characters; the limit is {limits.MAX_WEBHOOK_ID_CHARS}"
    if webhook_id.translate(None, _ID_BYTES):
        return "allowed are visible ASCII characters other than the dot"
    return ""


def check_timestamp(timestamp: bytes, now_s: int, tolerance_s: int, header: str = TIMESTAMP_HEADER) -> None:
    """Raises SignatureError naming `header` unless `timestamp` is within `tolerance_s` of now, either way."""
    if not timestamp:
        raise SignatureError(header, "missing")
    if len(timestamp) > limits.MAX_TIMESTAMP_CHARS or not timestamp.isdigit():
        raise SignatureError(header, "expected whole seconds since 1970-01-01, digits only")
    age_s = now_s - int(timestamp)
    if age_s > tolerance_s:
        raise SignatureError(header, f"{age_s} s old; the limit is {tolerance_s} s")
    if -age_s > tolerance_s:
        raise SignatureError(header, f"{-age_s} s in the future; the limit is {tolerance_s} s")
