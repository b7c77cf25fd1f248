"""From a request's bytes to a journalled event, in the order that makes each answer true.

    verify raw bytes (401) → known id? (replay or 422) → parse (400, 422) → journal (503) → sync → 202

All but the sync happens in one go on the event loop, so between "known id?" and "journal" no other
request can slip in: the journal alone decides what is a duplicate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256

import msgspec
from msgspec import Struct

from pipeline.clock import US_PER_S, Clock
from pipeline.errors import InvalidEventError, RinglineError
from pipeline.signing import Secret, SignatureError, verify
from pipeline.stages.gateway.answer import JSON, Answer
from pipeline.stages.gateway.committer import Committer
from pipeline.stages.gateway.counters import Counters
from pipeline.stages.gateway.health import Health
from pipeline.stages.gateway.journal import Accepted, Journal, Known
from pipeline.stages.gateway.parse import Instruments, MalformedEventError, Parser, key_of
from pipeline.stages.gateway.problem import Problem, problem
from pipeline.stages.gateway.recording import IDEMPOTENCY_CHECK, SIGNATURE_CHECK, Recorder

Taken = tuple[Answer, asyncio.Future[None] | None]
"""The answer to give, and what has to be on disk before it may be given."""

_FINGERPRINT_BYTES = 16
"""128 bits of SHA-256: enough that no two bodies are taken for one, by accident or on purpose."""
_PENDING_RETRY_S = 1
_REPLAYED = (b"idempotent-replayed", b"true")
_CHALLENGE = (b"www-authenticate", b"StandardWebhooks")


class Receipt(Struct, frozen=True):
    """The body of a 202. A control event has no key of its own. Nothing here
    that a repeat, maybe after a restart, could not be told again."""

    event_id: str
    status: str
    key: str | None


class SourceKeys(Struct, frozen=True):
    """A source as the intake sees it."""

    name: str
    secrets: Sequence[Secret]
    tolerance_s: int


class Intake:
    """Takes requests whose headers and body are complete."""

    def __init__(
        self,
        journal: Journal,
        committer: Committer,
        instruments: Instruments,
        health: Health,
        counters: Counters,
        recorder: Recorder,
        clock: Clock,
        max_pending: int,
    ) -> None:
        self._lookup = journal.lookup
        self._accept = journal.accept
        self._committer = committer
        self._parse = Parser(instruments).parse
        self._health = health
        self._counters = counters
        self._record = recorder.record
        self._now_ns = clock.monotonic_ns
        self._wall_us = clock.wall_us
        self._max_pending = max_pending
        self._crowded = problem(
            Problem.TOO_MANY_PENDING,
            f"{max_pending} requests wait for the journal, which is the limit",
            retry_after_s=_PENDING_RETRY_S,
        )

    def take(
        self, source: SourceKeys, webhook_id: bytes, timestamp: bytes, signature: bytes, body: bytes
    ) -> Taken:
        """The first three are the raw values of the Standard Webhooks headers, empty where missing."""
        if self._health.refusal is not None:
            return self._health.refusal, None
        if self._committer.pending >= self._max_pending:
            return self._crowded, None
        started_ns = self._now_ns()
        try:
            secret = verify(
                source.secrets,
                webhook_id,
                timestamp,
                signature,
                body,
                now_s=self._wall_us() // US_PER_S,
                tolerance_s=source.tolerance_s,
            )
        except SignatureError as error:
            return problem(Problem.BAD_SIGNATURE, str(error), field=error.header, headers=[_CHALLENGE]), None
        verified_ns = self._now_ns()
        self._record(SIGNATURE_CHECK, verified_ns - started_ns)
        self._counters.signatures[source.name, secret.name] += 1
        identity = webhook_id.decode("ascii")
        fingerprint = sha256(body).digest()[:_FINGERPRINT_BYTES]
        known = self._lookup(source.name, identity)
        self._record(IDEMPOTENCY_CHECK, self._now_ns() - verified_ns)
        if known is not None:
            return self._repeat(known, fingerprint, body)
        return self._first(source.name, identity, fingerprint, body)

    def _first(self, source: str, webhook_id: str, fingerprint: bytes, body: bytes) -> Taken:
        try:
            key, payload, births = self._parse(body)
        except MalformedEventError as error:
            return problem(Problem.MALFORMED_EVENT, str(error), field=error.field), None
        except InvalidEventError as error:
            return problem(Problem.UNACCEPTABLE_EVENT, str(error), field=error.field), None
        try:
            accepted = self._accept(source, webhook_id, fingerprint, key, payload, births)
        except RinglineError as error:
            return self._not_taken(error), None
        self._counters.accepted += 1
        answer = _receipt(accepted, key)
        return answer, self._committer.add(accepted.jno, accepted.deliveries)

    def _repeat(self, known: Known, fingerprint: bytes, body: bytes) -> Taken:
        """The first answer again, but never before the first event is on disk."""
        if known.fingerprint != fingerprint:
            self._counters.conflicts += 1
            detail = "webhook-id: accepted before with another body; a new event needs a new id"
            return problem(Problem.ID_REUSED, detail, field="webhook-id"), None
        self._counters.duplicates += 1
        answer = _receipt(known, key_of(body), (_REPLAYED,))
        return answer, None if known.synced else self._committer.barrier()

    def _not_taken(self, error: RinglineError) -> Answer:
        """The journal is full, or broken for good."""
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is None:
            return self._health.fail(str(error))
        return problem(Problem.JOURNAL_FULL, str(error), retry_after_s=retry_after_s)


_encode = msgspec.json.Encoder().encode


def _receipt(
    event: Accepted | Known,
    key: str | None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Answer:
    receipt = Receipt(event.event_id.hex(), "accepted", key)
    return Answer(202, _encode(receipt), (JSON, *headers))
