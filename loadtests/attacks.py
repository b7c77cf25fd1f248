"""What an attacker sends, and how it must be answered. Pure."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.signing import ID_HEADER, SIGNATURE_HEADER, Secret, signed_headers

STALE_S = 3600
"""Beyond every tolerance that a source can have, which is symmetric and an hour at most."""
OVERSIZED_BYTES = 256 * 1024 + 1
"""One more than a gateway can be configured to take."""


class Attack(NamedTuple):
    """`expected` are the answers that keep it out."""

    name: str
    headers: dict[str, str]
    body: bytes
    expected: frozenset[int]


KINDS = (
    "forged", "stale", "tampered", "unsigned", "forged",
    "stale", "malformed", "tampered", "reused", "oversized",
)  # fmt: skip
"""In turn. One in ten is oversized: it costs a thousand times the bytes of the others."""


def attack(kind: str, secret: Secret, webhook_id: str, now_s: int, body: bytes) -> Attack:
    """One request of `kind`; `body` is an event's: to have it accepted would be the attack's success."""
    headers = signed_headers(secret, webhook_id, now_s, body)
    match kind:
        case "forged":  # signed, by somebody who does not know the secret
            stranger = Secret(bytes(32), "stranger")
            return Attack(kind, signed_headers(stranger, webhook_id, now_s, body), body, frozenset({401}))
        case "stale":  # a request of an hour ago, replayed as it was
            old = signed_headers(secret, webhook_id, now_s - STALE_S - 1, body)
            return Attack(kind, old, body, frozenset({401}))
        case "tampered":  # a good signature, of another body
            return Attack(kind, headers, body.replace(b'"type"', b'"Type"', 1), frozenset({401}))
        case "unsigned":
            return Attack(kind, {ID_HEADER: webhook_id, SIGNATURE_HEADER: ""}, body, frozenset({401}))
        case "malformed":  # well signed, by somebody who knows the secret, and no JSON
            broken = body[:-1]
            return Attack(kind, signed_headers(secret, webhook_id, now_s, broken), broken, frozenset({400}))
        case _:
            large = b" " * OVERSIZED_BYTES
            return Attack(kind, signed_headers(secret, webhook_id, now_s, large), large, frozenset({413}))
