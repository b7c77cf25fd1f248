"""The gateway as a raw ASGI application: routes and the rules of HTTP, around the intake.

No framework: on `POST /webhook/{source}` one would cost more than everything else together.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from pipeline import limits
from pipeline.clock import US_PER_S, Clock
from pipeline.config.schema import Config
from pipeline.delivery import Delivery
from pipeline.stages.gateway.answer import JSON, Answer, Header
from pipeline.stages.gateway.batch import Batches
from pipeline.stages.gateway.breaker import Circuit
from pipeline.stages.gateway.commit import Commit, CommitFailedError
from pipeline.stages.gateway.committer import Committer
from pipeline.stages.gateway.counters import Counters, Family, exposition, families, gauge
from pipeline.stages.gateway.exchange import Exchange
from pipeline.stages.gateway.health import Health
from pipeline.stages.gateway.intake import Intake, Taken
from pipeline.stages.gateway.journal import Journal
from pipeline.stages.gateway.parse import Instruments
from pipeline.stages.gateway.problem import Problem, problem
from pipeline.stages.gateway.profiles import Named
from pipeline.stages.gateway.recording import GATEWAY_RECEIVE, Recorder
from pipeline.stages.gateway.secrets import Keys
from pipeline.stages.gateway.sources import Source, open_sources
from pipeline.stages.gateway.traceparent import HEADER as TRACEPARENT
from pipeline.storage.space import Level, Space

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Take = Callable[[Source, Named, bytes], Taken]
Opened = tuple[Source, Take, Named]

WEBHOOK = "/webhook/"
BATCH = "/batch"
_LENGTH, _TRANSFER, _ENCODING = b"content-length", b"transfer-encoding", b"content-encoding"
_ONCE = (_LENGTH, _TRANSFER, _ENCODING)
"""Headers that say two things when given twice; which one a proxy before us believed is unknown."""
_MAX_LENGTH_DIGITS = 15
_IDENTITY = b"identity"
_UNUSUAL = frozenset((_TRANSFER, _ENCODING, b"upgrade", b"expect"))
"""Headers that mean more work than to read a body."""

_RETRY_S = 1
_UPGRADE = problem(
    Problem.MALFORMED_REQUEST, "upgrade: not served with a body; post it as plain HTTP/1.1", field="upgrade"
).closing()
_NOT_FOUND = problem(Problem.NOT_FOUND, "no such path; events go to POST /webhook/{source}")
_POST_ONLY = problem(
    Problem.METHOD_NOT_ALLOWED, "events are posted; allowed: POST", headers=[(b"allow", b"POST")]
)
_GET_ONLY = problem(Problem.METHOD_NOT_ALLOWED, "allowed: GET, HEAD", headers=[(b"allow", b"GET, HEAD")])
_LENGTH_REQUIRED = problem(Problem.LENGTH_REQUIRED, "Content-Length: missing")
_ENCODED = problem(
    Problem.ENCODED_BODY,
    "Content-Encoding: only identity, the body as it is, can be verified",
    headers=[(b"accept-encoding", b"identity")],
)
_ELSEWHERE = problem(Problem.FORBIDDEN_ADDRESS, "the sender's address is not one of this source's")
_NO_SPACE = problem(
    Problem.JOURNAL_FULL, "journal: no space left on the disk", retry_after_s=limits.JOURNAL_FULL_RETRY_S
)
_LATE = problem(Problem.JOURNAL_SLOW, "not on disk yet; a repeat is told when it is", retry_after_s=_RETRY_S)
_CROWDED = problem(
    Problem.TOO_MANY_CONNECTIONS, "the gateway has as many as it serves", retry_after_s=_RETRY_S
).closing()
_PARTIAL = problem(
    Problem.TOO_MANY_PENDING, "too many bodies are arriving in pieces", retry_after_s=_RETRY_S
).closing()
_ALIVE = Answer(200, b'{"status":"alive"}', [JSON])
_READY = Answer(200, b'{"status":"ready"}', [JSON])
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


class GatewayApp:
    """`POST /webhook/{source}`, `POST /webhook/{source}/batch`, `GET /healthz`, `/readyz`, `/metrics`.

    Needs a running event loop with its first event. `drain()` first, then stop the server, then
    `await committer.close()`.
    """

    def __init__(
        self,
        config: Config,
        *,
        journal: Journal,
        instruments: Instruments,
        secrets: Mapping[str, Keys],
        dispatch: Callable[[list[Delivery]], None],
        recorder: Recorder,
        clock: Clock,
        space: Callable[[], Space] | None = None,
    ) -> None:
        """`dispatch` gets newly synced deliveries in journal order; `secrets` are by source
        (`secrets.load_secrets`); `space` tells the room on the journal's disk."""
        self._space = space
        self.counters = Counters()
        self.health = Health(clock)
        self.committer = Committer(
            journal, dispatch, recorder, clock, self.health.fail, config.gateway.breaker
        )
        self._journal = journal
        self._clock = clock
        self._now_ns = clock.monotonic_ns
        self._record = recorder.record
        self._max_body_bytes = config.gateway.max_body_bytes
        self._partial_bytes = 0
        intake = Intake(
            journal,
            self.committer,
            instruments,
            self.health,
            self.counters,
            recorder,
            clock,
            config.gateway.max_pending,
            config.gateway.max_candle_ahead_s,
        )
        self._take = intake.take
        self._take_batch = Batches(intake, self.committer, clock, config.gateway.max_batch_events).take
        found = open_sources(config, secrets)
        self._sources = {WEBHOOK + name: source for name, source in found.items() if not source.path_tokens}
        self._batches = {path + BATCH: source for path, source in self._sources.items()}
        self._straight: dict[bytes, tuple[Source, Take]] = {}
        """Paths of sources of which nothing but the headers has to be looked at before the body."""
        for paths, take in ((self._sources, self._take), (self._batches, self._take_batch)):
            for path, source in paths.items():
                if source.senders is None and not source.answer_ms:
                    self._straight[path.encode()] = (source, take)
        self._closed_paths = {name: source for name, source in found.items() if source.path_tokens}
        self._once = {name: frozenset((*_ONCE, *source.profile.headers)) for name, source in found.items()}
        self._pages: dict[str, Callable[[], Answer]] = {
            "/healthz": lambda: _ALIVE,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started_ns = self._now_ns()
        posted = scope["method"] == "POST"
        take: Take = self._take
        source = self._sources.get(scope["path"]) if posted else None
        if source is None and posted:
            source, take = self._by_path(scope["path"])
        if source is None:
            answer: Answer | None = self._elsewhere(scope["method"], scope["path"])
        else:
            named = dict(scope["headers"])
            answer = self._refusal(source, named, scope) or await self._posted(take, source, named, receive)
        if answer is None:
            return
        self.counters.requests[answer.status] += 1
        await send(answer.head)
        await send(answer.body)
        if answer.status == 202:
            self._record(GATEWAY_RECEIVE, self._now_ns() - started_ns)

    def opened(self, url: bytes, headers: list[Header]) -> Opened | None:
        """What `posted` needs of a request without anything unusual about it; None for any other."""
        if url not in self._straight:
            return None
        named = dict(headers)
        length = named.get(_LENGTH, b"")
        if not _UNUSUAL.isdisjoint(named) or len(named) != len(headers) or not length.isdigit():
            return None
        return self.addressed(url, named, int(length)) if len(length) <= _MAX_LENGTH_DIGITS else None

    def addressed(self, url: bytes, named: Named, body_bytes: int) -> Opened | None:
        """The same of headers that are known to be usual and given once each."""
        found = self._straight.get(url)
        if found is None or body_bytes > self._max_body_bytes:
            return None
        return (*found, named)

    def posted(self, exchange: Exchange, opened: Opened, body: bytes) -> None:
        """A complete request: answered at once, or when what it brought is on disk."""
        started_ns = self._now_ns()
        source, take, named = opened
        answer, on_disk = take(source, named, body)
        if on_disk is None:
            self._reply(exchange, answer, started_ns)
        else:
            on_disk.then(partial(self._reply, exchange, answer, started_ns))

    def _reply(
        self, exchange: Exchange, answer: Answer, started_ns: int, commit: Commit | None = None
    ) -> None:
        if commit is not None and commit.error is not None:
            answer = self.health.refusal or _NO_SPACE
        status = answer.status
        self.counters.requests[status] += 1
        exchange.reply(answer)
        if status == 202:
            self._record(GATEWAY_RECEIVE, self._now_ns() - started_ns)

    async def crowded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves connections above the limit."""
        del scope, receive
        self.counters.requests[_CROWDED.status] += 1
        await send(_CROWDED.head)
        await send(_CROWDED.body)

    def drain(self) -> None:
        """Takes no more events; what was accepted is still synced, dispatched and answered."""
        self.health.drain()

    # ---- POST /webhook/{source} -------------------------------------------------------------------------

    def _by_path(self, path: str) -> tuple[Source | None, Take]:
        """The source behind a path that is not simply its name."""
        if (source := self._batches.get(path)) is not None:
            return source, self._take_batch
        name, _, token = path.removeprefix(WEBHOOK).partition("/")
        source = self._closed_paths.get(name)
        if source is not None and path.startswith(WEBHOOK):
            given = token.encode("utf-8", "surrogateescape")
            if any([known.is_token(given) for known in source.path_tokens]):  # noqa: C419 - all of them
                return source, self._take
        return None, self._take

    def _refusal(self, source: Source, named: dict[bytes, bytes], scope: Scope) -> Answer | None:
        """What can be said before the body is read."""
        if source.senders is not None:
            client = scope.get("client")
            if not source.senders.admits(client[0] if client else None, scope["headers"]):
                return _ELSEWHERE
        if len(named) != len(scope["headers"]):
            if twice := _given_twice(scope["headers"], self._once[source.name]):
                return problem(Problem.MALFORMED_REQUEST, f"{twice}: given twice", field=twice)
            if sum(name == TRACEPARENT for name, _ in scope["headers"]) > 1:
                del named[TRACEPARENT]
        if named.get(_ENCODING, _IDENTITY).lower() != _IDENTITY:
            return _ENCODED
        if b"upgrade" in named and b"upgrade" in named.get(b"connection", b"").lower():
            return _UPGRADE  # the parser takes the body for the other protocol's bytes
        length = named.get(_LENGTH)
        if length is None:
            return _LENGTH_REQUIRED
        if not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS or _TRANSFER in named:
            detail = "content-length: expected digits, and no transfer-encoding beside it"
            return problem(Problem.MALFORMED_REQUEST, detail, field="content-length")
        if int(length) > self._max_body_bytes:
            return self._too_large(int(length))
        return None

    async def _posted(self, take: Take, source: Source, named: Named, receive: Receive) -> Answer | None:
        """The answer to a request whose body is awaited; None if its sender went away."""
        message = await receive()
        if message["type"] != "http.request":
            return None
        body: bytes | Answer | None = message.get("body", b"")
        if message.get("more_body"):
            body = await self._collected(message, receive)
        if type(body) is not bytes:
            return body  # type: ignore[return-value]
        answer, on_disk = take(source, named, body)
        if on_disk is not None:
            if source.answer_ms and not await _done_within(on_disk, source.answer_ms):
                return _LATE
            try:
                await on_disk
            except CommitFailedError:
                return self.health.refusal or _NO_SPACE
        return answer

    async def _collected(self, message: dict[str, Any], receive: Receive) -> bytes | Answer | None:
        """A body that arrives in pieces; bounded for itself and together with all others."""
        pieces: list[bytes] = []
        held = 0
        try:
            while True:
                piece = message.get("body", b"")
                pieces.append(piece)
                held += len(piece)
                self._partial_bytes += len(piece)
                if held > self._max_body_bytes:
                    return self._too_large(held)
                if self._partial_bytes > limits.MAX_PARTIAL_BYTES:
                    return _PARTIAL
                if not message.get("more_body"):
                    return b"".join(pieces)
                message = await receive()
                if message["type"] != "http.request":
                    return None
        finally:
            self._partial_bytes -= held

    def _too_large(self, size: int) -> Answer:
        detail = f"{size} bytes or more; the limit is {self._max_body_bytes}"
        answer = problem(Problem.BODY_TOO_LARGE, detail)
        return answer.closing() if size > limits.MAX_DISCARD_BYTES else answer

    # ---- everything else --------------------------------------------------------------------------------

    def _elsewhere(self, method: str, path: str) -> Answer:
        page = self._pages.get(path)
        if page is not None:
            return page() if method in ("GET", "HEAD") else _GET_ONLY
        if path.startswith(WEBHOOK) and method != "POST":
            return _POST_ONLY
        return _NOT_FOUND

    def _readyz(self) -> Answer:
        reason = self.health.unready()
        if reason:
            return problem(Problem.NOT_READY, reason, retry_after_s=_RETRY_S)
        stopped = self.health.stopped
        if not stopped:
            return _READY
        some = dict(itertools.islice(stopped.items(), limits.MAX_NAMED_KEYS))
        facts = {"status": "ready", "stopped": some, "stopped_keys": len(stopped)}
        return Answer(200, msgspec.json.encode(facts), [JSON])

    def _metrics(self) -> Answer:
        return Answer(200, exposition([*families(self.counters), *self._gauges()]), [_TEXT])

    def _gauges(self) -> Iterator[Family]:
        journal = self._journal
        oldest_us = journal.oldest_accepted_us
        age_us = 0 if oldest_us is None else max(0, self._clock.wall_us() - oldest_us)
        yield gauge("pending", "Requests that wait for the journal.", self.committer.pending)
        yield gauge("partial_bytes", "Bodies that arrive in pieces, together.", self._partial_bytes)
        yield gauge("journal_depth", "Deliveries not settled.", journal.depth)
        yield gauge("journal_bytes", "Size of the journal.", journal.bytes_used)
        if self._space is not None:
            room = self._space()
            yield gauge("disk_free_bytes", "Free space where the data folder is.", room.free_bytes)
            yield gauge("disk_low", "1 while there is less than space.warn_bytes.", room.level > Level.PLENTY)
        yield gauge("oldest_unsettled_seconds", "Age of the oldest unsettled event.", age_us / US_PER_S)
        yield gauge("stopped_keys", "Keys that the audit lacks settled rows of.", len(self.health.stopped))
        closed = self.committer.breaker.state is Circuit.CLOSED
        yield gauge("circuit_closed", "1 while events pass the circuit breaker freely.", closed)
        yield gauge("ready", "1 while the gateway should be sent events.", not self.health.unready())


async def _done_within(on_disk: Commit, within_ms: int) -> bool:
    """Whether it is done, well or not, in time."""
    done, _ = await asyncio.wait((on_disk.future(),), timeout=within_ms / 1000)
    return bool(done)


def _given_twice(headers: Sequence[Header], once: frozenset[bytes]) -> str:
    """The first header that may be given once only and was not, else empty."""
    names = [name for name, _ in headers]
    return next((name.decode("ascii") for name in names if name in once and names.count(name) > 1), "")
