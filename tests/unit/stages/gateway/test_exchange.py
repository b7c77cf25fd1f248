"""Answers without ASGI are the bytes that uvicorn would have written, and end connections."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from pipeline.stages.gateway.answer import Answer
from pipeline.stages.gateway.exchange import Exchange, Heads
from pipeline.stages.gateway.problem import Problem, problem

DATES = [[(b"date", b"Sat, 21 Nov 2026 18:00:00 GMT")], [(b"date", b"100% later"), (b"server", b"x")], []]
ANSWERS = [
    Answer(202, b'{"status":"accepted"}'),
    Answer(202, b'{"status":"accepted"}').saying([(b"ratelimit", b"r=1")]),
    Answer(200, b"{}"),
    problem(Problem.BAD_SIGNATURE, "webhook-signature: missing", field="webhook-signature"),
    problem(Problem.JOURNAL_FULL, "full", retry_after_s=3).closing(),
]


class Line:
    """A connection, and what it was given."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, bool]] = []

    def answered(self, data: bytes, *, last: bool) -> None:
        self.written.append((data, last))


def by_uvicorn(answer: Answer, common: list[tuple[bytes, bytes]], keep_alive: bool) -> bytes:
    written: list[bytes] = []
    transport: Any = SimpleNamespace(write=written.append, close=lambda: None)

    async def story() -> None:
        cycle = RequestResponseCycle(
            scope={"method": "POST"}, transport=transport, flow=FlowControl(transport), logger=None,  # type: ignore
            access_logger=None, access_log=False, default_headers=common, message_event=asyncio.Event(),  # type: ignore
            expect_100_continue=False, keep_alive=keep_alive, on_response=lambda: None,
        )  # fmt: skip
        await cycle.send(answer.head)  # type: ignore[arg-type]
        await cycle.send(answer.body)  # type: ignore[arg-type]

    asyncio.run(story())
    return b"".join(written)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("keep_alive", [True, False])
def test_an_answer_is_the_bytes_that_uvicorn_writes(answer: Answer, keep_alive: bool) -> None:
    state = SimpleNamespace(default_headers=[])
    heads = Heads(state)
    for common in (*DATES, *DATES):
        state.default_headers = common
        line = Line()
        exchange = Exchange(line, heads)
        exchange.keep_alive = keep_alive
        exchange.reply(answer)
        ((data, last),) = line.written
        assert data == by_uvicorn(answer, common, keep_alive)
        assert last == (b"connection: close" in data)
        assert exchange.response_complete


def test_nobody_is_answered_who_has_gone() -> None:
    line = Line()
    exchange = Exchange(line, Heads(SimpleNamespace(default_headers=[])))
    exchange.disconnected = True
    exchange.reply(ANSWERS[0])
    assert line.written == []
