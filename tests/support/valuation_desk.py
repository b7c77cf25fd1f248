"""The valuation in this process: its real application on an engine in memory, asked without a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pipeline import valuation_limits
from pipeline.clock import FakeClock
from pipeline.config import Config, resolve
from pipeline.stages.context import Context
from pipeline.stages.feed.access import Access
from pipeline.stages.valuation.app import make_app
from pipeline.stages.valuation.keeper import Keeper
from pipeline.stages.valuation.worker import Service
from pipeline.storage.valuation.memory import MemoryValuationStore
from pipeline.storage.valuation.store import ValuationStore

Found = TypeVar("Found")


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any
    """Decoded JSON; None for no body."""
    content: bytes


class Served:
    """`ask` sends one request through the whole application."""

    def __init__(
        self,
        folder: Path,
        store: ValuationStore,
        environment: dict[str, str],
        valuation: dict[str, Any],
        within_s: float,
        *,
        told: bool = True,
    ) -> None:
        """`told`: the feed is reached, and has no rows yet."""
        tree: dict[str, Any] = {
            "data_dir": str(folder / "data"),
            "telemetry": {"directory": str(folder / "rings"), "ring_entries": 1024},
            "valuation": {"engine": "memory", **valuation},
        }
        self.config: Config = resolve(tree)
        self.clock = FakeClock()
        self.keeper = Keeper(store, within_s)
        self._runner = asyncio.Runner()
        self.context = Context("valuation", 0, self.config, self.clock, name="valuation")
        access = Access(self.config.valuation, environment, section="valuation")
        self.service = Service(self.config, self.context, access, "", self.keeper, make_app)
        self.run(self.service.load())
        if told:
            at = self.service.listener.next_row
            self.hear({"type": "hello", "start": at, "head": at - 1})

    def run(self, work: Coroutine[Any, Any, Found]) -> Found:
        return self._runner.run(work)

    def hear(self, message: dict[str, Any]) -> None:
        """As from the feed."""
        self.run(self.service.listener.hear(json.dumps(message)))

    def close(self) -> None:
        self.run(self.service.close())
        self._runner.close()
        self.keeper.close()
        self.context.recorder.close()

    def ask(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """`body`: bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        status, found, answered = self.run(self.send(method, target, content, headers or {}))
        return Reply(status, found, json.loads(answered) if answered else None, answered)

    async def send(
        self, method: str, target: str, content: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of what is answered."""
        path, _, query = target.partition("?")
        named = {"host": "127.0.0.1", **headers}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "server": ("127.0.0.1", 8007), "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()], "state": {},
        }  # fmt: skip
        parts = [content[: len(content) // 2], content[len(content) // 2 :]]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            part = parts.pop(0) if parts else b""
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.service.app(scope, receive, send)
        answered = b"".join(message.get("body", b"") for message in sent[1:])
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, answered


@contextlib.contextmanager
def serve_here(
    folder: Path,
    store: ValuationStore | None = None,
    environment: dict[str, str] | None = None,
    within_s: float = valuation_limits.VALUATION_STORE_S,
    **valuation: Any,
) -> Iterator[Served]:
    found = Served(folder, store or MemoryValuationStore(), environment or {}, valuation, within_s)
    try:
        yield found
    finally:
        found.close()
