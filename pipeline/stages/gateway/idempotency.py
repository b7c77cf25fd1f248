"""The header `Idempotency-Key` (IETF draft-ietf-httpapi-idempotency-key-header-07).

The draft has it as a structured-field string (RFC 8941, section 3.3.3): `"8e03978e-40d5"`. Many senders
leave out the quotes, so both are one and the same key.
"""

from __future__ import annotations

HEADER = b"idempotency-key"
_QUOTE, _ESCAPE = b'"', b"\\"


def key_of(value: bytes) -> bytes:
    """The key in the header's `value`, without its quotes; empty for none, or for a string never closed."""
    value = value.strip(b" \t")
    if not value.startswith(_QUOTE):
        return value
    if len(value) < 2 or not value.endswith(_QUOTE):
        return b""
    return _unescaped(value[1:-1])


def _unescaped(text: bytes) -> bytes:
    """Only a quote and a backslash may be escaped, and must be; anything else is no string."""
    if _ESCAPE not in text:
        return b"" if _QUOTE in text else text
    found = bytearray()
    characters = iter(text)
    for character in characters:
        if character == _QUOTE[0]:
            return b""
        if character == _ESCAPE[0]:
            character = next(characters, 0)
            if character not in (_QUOTE[0], _ESCAPE[0]):
                return b""
        found.append(character)
    return bytes(found)
