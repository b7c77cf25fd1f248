"""From a request's bytes to a journalled event, in the order that makes each answer true.

    verify raw bytes (401) → rate (429) → known id? (replay or 422) → parse (400, 422) → may it? (403)
    → circuit, journal (503) → sync → 202

All but the sync happens in one go on the event loop, so between "known id?" and "journal" no other
request can slip in: the journal alone decides what is a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec import Struct

from pipeline.checks import Checks, encode_checks, shortened
from pipeline.clock import NS_PER_S, US_PER_MS, US_PER_S, Clock
from pipeline.errors import InvalidEventError, RinglineError
from pipeline.messages import kind_of
from pipeline.signing import SignatureError
from pipeline.stages.gateway.answer import JSON, Answer
from pipeline.stages.gateway.breaker import Circuit
from pipeline.stages.gateway.commit import Commit
from pipeline.stages.gateway.committer import Committer
from pipeline.stages.gateway.counters import Counters
from pipeline.stages.gateway.health import Health
from pipeline.stages.gateway.journal import Accepted, Journal, Known
from pipeline.stages.gateway.parse import Instruments, MalformedEventError, Parser, key_of
from pipeline.stages.gateway.problem import Problem, problem
from pipeline.stages.gateway.profiles import KeyMissingError, Named, Verified
from pipeline.stages.gateway.recording import IDEMPOTENCY_CHECK, SIGNATURE_CHECK, Recorder
from pipeline.stages.gateway.sources import Source
from pipeline.stages.gateway.traceparent import HEADER as TRACEPARENT
from pipeline.stages.gateway.traceparent import checked

Taken = tuple[Answer, Commit | None]
"""The answer to give, and what has to be on disk before it may be given."""

_FINGERPRINT_BYTES = 16
"""128 bits of SHA-256: enough that no two bodies are taken for one, by accident or on purpose."""
_PENDING_RETRY_S = 1
_STOPPED_RETRY_S = 30
_REPLAYED = (b"idempotent-replayed", b"true")
_NO_EVENT = Answer(200, b'{"status":"nothing to take"}', [JSON])


class Receipt(Struct, frozen=True):
    """The body of a 202. A control event has no key of its own. Nothing here
    that a repeat, maybe after a restart, could not be told again."""

    event_id: str
    status: str
    key: str | None


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
        max_candle_ahead_s: int = 86_400,
    ) -> None:
        self._lookup = journal.lookup
        self._accept = journal.accept
        self._committer = committer
        self._breaker = committer.breaker
        self._parse = Parser(instruments).parse
        self._health = health
        self._counters = counters
        self._record = recorder.record
        self._now_ns = clock.monotonic_ns
        self._wall_us = clock.wall_us
        self._max_pending = max_pending
        self._ahead_us = max_candle_ahead_s * US_PER_S
        self._crowded = problem(
            Problem.TOO_MANY_PENDING,
            f"{max_pending} requests wait for the journal, which is the limit",
            retry_after_s=_PENDING_RETRY_S,
        )

    def take(self, source: Source, named: Named, body: bytes) -> Taken:
        """One event; `named` are the request's headers."""
        verified = self.verified(source, named, body)
        if isinstance(verified, Answer):
            return verified, None
        if source.limit is None:
            return self._taken(source, named, verified)
        allowance = source.limit.take(self._now_ns())
        if not allowance.allowed:
            return source.limit.refusal(allowance), None
        answer, on_disk = self._taken(source, named, verified)
        return answer.saying(source.limit.headers(allowance)), on_disk

    def verified(self, source: Source, named: Named, body: bytes) -> Verified | Answer:
        """Who sent this, or why nobody is asked."""
        if self._health.refusal is not None:
            return self._health.refusal
        if self._committer.pending >= self._max_pending:
            return self._crowded
        started_ns = self._now_ns()
        profile = source.profile
        try:
            verified = profile.verify(named, body, self._wall_us() // US_PER_S)
        except SignatureError as error:
            return problem(Problem.BAD_SIGNATURE, str(error), field=error.header, headers=[profile.challenge])
        except KeyMissingError as error:
            return problem(Problem.KEY_MISSING, str(error), field=error.header)
        except InvalidEventError as error:
            return fault(error)
        self._record(SIGNATURE_CHECK, self._now_ns() - started_ns)
        self._counters.signatures[source.name, verified.secret] += 1
        return verified

    def _taken(self, source: Source, named: Named, verified: Verified) -> Taken:
        started_ns = self._now_ns()
        identity, body = verified.identity, verified.body
        fingerprint = fingerprint_of(body)
        known = self.known(source, identity, fingerprint)
        self._record(IDEMPOTENCY_CHECK, self._now_ns() - started_ns)
        if isinstance(known, Answer):
            return known, None
        try:
            event = source.profile.event(named, body)
        except InvalidEventError as error:
            return fault(error), None
        if event is None:
            return _NO_EVENT, None
        if known is not None:  # the first answer again, but never before the first event is on disk
            again = Answer(202, _encode(receipt(known, key_of(event))), (JSON, _REPLAYED))
            return again, None if known.synced else self._committer.barrier()
        found = self.first(source, verified, identity, fingerprint, event, traceparent_of(named))
        if isinstance(found, Answer):
            return found, None
        accepted, key = found
        answer = Answer(202, _encode(receipt(accepted, key)))
        return answer, self._committer.add(accepted.jno, accepted.deliveries)

    def first(
        self,
        source: Source,
        verified: Verified,
        identity: str,
        fingerprint: bytes,
        body: bytes,
        traceparent: str,
        index: int = -1,
    ) -> tuple[Accepted, str | None] | Answer:
        """Appends an event not known yet: what the journal says, and its key. `index` is its place in a
        batch."""
        try:
            key, payload, births, time_us = self._parse(body)
        except InvalidEventError as error:
            return fault(error)
        if source.accepts is not None and (kind := kind_of(payload)) not in source.accepts:
            return _forbidden(source.name, kind, source.accepts)
        now_us = self._wall_us()
        if time_us and time_us - now_us > self._ahead_us:
            limit_s = self._ahead_us // US_PER_S
            ahead_s = (time_us - now_us) // US_PER_S
            return fault(InvalidEventError("time", f"{ahead_s} s in the future; the limit is {limit_s} s"))
        if key is not None and (why := self._health.stopped.get(key)) is not None:
            return problem(Problem.KEY_STOPPED, why, field="symbol", retry_after_s=_STOPPED_RETRY_S)
        if self._breaker.state is not Circuit.CLOSED and (refusal := self._open_circuit()):
            return refusal
        checks = checked_of(source, verified, index, now_us)
        try:
            accepted = self._accept(
                source.name, identity, fingerprint, key, payload, births, traceparent, checks
            )
        except RinglineError as error:
            return self._not_taken(error)
        if self._breaker.state is not Circuit.CLOSED:
            self._breaker.begun()
        self._counters.accepted += 1
        return accepted, key

    def known(self, source: Source, identity: str, fingerprint: bytes) -> Known | Answer | None:
        """What was accepted under `identity` before; or the answer when that was another body."""
        known = self._lookup(source.name, identity)
        if known is None:
            return None
        if known.fingerprint == fingerprint:
            self._counters.duplicates += 1
            return known
        self._counters.conflicts += 1
        id_name = source.profile.id_name
        detail = f"{id_name}: accepted before with another body; a new event needs a new id"
        return problem(Problem.ID_REUSED, detail, field=id_name)

    def _open_circuit(self) -> Answer | None:
        wait_ns = self._breaker.refusal(self._now_ns())
        if not wait_ns:
            return None
        detail = "its commits fail or are slow; a few events are let through after a pause"
        return problem(Problem.CIRCUIT_OPEN, detail, retry_after_s=-(-wait_ns // NS_PER_S))

    def _not_taken(self, error: RinglineError) -> Answer:
        """The journal is full, or broken for good."""
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is None:
            return self._health.fail(str(error))
        return problem(Problem.JOURNAL_FULL, str(error), retry_after_s=retry_after_s)


_encode = msgspec.json.Encoder().encode


def receipt(event: Accepted | Known, key: str | None) -> Receipt:
    """What an accepted event is told, the first time and every time."""
    return Receipt(event.event_id.hex(), "accepted", key)


def fault(error: InvalidEventError) -> Answer:
    """A body that is no event."""
    kind = Problem.MALFORMED_EVENT if isinstance(error, MalformedEventError) else Problem.UNACCEPTABLE_EVENT
    return problem(kind, str(error), field=error.field)


def _forbidden(source: str, kind: str, accepts: Iterable[str]) -> Answer:
    """An event that its source is not trusted with."""
    allowed = ", ".join(sorted(accepts))
    detail = f"type: {kind} is not accepted of source {source}; allowed: {allowed}"
    return problem(Problem.FORBIDDEN_EVENT, detail, field="type")


def checked_of(source: Source, verified: Verified, index: int, now_us: int) -> bytes:
    """What is kept of an event's checks."""
    _, secret, _, named_by, signed_s, posted_bytes = verified
    age_ms = (now_us - signed_s * US_PER_S) // US_PER_MS if signed_s else None
    name, by = shortened(secret), shortened(named_by)
    return encode_checks(Checks(source.profile.name, name, by, posted_bytes, index, source.gates, age_ms))


def traceparent_of(named: Named) -> str:
    """The request's trace context, empty when it has none."""
    given = named.get(TRACEPARENT)
    return "" if given is None else checked(given)


def fingerprint_of(body: bytes) -> bytes:
    """What tells one body from another."""
    return sha256(body).digest()[:_FINGERPRINT_BYTES]
