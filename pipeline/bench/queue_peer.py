"""The peer of a link: `multiprocessing.Queue`s that carry the same message and the same two answers to it."""

from __future__ import annotations

import time
from multiprocessing.context import SpawnContext
from typing import Any, NamedTuple

MESSAGE = bytes(230)
"""As many bytes as the delivery of the bench on a link."""
AHEAD = 256
"""Messages not answered yet, as by a link's default credit."""


class Exchanged(NamedTuple):
    per_s: float
    cpu_s: float
    """This process's, for all of them."""


def answer(inbox: Any, outbox: Any, answers: int) -> None:
    """The other process: `answers` for each message, until None comes."""
    while inbox.get() is not None:
        for _ in range(answers):
            outbox.put(b"ok")
    outbox.put(None)


def exchange(context: SpawnContext, messages: int, answers: int) -> Exchanged:
    """Sends `messages` and waits for `answers` to each; with 0 only until the last one was read."""
    inbox, outbox = context.Queue(), context.Queue()
    other = context.Process(target=answer, args=(inbox, outbox, answers))
    other.start()
    try:
        inbox.put(MESSAGE)
        for _ in range(answers):
            outbox.get()
        started, started_cpu = time.perf_counter(), time.process_time()
        answered = 0
        for sent in range(messages):
            inbox.put(MESSAGE)
            while answers and sent - answered // answers >= AHEAD:
                outbox.get()
                answered += 1
        inbox.put(None)
        while outbox.get() is not None:
            pass
        elapsed_s = time.perf_counter() - started
        return Exchanged(messages / elapsed_s, time.process_time() - started_cpu)
    finally:
        other.join(10)
        if other.is_alive():
            other.kill()
