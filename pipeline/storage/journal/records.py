"""The bodies of the journal's records, as msgpack arrays; a field is only ever appended, with a default."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from pipeline.storage.journal.layout import WORD

ID_BYTES = 16
"""Of an event_id, of an identity in the index, and of a fingerprint: no collision by accident or intent."""


class Inherited(Struct, frozen=True, array_like=True, gc=False):
    """A control event in force, as keys first seen later begin with it."""

    event_id: bytes
    source: str
    webhook_id: str
    payload: bytes
    traceparent: str = ""
    checks: bytes = b""


class Part(Struct, array_like=True, gc=False):
    """An event as one key has it. `born` is set where a new key begins under a control in force."""

    key: str
    key_seq: int
    fate: int = 0
    born: Inherited | None = None


class EventRecord(Struct, array_like=True, gc=False):
    """One accepted event with all its parts.

    `jno` is 0 in the first record of an event (its own sequence is the number) and the first number in a
    record that was carried forward. `births` is what a control event sets: by aspect, the payload that
    new keys begin with, empty to end it.
    """

    jno: int
    accepted_us: int
    fingerprint: bytes
    source: str
    webhook_id: str
    payload: bytes
    parts: list[Part]
    births: dict[str, bytes] | None = None
    traceparent: str = ""
    checks: bytes = b""


class FateRecord(Struct, array_like=True, gc=False):
    key: str
    key_seq: int
    fate: int


class KeysRecord(Struct, array_like=True, gc=False):
    """Of each key: name, last key_seq given, last key_seq settled."""

    keys: list[tuple[str, int, int]]


class BaseRecord(Struct, array_like=True, gc=False):
    """Segments below `first_segment` are gone; this is what was known only there."""

    first_segment: int
    accepted_us: int
    births: dict[str, Inherited]


encode = msgspec.msgpack.Encoder().encode
decode_event = msgspec.msgpack.Decoder(EventRecord).decode
decode_fate = msgspec.msgpack.Decoder(FateRecord).decode
decode_keys = msgspec.msgpack.Decoder(KeysRecord).decode
decode_base = msgspec.msgpack.Decoder(BaseRecord).decode


def identity_hash(source: str, webhook_id: str) -> hashlib._Hash:
    """Started with source and webhook-id: its digest now is the identity, with a number the event_id."""
    name, identity = source.encode(), webhook_id.encode()
    return hashlib.sha256(b"%d,%d;%b%b" % (len(name), len(identity), name, identity))


def identity(source: str, webhook_id: str) -> bytes:
    """What the index knows an event by."""
    return identity_hash(source, webhook_id).digest()[:ID_BYTES]


def event_id(source: str, webhook_id: str, jno: int) -> bytes:
    """Hash of source, webhook-id and first journal number."""
    return event_id_from(identity_hash(source, webhook_id), jno)


def event_id_from(started: hashlib._Hash, jno: int) -> bytes:
    """The same from an `identity_hash`, which is used up."""
    started.update(WORD.pack(jno))
    return started.digest()[:ID_BYTES]
