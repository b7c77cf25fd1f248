"""The collector's HTTP application, and its stream."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipeline import limits
from pipeline.telemetry.exporter import Exporter
from pipeline.telemetry.stream import BREACHES_KEPT, Hub, Subscriber, Wish, frame


class SomePages:
    """Pages with nothing real on them."""

    well = True

    def metrics(self) -> bytes:
        return b"some_total 1\n"

    def snapshot(self, wish: Wish) -> bytes:
        asked = "".join(f',"sketch":"{name}"' for name in sorted(wish.sketches))
        told = (
            ',"brief":true' if wish.brief else "".join(f',"event":"{name}"' for name in sorted(wish.events))
        )
        return f'{{"schema":1{asked}{told}}}'.encode()

    def links(self) -> bytes:
        return b'{"reports":[]}'

    def health(self) -> tuple[bool, bytes]:
        return self.well, b"{}"


class Caller:
    """One request: what was answered, and a client that leaves when told to."""

    def __init__(self, exporter: Exporter, path: str, method: str = "GET", query: str = "") -> None:
        self.sent: list[dict[str, Any]] = []
        self.leaves = asyncio.Event()
        self._more = asyncio.Event()
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
        self.done = asyncio.ensure_future(exporter(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        self._more.set()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    async def has(self, text: bytes) -> None:
        async with asyncio.timeout(5):
            while text not in self.body:
                self._more.clear()
                await self._more.wait()


def asked(path: str, method: str = "GET", pages: SomePages | None = None) -> Caller:
    async def ask() -> Caller:
        caller = Caller(Exporter(pages or SomePages(), Hub()), path, method)
        await caller.done
        return caller

    return asyncio.run(ask())


def test_each_page_answers_with_its_type() -> None:
    for path, kind, body in (
        ("/metrics", b"text/plain; version=0.0.4; charset=utf-8", b"some_total 1\n"),
        ("/v1/snapshot", b"application/json", b'{"schema":1}'),
        ("/healthz", b"application/json", b"{}"),
    ):
        caller = asked(path)
        assert (caller.status, caller.body) == (200, body)
        headers = dict(caller.sent[0]["headers"])
        assert headers[b"content-type"] == kind
        assert headers[b"content-length"] == str(len(body)).encode()


def test_head_has_no_body() -> None:
    caller = asked("/metrics", "HEAD")
    assert (caller.status, caller.body) == (200, b"")


def test_other_paths_and_methods_are_refused() -> None:
    assert asked("/").status == 404
    refused = asked("/metrics", "POST")
    assert refused.status == 405
    assert (b"allow", b"GET, HEAD") in refused.sent[0]["headers"]


def test_a_collector_that_does_not_drain_is_unwell() -> None:
    pages = SomePages()
    pages.well = False
    assert asked("/healthz", pages=pages).status == 503


def streaming(story: Callable[[Caller, Hub], Awaitable[None]]) -> Caller:
    async def tell() -> Caller:
        hub = Hub()
        caller = Caller(Exporter(SomePages(), hub), "/v1/stream")
        await story(caller, hub)
        async with asyncio.timeout(5):
            await caller.done
        assert len(hub) == 0
        return caller

    return asyncio.run(tell())


def test_a_stream_begins_with_a_snapshot_and_goes_on_until_the_client_leaves() -> None:
    async def story(caller: Caller, hub: Hub) -> None:
        await caller.has(b'event: snapshot\ndata: {"schema":1}\n\n')
        hub.give(breach=b'{"event":"X"}')
        await caller.has(b'event: breach\ndata: {"event":"X"}\n\n')
        hub.give(snapshot=b"2")
        await caller.has(b"data: 2\n\n")
        caller.leaves.set()

    caller = streaming(story)
    assert (b"content-type", b"text/event-stream") in caller.sent[0]["headers"]


def test_a_stream_ends_when_the_collector_leaves() -> None:
    async def story(caller: Caller, hub: Hub) -> None:
        await caller.has(b"snapshot")
        hub.close()
        assert hub.join() is None

    assert streaming(story).sent[-1] == {"type": "http.response.body", "body": b""}


def test_streams_are_bounded() -> None:
    async def ask() -> int:
        hub = Hub()
        for _ in range(limits.MAX_STREAMS):
            assert hub.join() is not None
        caller = Caller(Exporter(SomePages(), hub), "/v1/stream")
        await caller.done
        return caller.status

    assert asyncio.run(ask()) == 503


def test_a_slow_client_misses_snapshots_and_no_breach() -> None:
    async def read() -> bytes | None:
        subscriber = Subscriber()
        for number in range(BREACHES_KEPT):
            subscriber.give(snapshot=b"s%d" % number, breach=b"b%d" % number)
        return await subscriber.next()

    found = asyncio.run(read())
    breaches = b"".join(frame("breach", b"b%d" % number) for number in range(BREACHES_KEPT))
    assert found == breaches + frame("snapshot", b"s%d" % (BREACHES_KEPT - 1))


def test_sketches_are_handed_out_to_those_who_asked_for_them() -> None:
    async def ask() -> tuple[bytes, bytes]:
        hub = Hub()
        exporter = Exporter(SomePages(), hub)
        page = Caller(exporter, "/v1/snapshot", query="sketches=AGENT_DECISION,FILL_GENERATION")
        await page.done
        one = Caller(exporter, "/v1/stream", query="sketches=AGENT_DECISION")
        await one.has(b"AGENT_DECISION")
        other = Caller(exporter, "/v1/stream")
        await other.has(b"schema")
        assert hub.wishes() == {Wish(), Wish(frozenset({"AGENT_DECISION"}))}
        hub.give(snapshot=b"with buckets", wish=Wish(frozenset({"AGENT_DECISION"})))
        hub.give(snapshot=b"without", wish=Wish())
        await one.has(b"with buckets")
        await other.has(b"without")
        assert b"with buckets" not in other.body
        hub.close()
        await one.done
        await other.done
        return page.body, one.body

    page, stream = asyncio.run(ask())
    assert page == b'{"schema":1,"sketch":"AGENT_DECISION","sketch":"FILL_GENERATION"}'
    assert b"without" not in stream


def test_a_brief_snapshot_is_given_to_who_asks_for_it() -> None:
    async def ask() -> bytes:
        caller = Caller(Exporter(SomePages(), Hub()), "/v1/snapshot", query="brief=1")
        await caller.done
        return caller.body

    assert b'"brief":true' in asyncio.run(ask())


def test_absurd_wishes_for_sketches_are_cut_short() -> None:
    names = ",".join(f"EVENT_{number:03}" for number in range(200))

    async def ask() -> bytes:
        caller = Caller(
            Exporter(SomePages(), Hub()), "/v1/snapshot", query=f"sketches={names}&sketches=,,&x=%ff"
        )
        await caller.done
        return caller.body

    assert asyncio.run(ask()).count(b"EVENT_") == limits.MAX_SKETCHES


def test_a_breach_is_sent_once() -> None:
    async def ask() -> list[bytes | None]:
        subscriber = Subscriber()
        subscriber.give(breach=b"1")
        sent = [await subscriber.next()]
        subscriber.give(snapshot=b"2")
        sent.append(await subscriber.next())
        subscriber.give(breach=b"3")
        return [*sent, await subscriber.next()]

    assert asyncio.run(ask()) == [frame("breach", b"1"), frame("snapshot", b"2"), frame("breach", b"3")]
