"""Posts signed signals at a fixed rate, whatever becomes of them: an open loop, in a process of its own.

A request is due by the clock. One that finds every connection waiting for an answer is sent late, not left
out: a client that slows down with the server would hide what it does to others.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections import Counter, deque
from multiprocessing.connection import Connection
from typing import NamedTuple, cast

import uvloop

from pipeline.bench.posts import KEYS, Answer, first_answer, request
from pipeline.errors import RinglineError
from pipeline.signing import Secret, signed_headers

SIGNAL = b'{"type":"signal","symbol":"KEY%d","side":"%s","quantity":"1","price":"10"}'
TURN_S = 0.005
"""What has become due is sent this often."""
ANSWER_S = 15.0
"""For the last answers."""
LEAVE_S = 10.0
REDIAL_S = 0.1


class Task(NamedTuple):
    """`first`: number of the first event; its id and its symbol follow from it."""

    port: int
    source: str
    secret: bytes
    first: int
    rate: float
    """Events per second."""
    seconds: float
    connections: int


class Answers(NamedTuple):
    """What became of a task."""

    sent: int
    elapsed_s: float
    """Of sending: with too few free connections longer than was asked for."""
    statuses: dict[int, int]
    unexplained: int
    """Refusals without Retry-After."""
    lost: int
    """Requests without any answer."""
    waits_us: list[int]
    """Of those accepted, from when they were due to the answer, sorted."""


class Poster:
    """The process. One task at a time: `begin`, then `poll` until there are answers."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, task: Task) -> None:
        self._ours.send(task)

    def poll(self, wait_s: float) -> Answers | None:
        """Raises RinglineError when the process is gone."""
        try:
            if self._ours.poll(wait_s):
                return cast(Answers, self._ours.recv())
        except EOFError:
            raise RinglineError("the client has died") from None
        return None

    def close(self) -> None:
        self._ours.close()
        self._process.join(LEAVE_S)
        if self._process.is_alive():
            self._process.kill()


def signal_request(task: Task, number: int) -> bytes:
    """Event `number`, signed now: a key buys and sells in turn, so that its position stays small."""
    side = b"buy" if number // KEYS % 2 == 0 else b"sell"
    body = SIGNAL % (number % KEYS, side)
    signed = signed_headers(Secret(task.secret, task.source), f"paced-{number}", int(time.time()), body)
    return request(signed, task.source, "127.0.0.1", body)


class _Run:
    """One task at work."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.idle: deque[_Lane] = deque()
        self.statuses: Counter[int] = Counter()
        self.waits_s: list[float] = []
        self.unexplained = self.lost = self.sent = 0
        self._dials: set[asyncio.Task[None]] = set()
        self._last: asyncio.Event | None = None

    def answered(self, lane: _Lane, answer: Answer, due_s: float) -> None:
        self.statuses[answer.status] += 1
        if answer.status == 202:
            self.waits_s.append(time.perf_counter() - due_s)
        elif not answer.explained:
            self.unexplained += 1
        self.idle.append(lane)
        self._maybe_last()

    def gone(self, lane: _Lane, *, waiting: bool) -> None:
        """The server has closed a connection: another takes its place."""
        self.lost += waiting
        self._maybe_last()
        if not waiting:
            self.idle.remove(lane)
        dial = asyncio.get_running_loop().create_task(self._dial())
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, lane = await loop.create_connection(lambda: _Lane(self), "127.0.0.1", self.task.port)
            except OSError:
                await asyncio.sleep(REDIAL_S)
            else:
                self.idle.append(lane)
                return

    @property
    def _open(self) -> int:
        """Requests that may still be answered."""
        return self.sent - sum(self.statuses.values()) - self.lost

    def _maybe_last(self) -> None:
        if self._last is not None and not self._open:
            self._last.set()

    async def run(self) -> Answers:
        task = self.task
        await asyncio.gather(*(self._dial() for _ in range(task.connections)))
        count = max(1, round(task.rate * task.seconds))
        started_s = time.perf_counter()
        last_s = started_s + task.seconds + ANSWER_S
        while self.sent < count and (now_s := time.perf_counter()) < last_s:
            self._send(min(count, int((now_s - started_s) * task.rate) + 1), started_s)
            await asyncio.sleep(TURN_S)
        elapsed_s = time.perf_counter() - started_s
        if self._open:
            self._last = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    await self._last.wait()
        for dial in self._dials:
            dial.cancel()
        for lane in list(self.idle):
            lane.end()
        return Answers(
            self.sent, elapsed_s, dict(self.statuses), self.unexplained,
            self.sent - sum(self.statuses.values()), sorted(int(wait * 1_000_000) for wait in self.waits_s),
        )  # fmt: skip

    def _send(self, due: int, started_s: float) -> None:
        task = self.task
        while self.sent < due and self.idle:
            due_s = started_s + self.sent / task.rate
            self.idle.popleft().send(signal_request(task, task.first + self.sent), due_s)
            self.sent += 1


class _Lane(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._due_s = 0.0
        self._waiting = self._over = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, data: bytes, due_s: float) -> None:
        assert self._transport is not None
        self._due_s, self._waiting = due_s, True
        self._transport.write(data)

    def end(self) -> None:
        self._over = True
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if (found := first_answer(self._buffer)) is not None:
            answer, self._buffer = found
            self._waiting = False
            self._run.answered(self, answer, self._due_s)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        if not self._over:
            self._run.gone(self, waiting=self._waiting)


def _serve(talk: Connection) -> None:
    """The process's work, until its owner is gone."""
    while True:
        try:
            task: Task = talk.recv()
        except EOFError:
            return
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            talk.send(runner.run(_Run(task).run()))
