"""Who may: around the whole application, before it sees a request."""

from __future__ import annotations

from typing import Any

from pipeline.stages.feed.access import CONTROL, READ, Access
from pipeline.stages.feed.session import Receive, Send
from pipeline.stages.gateway.answer import Answer
from pipeline.stages.valuation import docs_page

Scope = dict[str, Any]

OPEN = frozenset({"/healthz", "/openapi.json"}) | docs_page.PATHS
"""They tell nothing of what is traded."""
VALUE = "/v1/valuations"
"""A POST that only reads."""
_PREFLIGHT = Answer(
    204,
    b"",
    (
        (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
        (b"access-control-allow-headers", b"authorization, content-type"),
        (b"access-control-max-age", b"600"),
    ),
)


class Guard:
    """ASGI around ASGI."""

    def __init__(self, inner: Any, access: Access) -> None:
        self._inner = inner
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        answer = self._early(scope)
        shared = self._access.sharing(scope["headers"])
        if answer is not None:
            answer = answer.saying(shared)
            await send(answer.head)
            await send(answer.body)
        elif not shared:
            await self._inner(scope, receive, send)
        else:

            async def sharing(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    message = {**message, "headers": [*message["headers"], *shared]}
                await send(message)

            await self._inner(scope, receive, sharing)

    def _early(self, scope: Scope) -> Answer | None:
        if scope["method"] == "OPTIONS":
            return _PREFLIGHT
        if scope["path"] in OPEN:
            return None
        reads = scope["method"] in ("GET", "HEAD") or scope["path"] == VALUE
        return self._access.refusal(scope["headers"], role=READ if reads else CONTROL)
