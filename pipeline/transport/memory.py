"""A network in memory: the same nodes on simulated wires, one thread, time that moves when told.

Public, for users' tests as well as ours. It is a discrete-event simulation: time jumps to the next frame,
heartbeat or pause's end. The wires can lose, double, delay and reorder frames: `weather` says for each
frame after how many nanoseconds its copies arrive. Nodes can be paused, as by SIGSTOP, and killed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from pipeline.errors import FrameError
from pipeline.transport import wire
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.judge import Judge
from pipeline.transport.outbox import Act, Closed, Opened, Sent, ToAsk, ToDown, ToUp
from pipeline.transport.settings import Timing
from pipeline.transport.worker import Worker

Anyone = Dispatcher | Worker | Judge
Weather = Callable[[str, str], list[int]]
"""(from, to) → delays in ns of the copies that arrive; an empty list loses the frame."""

NEXT = {"gateway": "agent", "agent": "exec", "exec": "audit"}


class SimulatedDeathError(BaseException):
    """Raised by a step to end its node at once, as SIGKILL would; no `except Exception` survives it."""


def calm(_source: str, _target: str) -> list[int]:
    """Every frame arrives once, after 0.1 ms."""
    return [100_000]


class MemoryNetwork:
    """Holds nodes by name (`stage-ordinal`), carries their frames, moves time.

    `add` starts a node; `kill` ends it with everything it had in memory and on its wires; `on_death(name)`
    is called when a step raised SimulatedDeathError.
    """

    def __init__(
        self, timing: Timing, weather: Weather = calm, on_death: Callable[[str], None] | None = None
    ) -> None:
        self.now_ns = 1_000_000_000
        self.weather = weather
        self.frames = 0
        self._timing = timing
        self._on_death = on_death
        self._nodes: dict[str, Anyone] = {}
        self._paused: dict[str, list[tuple[Callable[..., None], tuple[Any, ...]]]] = {}
        self._open: set[bytes] = set()
        self._ways: dict[bytes, tuple[str, ToDown | ToAsk]] = {}
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._ready: dict[str, None] = {}
        """Nodes that something happened to and that have not been let think since."""

    # ---- nodes

    def add(self, node: Anyone) -> None:
        self._nodes[node.name] = node
        self._beat(node)

    def kill(self, name: str) -> Anyone | None:
        """Ends a node as SIGKILL would; its peers find out by themselves."""
        node = self._nodes.pop(name, None)
        self._paused.pop(name, None)
        self._open = {way for way in self._open if self._ways[way][0] != name}
        return node

    def pause(self, name: str, duration_ns: int) -> None:
        """Stops a node as SIGSTOP would: frames wait for it and its heartbeats stay away."""
        if name in self._nodes and name not in self._paused:
            self._paused[name] = []
            self.at(duration_ns, self._resume, name, self._nodes[name])

    def node(self, name: str) -> Anyone | None:
        return self._nodes.get(name)

    def nodes(self) -> list[Anyone]:
        return list(self._nodes.values())

    def members(self, stage: str) -> list[int]:
        return [int(name.split("-")[1]) for name in self._nodes if name.startswith(stage + "-")]

    def wake(self, name: str) -> None:
        """Lets a node think at this moment, because its owner gave it something to do."""
        if name in self._nodes and name not in self._paused:
            self._ready[name] = None

    # ---- time

    def at(self, delay_ns: int, action: Callable[..., None], *arguments: Any) -> None:
        """Has `action(*arguments)` called after `delay_ns`."""
        self._count += 1
        heapq.heappush(self._agenda, (self.now_ns + delay_ns, self._count, action, arguments))

    def run(self, duration_ns: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Moves time on; stops early, with True, as soon as `until()` holds."""
        end_ns = self.now_ns + duration_ns
        self._think_all()
        while not until():
            if not self._agenda or self._agenda[0][0] > end_ns:
                self.now_ns = end_ns
                return until()
            self.now_ns, _, action, arguments = heapq.heappop(self._agenda)
            action(*arguments)
            self._think_all()
        return True

    def _think_all(self) -> None:
        while self._ready:
            name = next(iter(self._ready))
            del self._ready[name]
            self._live(name, self._think)

    def _live(self, name: str, act: Callable[..., None], *arguments: Any) -> None:
        """Runs part of a node's life, which may end it."""
        node = self._nodes.get(name)
        if node is None:
            return
        if name in self._paused:
            self._paused[name].append((act, arguments))
            return
        try:
            act(node, *arguments)
        except SimulatedDeathError:
            self.kill(name)
            if self._on_death is not None:
                self._on_death(name)

    def _resume(self, name: str, node: Anyone) -> None:
        if self._nodes.get(name) is node:
            for act, arguments in self._paused.pop(name, []):
                self._live(name, act, *arguments)

    def _think(self, node: Anyone) -> None:
        more = False
        if not isinstance(node, Dispatcher):
            more = node.work(self.now_ns, 1_000)
        acts = node.take(self.now_ns)
        if self._nodes.get(node.name) is not node:
            return
        self._carry(node.name, acts)
        if more:
            self._ready[node.name] = None
        due_ns = node.next_due_ns() if isinstance(node, Dispatcher) else node.due_ns
        if due_ns is not None:
            self.at(max(0, due_ns - self.now_ns), self.wake, node.name)

    def _beat(self, node: Anyone) -> None:
        if self._nodes.get(node.name) is node:
            self._live(node.name, self._tick)
            self.at(self._timing.heartbeat_ns, self._beat, node)

    def _tick(self, node: Anyone) -> None:
        stage = node.name.split("-")[0]
        if isinstance(node, Dispatcher):
            node.set_members(self.members("agent"))
        elif isinstance(node, Worker):
            node.set_members(self.members(NEXT[stage]), self.members("audit"))
        node.tick(self.now_ns)
        self._ready[node.name] = None

    # ---- wires

    def _carry(self, name: str, acts: list[Act]) -> None:
        for act in acts:
            match act:
                case Opened(target):
                    way = _way(name, target)
                    self._ways[way] = (name, target)
                    self._open.add(way)
                case Closed(target):
                    self._open.discard(_way(name, target))
                case Sent(target, data):
                    self._send(name, target, data)

    def _send(self, name: str, target: ToDown | ToAsk | ToUp, data: bytes) -> None:
        if isinstance(target, ToUp):
            if target.address in self._open:
                sender, _ = self._ways[target.address]
                self._post(name, sender, target.address, data)
            return
        way = _way(name, target)
        if isinstance(target, ToAsk):
            self._ways[way] = (name, target)
            self._open.add(way)
            receiver = f"audit-{target.ordinal}"
        else:
            receiver = f"{NEXT[name.split('-')[0]]}-{target.ordinal}"
        if way in self._open:
            self._post(name, receiver, way, data)

    def _post(self, source: str, target: str, way: bytes, data: bytes) -> None:
        self.frames += 1
        for delay_ns in self.weather(source, target):
            self.at(delay_ns, self._live, target, self._deliver, way, data)

    def _deliver(self, node: Anyone, way: bytes, data: bytes) -> None:
        if way not in self._open:
            return
        try:
            frame = wire.decode_frame(data)
        except FrameError:
            return
        sender, target = self._ways[way]
        if sender != node.name:
            assert not isinstance(node, Dispatcher)
            node.from_up(way, frame, self.now_ns)
        elif isinstance(target, ToAsk):
            assert isinstance(node, Worker)
            node.from_ask(frame, self.now_ns)
        else:
            assert not isinstance(node, Judge)
            node.from_down(target.ordinal, frame, self.now_ns)
        self._ready[node.name] = None


def _way(name: str, target: ToDown | ToAsk) -> bytes:
    if isinstance(target, ToAsk):
        return f"{name}/ask/{target.ordinal}".encode()
    return f"{name}/{target.session[0]:x}/{target.session[1]:x}/{target.ordinal}".encode()
