"""The same protocol core on real ZeroMQ sockets over TCP, one thread a worker, the gateway in asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import zmq
from toy_pipeline import ToyAgent, ToyExec, ToyStore

from pipeline.clock import NS_PER_MS, SystemClock
from pipeline.delivery import Delivery, decode_delivery
from pipeline.errors import MissingError
from pipeline.messages import Fate
from pipeline.transport import wire
from pipeline.transport.aio import DispatcherLoop
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.judge import Judge
from pipeline.transport.key_line import Pending
from pipeline.transport.loop import Loop
from pipeline.transport.members import FixedMembers
from pipeline.transport.settings import NoMeter, Timing
from pipeline.transport.sockets import Sockets
from pipeline.transport.worker import Worker

TIMING = Timing(
    heartbeat_ns=20 * NS_PER_MS,
    dead_after_ns=300 * NS_PER_MS,
    ask_again_ns=50 * NS_PER_MS,
    credit=64,
    depth=16,
)


class KilledError(Exception):
    pass


class Flag:
    """A stop flag of one thread; `kill` makes its loop end at once, with nothing said."""

    def __init__(self) -> None:
        self.fd, self._write = os.pipe()
        self._set = False
        self._killed = False

    def is_set(self) -> bool:
        if self._killed:
            raise KilledError
        return self._set

    def set(self) -> None:
        self._set = True
        os.write(self._write, b"x")

    def kill(self) -> None:
        self._killed = True
        os.write(self._write, b"x")

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._write)


class Counting(NoMeter):
    def __init__(self) -> None:
        self.bad = 0

    def malformed(self, frame: bytes) -> None:
        self.bad += 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Threads:
    """agent-0, exec-0 and audit-0 in a thread each."""

    def __init__(self) -> None:
        self.store = ToyStore()
        self.meter = Counting()
        self.where = {stage: f"tcp://127.0.0.1:{free_port()}" for stage in ("agent", "exec", "audit")}
        self.members = {stage: FixedMembers({0: where}) for stage, where in self.where.items()}
        self._running: dict[str, tuple[threading.Thread, Flag]] = {}
        for stage in ("audit", "exec", "agent"):
            self.start(stage)

    def start(self, stage: str) -> None:
        flag = Flag()
        listening = threading.Event()
        thread = threading.Thread(target=self._run, args=(stage, flag, listening), daemon=True)
        thread.start()
        assert listening.wait(5)
        self._running[stage] = (thread, flag)

    def stop(self, stage: str, how: str = "set") -> None:
        thread, flag = self._running.pop(stage)
        getattr(flag, how)()
        thread.join(10)
        assert not thread.is_alive()
        flag.close()

    def close(self) -> None:
        for stage in list(self._running):
            self.stop(stage, "kill")

    def _run(self, stage: str, flag: Flag, listening: threading.Event) -> None:
        clock, name = SystemClock(), f"{stage}-0"
        boot = clock.wall_us()
        following = self.members.get({"agent": "exec", "exec": "audit"}.get(stage, ""), FixedMembers({}))
        sockets = Sockets(
            name, boot, bind=self.where[stage], downstream=following, audits=self.members["audit"]
        )
        listening.set()
        try:
            if stage == "audit":
                judge = Judge(name, boot, self.store.append, self.store.tail, TIMING, batch=16)
                Loop(judge, sockets, clock, flag, TIMING, self.meter, drain_s=5).run()
            else:
                steps = ToyAgent() if stage == "agent" else ToyExec()
                worker = Worker(
                    name, "exec" if stage == "agent" else "audit", boot, steps, TIMING, max_keys=50
                )
                Loop(
                    worker, sockets, clock, flag, TIMING, self.meter,
                    drain_s=5, downstream=worker, members=(following, self.members["audit"]),
                ).run()  # fmt: skip
        except KilledError:
            pass
        finally:
            sockets.close()


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    threads.close()


async def send_through(
    threads: Threads, count: int, meanwhile: Callable[[int], None] = lambda _: None
) -> list[Pending]:
    """Sends `count` events over eight keys as a gateway does, and waits until all are settled."""
    clock = SystemClock()
    settled: list[Pending] = []
    alarms: list[str] = []
    dispatcher = Dispatcher(
        "gateway-0", clock.wall_us(), TIMING,
        on_settled=settled.append, on_fate=lambda *_: None, on_alarm=alarms.append,
    )  # fmt: skip
    sockets = Sockets("gateway-0", clock.wall_us(), bind=None, downstream=threads.members["agent"])
    loop = DispatcherLoop(dispatcher, sockets, threads.members["agent"], clock, TIMING, NoMeter())
    loop.start()
    try:
        for n in range(count):
            key, key_seq = f"k{n % 8}", n // 8 + 1
            event_id = f"{key}:{key_seq}".encode()
            delivery = Delivery(key, key_seq, event_id, "toy", "", clock.wall_us(), Fate.LIVE, b"%d" % n)
            dispatcher.enqueue(delivery, clock.monotonic_ns())
            if n % 50 == 0:
                loop.turn()
                await asyncio.sleep(0)
                await asyncio.to_thread(meanwhile, n)
        loop.turn()
        deadline_ns = clock.monotonic_ns() + 20_000 * NS_PER_MS
        while dispatcher.unsettled and clock.monotonic_ns() < deadline_ns:
            await asyncio.sleep(0.005)
    finally:
        loop.stop()
    assert not alarms
    assert not dispatcher.unsettled, dispatcher.statistics()
    return settled


def check(threads: Threads, count: int) -> None:
    rows = [decode_delivery(row) for rows in threads.store.rows.values() for row in rows]
    assert len(rows) == count
    for key, raw in threads.store.rows.items():
        assert [decode_delivery(row).key_seq for row in raw] == list(range(1, len(raw) + 1)), key


def test_events_cross_real_sockets_in_order(threads: Threads) -> None:
    settled = asyncio.run(send_through(threads, 2_000))
    assert len(settled) == 2_000
    check(threads, 2_000)


@pytest.mark.parametrize("stage", ["agent", "exec", "audit"])
def test_a_stage_that_dies_and_returns_loses_nothing(threads: Threads, stage: str) -> None:
    def meanwhile(n: int) -> None:
        if n in {300, 700}:
            threads.stop(stage, "kill")
            threads.start(stage)

    asyncio.run(send_through(threads, 1_000, meanwhile))
    check(threads, 1_000)


def test_a_worker_asked_to_leave_finishes_what_it_has(threads: Threads) -> None:
    def meanwhile(n: int) -> None:
        if n == 300:
            threads.stop("agent", "set")
            threads.start("agent")

    asyncio.run(send_through(threads, 600, meanwhile))
    check(threads, 600)


def test_garbage_from_a_stranger_is_counted_and_harms_nobody(threads: Threads) -> None:
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.setsockopt(zmq.LINGER, 1000)
    stranger.connect(threads.where["agent"])
    frames = [b"", b"\x00", os.urandom(200), wire.encode_frame((1, 1), [wire.Ping(5)]), b"\x92\xc0\x90"]
    for frame in frames:
        stranger.send(frame)
    stranger.send_multipart([b"two", b"parts"])
    asyncio.run(send_through(threads, 100))
    stranger.close()
    context.term()
    check(threads, 100)
    deadline = time.monotonic() + 5
    while threads.meter.bad < 5 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert threads.meter.bad == 5  # four frames that are none, and one message of two parts


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MissingError, match=f"agent-0: cannot listen on {where}: Address already in use"):
            Sockets("agent-0", 1, bind=where)
