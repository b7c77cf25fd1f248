"""What is asked by plain HTTP: rows, an event's story, counts, sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipeline.errors import RinglineError
from pipeline.messages import Outcome
from pipeline.stages.feed.cursor import make_cursor, read_cursor
from pipeline.stages.feed.manifest import Manifest, Manifests
from pipeline.stages.feed.readers import Readers
from pipeline.stages.feed.tail import Render, Tail
from pipeline.stages.feed.wanted import ParameterError, page_wanted, parameters
from pipeline.stages.gateway.answer import JSON, Answer, Header
from pipeline.stages.gateway.problem import Problem, problem
from pipeline.storage.audit.query import FIRST
from pipeline.storage.audit.reader import AuditReader
from pipeline.storage.audit.rows import AuditRow

_NO_STORE: Header = (b"cache-control", b"no-store")
_encode = msgspec.json.Encoder().encode
_EVENTS, _MANIFESTS = "/v1/events/", "/v1/feed/manifests/"
_SHOWN_SESSIONS = 100
_PATHS = "/v1/rows, /v1/events/{event_id}, /v1/outcomes, /v1/head, /v1/feed, /v1/feed/sessions, /healthz"


class Pages:
    """`live` tells of the sessions that go on."""

    def __init__(
        self,
        readers: Readers,
        tail: Tail,
        manifests: Manifests,
        render: Render,
        live: Callable[[], Sequence[Manifest]],
    ) -> None:
        self._readers = readers
        self._tail = tail
        self._manifests = manifests
        self._render = render
        self._live = live
        self._outcomes: dict[str, int] = {}
        self._counted = 0

    async def answer(self, path: str, query_string: bytes) -> Answer:
        """Raises RinglineError, of which UsageError is the asker's."""
        if path == "/v1/rows":
            return await self._rows(query_string)
        parameters(query_string, ())
        if path == "/v1/head":
            return await self._head()
        if path == "/v1/outcomes":
            return await self._count()
        if path == "/v1/feed/sessions":
            return self._sessions()
        if path.startswith(_EVENTS):
            return await self._event(path.removeprefix(_EVENTS))
        if path.startswith(_MANIFESTS):
            return self._manifest(path.removeprefix(_MANIFESTS))
        return problem(Problem.NOT_FOUND, f"no such path; here are {_PATHS}")

    async def health(self) -> Answer:
        """Whether the audit can be read."""
        try:
            head = (await self._readers.run(AuditReader.head)).seq
        except RinglineError:  # what is wrong may name hosts and files: that is for who may read
            return problem(Problem.AUDIT_AWAY, "the audit cannot be read", retry_after_s=5)
        return _json({"status": "alive", "head": head, "clients": len(self._live())})

    async def _rows(self, query_string: bytes) -> Answer:
        wanted = page_wanted(query_string)
        try:
            place = read_cursor(wanted.cursor, wanted.query) if wanted.cursor else FIRST
        except RinglineError as error:
            raise ParameterError("cursor", str(error).removeprefix("cursor")) from None
        found, texts = await self._readers.run(lambda reader: self._read(reader, wanted, place))
        following = make_cursor(wanted.query, found.place) if found.more else None
        rest = _encode({"next": following})[1:]
        return Answer(200, b'{"rows":[' + ",".join(texts).encode() + b"]," + rest, (JSON, _NO_STORE))

    def _read(self, reader: AuditReader, wanted: Any, place: int) -> tuple[Any, list[str]]:
        """In a reader's thread: finding, and making JSON of what was found."""
        found = reader.find(wanted.query, place, wanted.limit)
        return found, [self._render(row) for row in found.rows]

    async def _event(self, text: str) -> Answer:
        try:
            event_id = bytes.fromhex(text)
        except ValueError:
            event_id = b""
        if len(event_id) != 16 or len(text) != 32:
            raise ParameterError("event_id", f" = {text[:64]!r}: expected 32 hexadecimal digits")
        texts: list[str] = await self._readers.run(
            lambda reader: [self._render(row) for row in _whole(reader.by_event_id(event_id))]
        )
        if not texts:
            detail = f"event_id = {text}: is not audited (one accepted a moment ago may be soon)"
            first = await self._readers.run(lambda reader: reader.first())
            if first > 1:
                detail += f"; rows up to {first - 1} were pruned into archives"
            return problem(Problem.NOT_FOUND, detail, field="event_id")
        return Answer(200, b'{"rows":[' + ",".join(texts).encode() + b"]}", (JSON, _NO_STORE))

    async def _head(self) -> Answer:
        head, first = await self._readers.run(lambda reader: (reader.head(), reader.first()))
        return _json({"seq": head.seq, "hash": head.h.hex(), "first": first})

    async def _count(self) -> Answer:
        """Only what came since the last time is counted."""
        counted = self._counted
        head, fresh = await self._readers.run(lambda reader: _outcomes(reader, counted))
        if counted == self._counted:
            for outcome, count in fresh.items():
                self._outcomes[outcome] = self._outcomes.get(outcome, 0) + count
            self._counted = head
        every = {str(outcome): self._outcomes.get(outcome, 0) for outcome in Outcome}
        return _json({"head": self._counted, "outcomes": every})

    def _sessions(self) -> Answer:
        return _json({"live": list(self._live()), "past": self._manifests.names(_SHOWN_SESSIONS)})

    def _manifest(self, session: str) -> Answer:
        live = next((one for one in self._live() if one.session == session), None)
        found = live or self._manifests.find(session)
        if found is None:
            return problem(Problem.NOT_FOUND, f"session = {session[:64]!r}: there is no manifest of it")
        return _json(found)


def _outcomes(reader: AuditReader, after: int) -> tuple[int, dict[str, int]]:
    head = reader.head().seq
    return head, reader.outcomes_between(after, head)


def _whole(rows: list[AuditRow]) -> list[AuditRow]:
    """The rows of one event in the order of the chain."""
    return sorted(rows, key=lambda row: row.seq)


def _json(value: Any) -> Answer:
    return Answer(200, _encode(value), (JSON, _NO_STORE))
