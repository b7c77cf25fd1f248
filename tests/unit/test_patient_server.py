"""The server that wakes for requests only: its Date is right all the same, and it leaves when told to."""

from __future__ import annotations

import asyncio
import socket
import time
from email.utils import parsedate_to_datetime
from typing import Any

import uvicorn

from pipeline.patient_server import DatedState, PatientServer


def test_the_date_is_that_of_the_answer_and_is_made_once_a_second() -> None:
    now_s = [1_700_000_000.2]
    state = DatedState(lambda: now_s[0])
    state.default_headers = [(b"x", b"1")]
    first = state.default_headers
    assert first == [(b"date", b"Tue, 14 Nov 2023 22:13:20 GMT"), (b"x", b"1")]
    now_s[0] += 0.7
    assert state.default_headers is first
    now_s[0] += 3600
    assert state.default_headers[0] == (b"date", b"Tue, 14 Nov 2023 23:13:20 GMT")
    now_s[0] -= 7200  # a clock that was set back
    assert state.default_headers[0] == (b"date", b"Tue, 14 Nov 2023 21:13:20 GMT")


async def _hello(scope: Any, _receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


def test_it_answers_has_no_timer_and_leaves_at_once() -> None:
    async def serve() -> bytes:
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(_hello, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        server = PatientServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        assert not [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        server.should_exit = True
        await asyncio.wait_for(serving, 20)
        return answer

    head, _, body = asyncio.run(serve()).partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert body == b"hi"
    dated = parsedate_to_datetime(headers[b"date"].decode().title())
    assert abs(dated.timestamp() - time.time()) < 60
