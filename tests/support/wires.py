"""Two networks that carry the same nodes: the one in memory, and ZeroMQ's sockets with a thread a node.

What a test does to one it can do to the other: start, kill and ask nodes to leave, let time pass until
something holds, lose, double and delay frames (`weather`), change them (`alter`), and look inside a node.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from pipeline.clock import NS_PER_MS, NS_PER_S, SystemClock
from pipeline.transport.aio import DispatcherLoop
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.judge import Judge
from pipeline.transport.loop import Loop
from pipeline.transport.members import FixedMembers
from pipeline.transport.memory import NEXT, Anyone, MemoryNetwork, Weather, calm
from pipeline.transport.outbox import Act, Sent
from pipeline.transport.settings import NoMeter, Timing
from pipeline.transport.sockets import Sockets
from pipeline.transport.worker import Worker

Alter = Callable[[str, bytes], bytes]
"""(name of the sender, frame) → the frame that is sent instead."""
LATE_NS = 5 * NS_PER_MS
"""A frame that the weather delays by more is held back; any less is what sockets take anyway."""
LOOK_S = 0.002
THREAD_S = 20.0


class Wires(Protocol):
    """What a world of nodes stands on."""

    timing: Timing
    weather: Weather
    alter: Alter
    patience: int
    """How much longer than in simulated time anything may take."""

    @property
    def now_ns(self) -> int: ...

    def add(self, node: Anyone) -> None: ...

    def kill(self, name: str) -> object: ...

    def leave(self, name: str) -> None:
        """Asks a worker to finish what it has."""

    def left(self, name: str) -> bool:
        """Whether it has."""

    def node(self, name: str) -> Anyone | None: ...

    def inside(self, name: str, action: Callable[[Any], Any]) -> Any:
        """What `action(node)` returns, called where nothing else happens to the node, which then thinks."""

    def run(self, duration_ns: int, until: Callable[[], bool] = ...) -> bool: ...

    def wake(self, name: str) -> None: ...

    def close(self) -> None:
        """Raises AssertionError when something went wrong that no node could tell."""


def unchanged(_name: str, frame: bytes) -> bytes:
    return frame


class MemoryWires(MemoryNetwork):
    """The network in memory: time is simulated."""

    patience = 1

    def __init__(self, timing: Timing, weather: Weather = calm) -> None:
        super().__init__(timing, weather)
        self.timing = timing
        self.alter: Alter = unchanged

    def leave(self, name: str) -> None:
        node = self.node(name)
        assert isinstance(node, Worker | Judge)
        node.leave()
        self.wake(name)

    def left(self, name: str) -> bool:
        node = self.node(name)
        return isinstance(node, Worker | Judge) and node.drained

    def inside(self, name: str, action: Callable[[Any], Any]) -> Any:
        found = action(self.node(name))
        self.wake(name)
        return found

    def close(self) -> None:
        """Nothing is held open."""

    def _post(self, source: str, target: str, way: bytes, data: bytes) -> None:
        super()._post(source, target, way, self.alter(source, data))


class _KilledError(Exception):
    pass


class _Stop:
    """A stop flag of one thread; `kill` makes its loop end at once, with nothing said."""

    def __init__(self) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK)
        self._set = self._killed = False

    def is_set(self) -> bool:
        if self._killed:
            raise _KilledError
        return self._set

    def set(self) -> None:
        self._set = True
        self.wake()

    def kill(self) -> None:
        self._killed = True
        self.wake()

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"x")

    def hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._write)


class _Stormy(Sockets):
    """Sockets whose frames meet the weather."""

    def of(self, wires: ZeroMqWires, name: str) -> _Stormy:
        self._wires, self._own = wires, name
        self._late: deque[tuple[int, Sent]] = deque()
        return self

    def carry_out(self, acts: list[Act]) -> None:
        now_ns = time.monotonic_ns()
        out: list[Act] = []
        for act in acts:
            if not isinstance(act, Sent):
                out.append(act)
                continue
            sent = Sent(act.target, self._wires.alter(self._own, act.data))
            for delay_ns in self._wires.weather(self._own, ""):
                if delay_ns < LATE_NS:
                    out.append(sent)
                else:
                    self._late.append((now_ns + delay_ns, sent))
        late, self._late = self._late, deque()
        for due_ns, sent in late:
            if due_ns <= now_ns:
                out.append(sent)
            else:
                self._late.append((due_ns, sent))
        super().carry_out(out)


class _Life:
    """One node in a thread of its own."""

    def __init__(self, wires: ZeroMqWires, node: Anyone) -> None:
        self.node = node
        self._wires = wires
        self._stop = _Stop()
        self._listening = threading.Event()
        self._actions: deque[tuple[Callable[[Any], Any], Future[Any]]] = deque()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._listening.wait(THREAD_S), wires.errors

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def leave(self) -> None:
        self._stop.set()

    def kill(self) -> None:
        self._stop.kill()
        self._thread.join(THREAD_S)
        assert self.over
        self._stop.close()

    def inside(self, action: Callable[[Any], Any]) -> Any:
        if threading.current_thread() is self._thread:
            return action(self.node)
        future: Future[Any] = Future()
        self._actions.append((action, future))
        self._stop.wake()
        return future.result(THREAD_S)

    def _act(self) -> None:
        self._stop.hush()
        while self._actions:
            action, future = self._actions.popleft()
            try:
                future.set_result(action(self.node))
            except Exception as error:
                future.set_exception(error)

    def _every(self, now_ns: int) -> int:
        self._act()
        return now_ns + NS_PER_S

    def _run(self) -> None:
        sockets = self._wires.sockets(self.node)
        self._listening.set()
        try:
            if isinstance(self.node, Dispatcher):
                asyncio.run(self._dispatch(self.node, sockets))
            else:
                self._work(self.node, sockets)
        except _KilledError:
            pass
        except BaseException as error:
            self._wires.errors.append(f"{self.node.name}: {error!r}")
        finally:
            if not isinstance(self.node, Dispatcher):
                sockets.close()

    def _work(self, node: Worker | Judge, sockets: Sockets) -> None:
        wires = self._wires
        members = (
            (wires.members[NEXT[node.name.split("-")[0]]], wires.members["audit"])
            if isinstance(node, Worker)
            else None
        )
        Loop(
            node, sockets, SystemClock(), self._stop, wires.timing, wires.meter, drain_s=THREAD_S / 2,
            downstream=node if isinstance(node, Worker) else None, members=members, every=self._every,
        ).run()  # fmt: skip

    async def _dispatch(self, node: Dispatcher, sockets: Sockets) -> None:
        asked = asyncio.Event()
        own = asyncio.get_running_loop()
        own.set_exception_handler(lambda _, context: self._wires.errors.append(f"gateway: {context}"))
        loop = DispatcherLoop(
            node, sockets, self._wires.members["agent"], SystemClock(), self._wires.timing, self._wires.meter
        )
        own.add_reader(self._stop.fd, asked.set)
        loop.start()
        try:
            while not self._stop.is_set():
                await asked.wait()
                asked.clear()
                self._act()
                loop.turn()
        finally:
            own.remove_reader(self._stop.fd)
            loop.stop()


class Bad(NoMeter):
    """Counts what was no frame."""

    def __init__(self) -> None:
        self.frames = 0

    def malformed(self, frame: bytes) -> None:
        self.frames += 1


class ZeroMqWires:
    """Real sockets over TCP on this machine: time is real. A worker keeps its port when it starts again, and
    stays listed while it is dead."""

    patience = 6

    def __init__(self, timing: Timing, weather: Weather = calm) -> None:
        self.timing = timing
        self.weather = weather
        self.alter: Alter = unchanged
        self.meter = Bad()
        self.errors: list[str] = []
        self.members = {stage: _Growing({}) for stage in NEXT.values()}
        self._lives: dict[str, _Life] = {}

    @property
    def now_ns(self) -> int:
        return time.monotonic_ns()

    def add(self, node: Anyone) -> None:
        stage, _, ordinal = node.name.partition("-")
        if stage in self.members and int(ordinal) not in self.members[stage].endpoints():
            self.members[stage].grow(int(ordinal), f"tcp://127.0.0.1:{free_port()}")
        self._lives[node.name] = _Life(self, node)

    def kill(self, name: str) -> Anyone | None:
        life = self._lives.pop(name, None)
        if life is None:
            return None
        life.kill()
        return life.node

    def leave(self, name: str) -> None:
        self._lives[name].leave()

    def left(self, name: str) -> bool:
        return self._lives[name].over

    def node(self, name: str) -> Anyone | None:
        life = self._lives.get(name)
        return life.node if life else None

    def inside(self, name: str, action: Callable[[Any], Any]) -> Any:
        return self._lives[name].inside(action)

    def run(self, duration_ns: int, until: Callable[[], bool] = lambda: False) -> bool:
        end_ns = self.now_ns + duration_ns
        while not until():
            if self.errors or self.now_ns > end_ns:
                return False
            threading.Event().wait(LOOK_S)
        return True

    def wake(self, name: str) -> None:
        """Real nodes are woken by what happens to them."""

    def where(self, name: str) -> str:
        stage, _, ordinal = name.partition("-")
        return self.members[stage].endpoints()[int(ordinal)]

    def sockets(self, node: Anyone) -> Sockets:
        stage = node.name.split("-")[0]
        following = self.members.get(NEXT.get(stage, ""), _Growing({}))
        return _Stormy(
            node.name, SystemClock().wall_us(), bind=self.where(node.name) if stage in self.members else None,
            downstream=following, audits=self.members["audit"],
        ).of(self, node.name)  # fmt: skip

    def close(self) -> None:
        for name in list(self._lives):
            self.kill(name)
        assert not self.errors


class _Growing(FixedMembers):
    def grow(self, ordinal: int, where: str) -> None:
        self._endpoints = {**self._endpoints, ordinal: where}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
