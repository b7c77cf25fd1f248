"""Many events in one request: `POST /webhook/{source}/batch` with a JSON array of them.

One signature over the whole body, one commit, a result each, in the order they were sent:

    202  every event is accepted, now or before
    207  not every one: each result has its own status; what has 503 is to be sent again (Retry-After)
    503  none of them, for now

The i-th event is known as `{id of the batch}.{i}`, a name that no single event can have: so a batch may be
repeated as a whole until all of it is in, also with those events put right that were refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pipeline import limits
from pipeline.clock import Clock
from pipeline.delivery import Delivery
from pipeline.stages.gateway.answer import JSON, Answer
from pipeline.stages.gateway.commit import Commit
from pipeline.stages.gateway.committer import Committer
from pipeline.stages.gateway.intake import Intake, Taken, fault, fingerprint_of, receipt, traceparent_of
from pipeline.stages.gateway.journal import Accepted
from pipeline.stages.gateway.parse import MalformedEventError, key_of, scan
from pipeline.stages.gateway.problem import Problem, problem
from pipeline.stages.gateway.profiles import Named, Verified
from pipeline.stages.gateway.sources import Source

_SUFFIX_CHARS = len(f".{limits.MAX_BATCH_EVENTS - 1}")
_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
Result = dict[str, Any]


class _Progress:
    """What one batch has come to so far."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.deliveries: list[Delivery] = []
        self.jno = self.events = 0
        self.unsynced = False
        """A repeat waits for an event that is not on disk yet."""

    def accepted(self, event: Accepted, key: str | None) -> None:
        self.jno = event.jno
        self.events += 1
        self.deliveries += event.deliveries
        self.results.append({"status": 202, **_members(receipt(event, key))})

    def refused(self, answer: Answer) -> None:
        self.results.append(msgspec.json.decode(answer.content))


class Batches:
    """Takes batches whose headers and body are complete."""

    def __init__(self, intake: Intake, committer: Committer, clock: Clock, max_events: int) -> None:
        self._intake = intake
        self._committer = committer
        self._now_ns = clock.monotonic_ns
        self._max_events = max_events

    def take(self, source: Source, named: Named, body: bytes) -> Taken:
        """All events of one batch."""
        verified = self._intake.verified(source, named, body)
        if isinstance(verified, Answer):
            return verified, None
        identity = verified.identity
        if len(identity) > limits.MAX_WEBHOOK_ID_CHARS - _SUFFIX_CHARS:
            name = source.profile.id_name
            most = limits.MAX_WEBHOOK_ID_CHARS - _SUFFIX_CHARS
            detail = f"{name}: {len(identity)} characters; the limit of a batch is {most}"
            return problem(Problem.MALFORMED_REQUEST, detail, field=name), None
        events = self._events(source, body)
        if isinstance(events, Answer):
            return events, None
        if source.limit is None:
            return self._taken(source, verified, named, events)
        allowance = source.limit.take(self._now_ns(), len(events))
        if not allowance.allowed:
            return source.limit.refusal(allowance), None
        answer, on_disk = self._taken(source, verified, named, events)
        return answer.saying(source.limit.headers(allowance)), on_disk

    def _events(self, source: Source, body: bytes) -> Sequence[msgspec.Raw] | Answer:
        """The events as they were written; at least one and no more than may be taken at once."""
        try:
            events = _decode(body)
        except (msgspec.ValidationError, UnicodeDecodeError, RecursionError, msgspec.DecodeError):
            return _no_array(body)
        most = self._max_events if source.limit is None else min(self._max_events, source.limit.burst)
        if not events:
            return problem(Problem.UNACCEPTABLE_EVENT, "body: an empty batch", field="body")
        if len(events) > most:
            detail = f"{len(events)} events; the limit is {most}"
            return problem(Problem.BATCH_TOO_LARGE, detail)
        return events

    def _taken(
        self, source: Source, verified: Verified, named: Named, events: Sequence[msgspec.Raw]
    ) -> Taken:
        progress = _Progress()
        traceparent = traceparent_of(named)
        for index, event in enumerate(events):
            self._one(progress, source, verified, index, bytes(event), traceparent)
        return _answer(progress.results), self._on_disk(progress)

    def _one(
        self,
        progress: _Progress,
        source: Source,
        verified: Verified,
        index: int,
        body: bytes,
        traceparent: str,
    ) -> None:
        identity = f"{verified.identity}.{index}"
        fingerprint = fingerprint_of(body)
        known = self._intake.known(source, identity, fingerprint)
        if isinstance(known, Answer):
            progress.refused(known)
        elif known is not None:
            progress.unsynced |= not known.synced
            result = {"status": 202, **_members(receipt(known, key_of(body))), "replayed": True}
            progress.results.append(result)
        else:
            found = self._intake.first(source, verified, identity, fingerprint, body, traceparent, index)
            if isinstance(found, Answer):
                progress.refused(found)
            else:
                progress.accepted(*found)

    def _on_disk(self, progress: _Progress) -> Commit | None:
        if progress.jno:
            return self._committer.add(progress.jno, progress.deliveries, progress.events)
        return self._committer.barrier() if progress.unsynced else None


def _answer(results: list[Result]) -> Answer:
    """One status where all results have it and it says so much, else 207."""
    statuses = {result["status"] for result in results}
    status = statuses.pop() if statuses in ({202}, {503}) else 207
    pause_s = max(result.get("retry_after_s", 0) for result in results)
    headers = [JSON, (b"retry-after", b"%d" % pause_s)] if pause_s else [JSON]
    return Answer(status, _encode({"results": results}), headers)


def _members(found: Any) -> Result:
    return {name: getattr(found, name) for name in ("event_id", "key")}


def _no_array(body: bytes) -> Answer:
    try:
        document = scan(body)
    except MalformedEventError as error:
        return fault(error)
    detail = f"body: expected an array of events, got {type(document).__name__}"
    return problem(Problem.UNACCEPTABLE_EVENT, detail, field="body")
