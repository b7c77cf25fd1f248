"""Stories of an audit that is somewhere else, as its feed serves them over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.errors import RinglineError
from pipeline.stages.story import Story

if TYPE_CHECKING:
    from pipeline.cli.feed_client import FeedClient
    from pipeline.config import Config

EVENT_ID_CHARS = 32
"""16 bytes in hexadecimal."""


class _Page(Struct):
    rows: list[Story]
    next: str | None = None


class _Head(Struct):
    first: int


_Answer = TypeVar("_Answer", _Page, _Head)


class RemoteAudit:
    """Reads through the query API. Raises MissingError when nobody answers, RinglineError with the feed's own
    words when it refuses."""

    def __init__(self, client: FeedClient) -> None:
        self._client = client

    @classmethod
    def at(cls, config: Config, url: str, token_env: str | None) -> RemoteAudit:
        """Of the feed at `url`, with the token that the configuration or `token_env` names."""
        from pipeline.cli.feed_client import FeedClient  # brings a WebSocket library along

        return cls(FeedClient(config, url, token_env))

    def rows(
        self,
        *,
        key: str | None = None,
        outcome: str | None = None,
        since: str | None = None,
        after: int = 0,
        limit: int = limits.MAX_QUERY_ROWS,
        newest_first: bool = False,
    ) -> list[Story]:
        """As `AuditReader.rows` finds them; `since` is RFC 3339 text."""
        order = "desc" if newest_first else "asc"
        asked = {"key": key, "outcome": outcome, "since": since, "after": after or None, "order": order}
        return self._all({name: value for name, value in asked.items() if value is not None}, limit)

    def of_event(self, identity: str) -> list[Story]:
        """All rows of an event, by its event id or its webhook-id; none where it is not audited."""
        found: list[Story] = []
        if event_id_of(identity):
            found = self._all({"event_id": identity}, limits.MAX_QUERY_ROWS)
        return found or self._all({"webhook_id": identity}, limits.MAX_QUERY_ROWS)

    def first(self) -> int:
        """The number from which on every row is there; what was before was pruned."""
        return self._decoded("/v1/head", _Head).first

    def _all(self, asked: dict[str, object], limit: int) -> list[Story]:
        found: list[Story] = []
        for page in self._pages(asked, limit):
            found += page
        return found[:limit]

    def _pages(self, asked: dict[str, object], limit: int) -> Iterator[list[Story]]:
        left, cursor = limit, None
        while left > 0:
            more = {"limit": min(left, limits.MAX_PAGE_ROWS)} | ({"cursor": cursor} if cursor else {})
            page = self._decoded(f"/v1/rows?{urlencode(asked | more)}", _Page)
            yield page.rows
            left -= len(page.rows)
            cursor = page.next
            if cursor is None:
                return

    def _decoded(self, path: str, kind: type[_Answer]) -> _Answer:
        answer = self._client.get(path)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RinglineError(f"GET {path}: no rows of an audit: {error}") from None


def event_id_of(identity: str) -> bytes:
    """The event id that `identity` is in hexadecimal; empty for one that is a webhook-id only."""
    try:
        return bytes.fromhex(identity) if len(identity) == EVENT_ID_CHARS else b""
    except ValueError:
        return b""
