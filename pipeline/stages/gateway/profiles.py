"""How a source proves who it is and names its events: one profile a kind of sender."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest
from typing import NamedTuple, Protocol

import msgspec

from pipeline.config.schema import Hmac, Source
from pipeline.errors import InvalidEventError, RinglineError
from pipeline.signing import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Secret,
    SharedKey,
    SignatureError,
    check_timestamp,
    id_fault,
    verify,
)
from pipeline.stages.gateway.answer import Header
from pipeline.stages.gateway.idempotency import HEADER as KEY_HEADER
from pipeline.stages.gateway.idempotency import key_of
from pipeline.stages.gateway.parse import MalformedEventError, scan

Named = Mapping[bytes, bytes]
"""Headers by name in lower case; of one given twice the last."""

_ID, _TIMESTAMP, _SIGNATURE = (
    name.encode("ascii") for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
)
GITHUB = Hmac(signature_header="x-hub-signature-256", id_header="x-github-delivery", prefix="sha256=")
"""As GitHub documents it: over the body alone, hexadecimal, no timestamp."""
_EVENT = b"x-github-event"


class KeyMissingError(RinglineError):
    """The header that identifies the event is missing, or not what it must be."""

    def __init__(self, header: str, detail: str) -> None:
        super().__init__(f"{header}: {detail}")
        self.header = header


class Verified(NamedTuple):
    """What identifies a request, the name of the secret that matched, and the body: all of it that may be
    kept and that a repeat must be equal in. `named_by` is the header or member that the identity is from, or
    `checks.DERIVED`; `signed_s` the time that was signed, 0 where none is; `posted_bytes` the size of the
    body as it came."""

    identity: str
    secret: str
    body: bytes
    named_by: str
    signed_s: int
    posted_bytes: int


class Profile(Protocol):
    """What differs between kinds of senders."""

    @property
    def name(self) -> str:
        """As `sources.*.profile` has it."""

    @property
    def headers(self) -> Sequence[bytes]:
        """Names of the headers that mean something here, and so may be given once only."""

    @property
    def challenge(self) -> Header:
        """Of a 401."""

    @property
    def id_name(self) -> str:
        """What a sender is told that identifies its events."""

    def verify(self, named: Named, body: bytes, now_s: int) -> Verified:
        """Raises SignatureError (401) and KeyMissingError (400); and, where the body is needed to know its
        sender, MalformedEventError (400) and InvalidEventError (422)."""

    def event(self, named: Named, body: bytes) -> bytes | None:
        """The event as JSON in a verified body; None when it holds none, and that is well.

        Raises MalformedEventError and InvalidEventError."""


class StandardProfile:
    """Standard Webhooks."""

    name = "standard"
    headers = (_ID, _TIMESTAMP, _SIGNATURE)
    challenge: Header = (b"www-authenticate", b"StandardWebhooks")
    id_name = ID_HEADER

    def __init__(self, secrets: Sequence[Secret], tolerance_s: int) -> None:
        self._secrets = secrets
        self._tolerance_s = tolerance_s

    def verify(self, named: Named, body: bytes, now_s: int) -> Verified:
        get = named.get
        webhook_id = get(_ID, b"")
        timestamp, signature = get(_TIMESTAMP, b""), get(_SIGNATURE, b"")
        secret = verify(
            self._secrets, webhook_id, timestamp, signature, body,
            now_s=now_s, tolerance_s=self._tolerance_s,
        )  # fmt: skip
        return Verified(webhook_id.decode("ascii"), secret.name, body, ID_HEADER, int(timestamp), len(body))

    def event(self, named: Named, body: bytes) -> bytes | None:  # noqa: ARG002
        return body


class HmacProfile:
    """Any sender that signs with an HMAC in a header."""

    name = "hmac"
    challenge: Header = (b"www-authenticate", b"Signature")

    def __init__(self, keys: Sequence[SharedKey], source: Source, hmac: Hmac) -> None:
        self._keys = keys
        self._tolerance_s = source.tolerance_s
        self._key_mode = source.idempotency_key
        self._digest = hmac.digest
        self._prefix = hmac.prefix.encode("ascii")
        self._encoded = _ENCODINGS[hmac.encoding]
        self._fold = hmac.encoding == "hex"
        self._signature, self._id, self._timestamp = (
            name.encode("ascii") for name in (hmac.signature_header, hmac.id_header, hmac.timestamp_header)
        )
        signed = hmac.signed or ("{timestamp}.{body}" if hmac.timestamp_header else "{body}")
        self._signed = [part for part in re.split(r"(\{\w+\})", signed) if part]
        self.headers = tuple(
            name for name in (self._signature, self._id, self._timestamp, KEY_HEADER) if name
        )
        self.id_name = hmac.id_header if self._key_mode == "ignored" else "idempotency-key"

    def verify(self, named: Named, body: bytes, now_s: int) -> Verified:
        signed_s = 0
        if self._timestamp:
            header, timestamp = self._timestamp.decode("ascii"), named.get(self._timestamp, b"")
            check_timestamp(timestamp, now_s, self._tolerance_s, header)
            signed_s = int(timestamp)
        key = self._key_that_signed(named, body)
        identity, named_by = self._identity(named)
        return Verified(identity, key.name, body, named_by, signed_s, len(body))

    def event(self, named: Named, body: bytes) -> bytes | None:  # noqa: ARG002
        return body

    def _key_that_signed(self, named: Named, body: bytes) -> SharedKey:
        header = self._signature.decode("ascii")
        given = named.get(self._signature, b"")
        if not given:
            raise SignatureError(header, "missing")
        if not given.startswith(self._prefix):
            raise SignatureError(header, f"does not start with {self._prefix.decode('ascii')}")
        text = given[len(self._prefix) :]
        text = text.lower() if self._fold else text
        values = {"{id}": named.get(self._id, b""), "{body}": body}
        values["{timestamp}"] = named.get(self._timestamp, b"")
        message = b"".join(values[part] if part in values else part.encode("ascii") for part in self._signed)
        for key in self._keys:
            expected = self._encoded(key.mac(message, self._digest))
            if compare_digest(expected, text):
                return key
        raise SignatureError(header, "no signature of this body by a secret known here")

    def _identity(self, named: Named) -> tuple[str, str]:
        """The identity, and the header that it is from."""
        if self._key_mode != "ignored" and (KEY_HEADER in named or self._key_mode == "required"):
            return identified("idempotency-key", key_of(named.get(KEY_HEADER, b""))), "idempotency-key"
        name = self._id.decode("ascii")
        given = named.get(self._id, b"")
        return identified(name, key_of(given) if self._id == KEY_HEADER else given), name


class GitHubProfile(HmacProfile):
    """GitHub's webhooks: a `repository_dispatch` carries the event as its `client_payload`; a `ping` is
    answered; whatever has no `X-GitHub-Event` is the event itself, signed as GitHub does."""

    name = "github"
    challenge: Header = (b"www-authenticate", b"GitHub")

    def __init__(self, keys: Sequence[SharedKey], source: Source) -> None:
        super().__init__(keys, source, GITHUB)
        self.headers = (*self.headers, _EVENT)

    def event(self, named: Named, body: bytes) -> bytes | None:
        kind = named.get(_EVENT)
        if kind is None:
            return body
        scan(body)
        if kind == b"ping":
            return None
        if kind != b"repository_dispatch":
            raise InvalidEventError("x-github-event", "allowed: repository_dispatch, ping")
        try:
            return bytes(_dispatch(body).client_payload)
        except msgspec.ValidationError as error:
            raise InvalidEventError("client_payload", str(error)) from None
        except msgspec.DecodeError as error:
            raise MalformedEventError(str(error)) from None


class _Dispatch(msgspec.Struct):
    client_payload: msgspec.Raw


_dispatch = msgspec.json.Decoder(_Dispatch).decode


def identified(header: str, given: bytes) -> str:
    """`given` as the identity of an event. Raises KeyMissingError."""
    if not given:
        raise KeyMissingError(header, "missing")
    if fault := id_fault(given):
        raise KeyMissingError(header, fault)
    return given.decode("ascii")


def _hex(digest: bytes) -> bytes:
    return digest.hex().encode("ascii")


def _base64(digest: bytes) -> bytes:
    return binascii.b2a_base64(digest, newline=False)


_ENCODINGS: dict[str, Callable[[bytes], bytes]] = {"hex": _hex, "base64": _base64}
