"""The page's stream of one collector: a real server on a real port, well and unwell."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from msgspec import structs

from pipeline import limits
from pipeline.config import resolve
from pipeline.errors import MissingError
from pipeline.snapshot import Snapshot, encode_snapshot
from pipeline.stages.feed import collector_stream
from pipeline.stages.feed.collector_stream import CollectorStream
from pipeline.stages.feed.collectors import stream_of

WHOLE = Snapshot(taken_us=1, uptime_s=1, stages=(), replicas=(), latencies=())
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
Opened = tuple[CollectorStream, list[bytes]]
Story = Callable[[asyncio.StreamWriter], Awaitable[None]]


def told(taken_us: int, *, brief: bool = True) -> bytes:
    snapshot = structs.replace(WHOLE, taken_us=taken_us, brief=brief)
    return b"event: snapshot\ndata: " + encode_snapshot(snapshot) + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def collector(story: Story, leave: asyncio.Event | None = None) -> AsyncIterator[Opened]:
    leave = leave or asyncio.Event()
    asked: list[bytes] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        with contextlib.suppress(OSError):
            await story(writer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stream = CollectorStream(f"http://127.0.0.1:{port}/its", 100)
    try:
        yield stream, asked
    finally:
        stream.close()
        leave.set()
        await asyncio.gather(*filter(None, serving))
        server.close()
        await server.wait_closed()


def fault_of(story: Story) -> str:
    async def run() -> str:
        async with collector(story) as (stream, _):
            with pytest.raises(MissingError) as caught:
                await stream.next()
            return str(caught.value)

    return asyncio.run(run())


def test_snapshots_come_in_order_however_they_are_cut() -> None:
    async def story(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        data = told(1, brief=False) + b"event: breach\ndata: {}\n\n"
        for place in range(len(data)):
            writer.write(chunk(data[place : place + 1]))
        await writer.drain()
        await go_on.wait()
        writer.write(chunk(told(2)[:-1]))
        writer.write(chunk(b"\n"))
        await writer.drain()
        await leave.wait()

    async def run() -> None:
        async with collector(story, leave) as (stream, asked):
            assert (await stream.next()).taken_us == 1
            go_on.set()
            found = await stream.next()
            assert (found.taken_us, found.brief) == (2, True)
            assert asked[0].startswith(b"GET /its/v1/stream?brief=1&events=GATEWAY_RECEIVE,")
            assert b"&counts=5&every_ms=100 HTTP/1.1\r\n" in asked[0]

    go_on, leave = asyncio.Event(), asyncio.Event()
    asyncio.run(run())


def test_who_reads_slowly_gets_the_newest_and_misses_no_latencies() -> None:
    async def story(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(told(1) + told(2) + told(3, brief=False) + told(4) + told(5)))
        await writer.drain()
        await leave.wait()

    async def run() -> list[int]:
        async with collector(story, leave) as (stream, _):
            return [(await stream.next()).taken_us for _ in range(2)]

    leave = asyncio.Event()
    assert asyncio.run(run()) == [3, 5]


def test_after_a_fault_it_is_opened_again() -> None:
    async def story(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(told(7)) + b"0\r\n\r\n")

    async def run() -> list[bytes]:
        async with collector(story) as (stream, asked):
            for _ in range(2):
                assert (await stream.next()).taken_us == 7
                with pytest.raises(MissingError, match="its stream has ended"):
                    await stream.next()
            return asked

    assert len(asyncio.run(run())) == 2


def test_what_is_no_stream_of_snapshots_is_said() -> None:
    def answering(data: bytes) -> Story:
        async def story(writer: asyncio.StreamWriter) -> None:
            writer.write(data)

        return story

    assert "answered 503" in fault_of(answering(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"))
    assert "no HTTP" in fault_of(answering(b"\x00\x01\x02\r\n\r\n"))
    assert "stream has ended" in fault_of(answering(b""))
    assert "no snapshot" in fault_of(answering(HEAD + chunk(b"event: snapshot\ndata: {}\n\n")))


def test_a_snapshot_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(b"x" * 2000))
        await writer.drain()
        await leave.wait()

    leave = asyncio.Event()
    monkeypatch.setattr(limits, "MAX_SNAPSHOT_BYTES", 1000)

    async def run() -> None:
        async with asyncio.timeout(10):
            async with collector(story, leave) as (stream, _):
                with pytest.raises(MissingError, match="beyond 1000 bytes"):
                    await stream.next()

    asyncio.run(run())


def test_who_does_not_answer_or_listen_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_: asyncio.StreamWriter) -> None:
        await leave.wait()

    async def run() -> None:
        async with collector(silent, leave) as (stream, _):
            with pytest.raises(MissingError, match=r"no answer in 0\.2 s"):
                await stream.next()
        with pytest.raises(MissingError, match="no answer"):
            await stream.next()

    leave = asyncio.Event()
    monkeypatch.setattr(collector_stream, "ANSWER_S", 0.1)
    asyncio.run(run())


def test_one_collector_tells_by_itself_and_many_are_asked() -> None:
    assert stream_of(resolve({})) is not None
    assert stream_of(resolve({"feed": {"collector_names": ["all"]}})) is None
