"""A collector to test with: real HTTP, real snapshots, and every way in which one can misbehave.

Public: users' tests of their own Pipelines may use it as well as ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum

import msgspec
from aiohttp import web

from pipeline.clock import NS_PER_MS, NS_PER_US
from pipeline.snapshot import Counts, Latency, Replica, Sla, Snapshot, Stage, encode_snapshot
from pipeline.telemetry.sketch import Sketch

STREAM_EVERY_S = 0.5
WINDOWS_S = (1.0, 5.0, 60.0)


class Manner(StrEnum):
    """How it answers."""

    WELL = "well"
    POLL_ONLY = "poll only"
    """Refuses streams."""
    MUTE = "mute"
    """Takes connections and never says a word."""
    SLOW = "slow"
    """A byte a second."""
    NONSENSE = "nonsense"
    """NaN, which is no JSON."""
    NEGATIVE = "negative"
    """Figures below zero."""
    OTHER_VERSION = "other version"
    """Snapshots of a schema to come."""
    ENDLESS = "endless"
    """An event that does not end."""
    REDIRECT = "redirect"
    """Sends its clients elsewhere."""
    FROZEN = "frozen"
    """Repeats its last words."""


def told_worker(
    stage: str, ordinal: int, *, lag_ms: float | None = None, handled: int = 0, depth: int = 0
) -> Replica:
    """A worker as a snapshot tells it: with a lag it is one of the next stage, told by its sender."""
    return Replica(
        stage=stage,
        ordinal=ordinal,
        name=f"{stage}-{ordinal}",
        age_ms=0.0,
        lag_ms=lag_ms,
        depth=depth,
        counts=tuple(Counts(window_s=window_s, handled=round(handled * window_s)) for window_s in WINDOWS_S),
    )


def told_latency(event: str, took_ms: Iterable[float]) -> tuple[Latency, ...]:
    """An event that took so long each time, the same in every window, with its buckets."""
    sketch = Sketch()
    sketch.add(round(one * NS_PER_MS) for one in took_ms)
    data = sketch.to_bytes()
    return tuple(
        Latency(event=event, window_s=window_s, count=sketch.count, sketch=data) for window_s in WINDOWS_S
    )


def told_stage(
    stage: str,
    *,
    handled: int = 0,
    flow_throttled: int = 0,
    lag_ms: float | None = None,
    latencies: Sequence[Latency] = (),
) -> Stage:
    """A stage; `handled` and `flow_throttled` are a second's."""
    counts = tuple(
        Counts(
            window_s=window_s,
            handled=round(handled * window_s),
            flow_throttled=round(flow_throttled * window_s),
        )
        for window_s in WINDOWS_S
    )
    return Stage(stage=stage, lag_ms=lag_ms, depth=0, counts=counts, latencies=tuple(latencies))


class FakeCollector:
    """Use as an async context manager; then say things with `tell` and `breach`."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = 0
        self.manner = Manner.WELL
        self.streams = 0
        """Open ones."""
        self.asked: list[str] = []
        """Paths with their queries, as they came."""
        self._stages: Sequence[Stage] = ()
        self._replicas: Sequence[Replica] = ()
        self._frozen: bytes = b""
        self._queues: set[asyncio.Queue[bytes]] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> FakeCollector:
        app = web.Application()
        app.add_routes([web.get("/v1/snapshot", self._page), web.get("/v1/stream", self._stream)])
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, 0).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def tell(self, *, stages: Sequence[Stage] = (), replicas: Sequence[Replica] = ()) -> None:
        """What it says from now on; streams hear it at their next turn."""
        self._stages, self._replicas = stages, replicas

    def breach(self, sla: Sla) -> None:
        """Push a breach, and at once the snapshot with it, as a collector does."""
        pushed = b"event: breach\ndata: " + msgspec.json.encode(sla) + b"\n\n"
        for queue in self._queues:
            queue.put_nowait(pushed)  # the snapshot follows at once: the stream's next turn

    def body(self, sketches: Collection[str] = ()) -> bytes:
        """A snapshot as it would be answered now, with the buckets of the events that were asked for."""
        if self.manner is Manner.NONSENSE:
            return b'{"taken_us": NaN, "uptime_s": NaN}'
        if self.manner is Manner.FROZEN and self._frozen:
            return self._frozen
        schema = 99 if self.manner is Manner.OTHER_VERSION else 1
        replicas = self._replicas
        if self.manner is Manner.NEGATIVE:
            replicas = [msgspec.structs.replace(one, lag_ms=-1e12, depth=-5) for one in replicas]
        self._frozen = encode_snapshot(
            Snapshot(
                schema=schema,
                taken_us=time.time_ns() // NS_PER_US,
                uptime_s=60.0,
                stages=tuple(_with_buckets_of(sketches, stage) for stage in self._stages),
                replicas=tuple(replicas),
                latencies=(),
            )
        )
        return self._frozen

    def _event(self, sketches: Collection[str]) -> bytes:
        return b"event: snapshot\ndata: " + self.body(sketches) + b"\n\n"

    async def _page(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if (odd := await self._oddly(request)) is not None:
            return odd
        return web.Response(body=self.body(_asked(request)), content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.manner is Manner.POLL_ONLY:
            return web.Response(status=503, text="too many streams\n")
        if (odd := await self._oddly(request)) is not None:
            return odd
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        sketches = _asked(request)
        self._queues.add(queue)
        self.streams += 1
        try:
            while self.manner not in (Manner.MUTE, Manner.POLL_ONLY):
                await response.write(self._event(sketches))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STREAM_EVERY_S):
                        await response.write(await queue.get())
            if self.manner is Manner.MUTE:
                await asyncio.Event().wait()
        except ConnectionError:
            pass
        finally:
            self._queues.discard(queue)
            self.streams -= 1
        return response

    async def _oddly(self, request: web.Request) -> web.StreamResponse | None:
        """What a collector that misbehaves answers; None for the others."""
        if self.manner is Manner.MUTE:
            await asyncio.Event().wait()
        if self.manner is Manner.REDIRECT:
            return web.Response(status=302, headers={"Location": "http://192.0.2.1/"})
        if self.manner in (Manner.SLOW, Manner.ENDLESS):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                await response.write(b"event: snapshot\ndata: ")
                while True:
                    if self.manner is Manner.ENDLESS:
                        await response.write(b"x" * 65536)
                        await asyncio.sleep(0)
                    else:
                        await response.write(b"x")
                        await asyncio.sleep(1)
            return response
        return None


def _asked(request: web.Request) -> Collection[str]:
    return tuple(filter(None, request.query.get("sketches", "").split(",")))


def _with_buckets_of(events: Collection[str], stage: Stage) -> Stage:
    """Buckets are large: a collector gives those that were asked for."""
    told = (
        one if one.event in events else msgspec.structs.replace(one, sketch=None) for one in stage.latencies
    )
    return msgspec.structs.replace(stage, latencies=tuple(told))
