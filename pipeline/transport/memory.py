"""A network in memory: the same nodes on simulated wires, one thread, time that moves when told.

Public, for users' tests as well as ours. The wires can lose, double, delay and reorder frames: `weather`
says for each frame after how many nanoseconds its copies arrive.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from pipeline.transport import wire
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.judge import Judge
from pipeline.transport.outbox import Act, Closed, Opened, Sent, ToAsk, ToDown, ToUp
from pipeline.transport.settings import Timing
from pipeline.transport.worker import Worker

Anyone = Dispatcher | Worker | Judge
Weather = Callable[[str, str], list[int]]
"""(from, to) → delays in ns of the copies that arrive; an empty list loses the frame."""

STEP_NS = 200_000
NEXT = {"gateway": "agent", "agent": "exec", "exec": "audit"}


def calm(_source: str, _target: str) -> list[int]:
    """Every frame arrives once, after 0.1 ms."""
    return [100_000]


class MemoryNetwork:
    """Holds nodes by name (`stage-ordinal`), carries their frames, moves time.

    `add` starts a node, `kill` ends it at once with everything it had in memory and on its wires.
    """

    def __init__(self, timing: Timing, weather: Weather = calm) -> None:
        self.now_ns = 1_000_000_000
        self.weather = weather
        self._timing = timing
        self._nodes: dict[str, Anyone] = {}
        self._beat_ns: dict[str, int] = {}
        self._open: set[bytes] = set()
        self._ways: dict[bytes, tuple[str, ToDown | ToAsk]] = {}
        self._queue: list[tuple[int, int, str, Any, bytes]] = []
        self._count = 0
        self._arrived: dict[tuple[str, bytes], int] = {}
        self.frames = 0

    # ---- nodes

    def add(self, node: Anyone) -> None:
        self._nodes[node.name] = node
        self._beat_ns[node.name] = 0

    def kill(self, name: str) -> Anyone | None:
        """Ends a node as SIGKILL would; its peers find out by themselves."""
        node = self._nodes.pop(name, None)
        self._open = {way for way in self._open if self._ways[way][0] != name}
        return node

    def node(self, name: str) -> Anyone | None:
        return self._nodes.get(name)

    def members(self, stage: str) -> list[int]:
        return [int(name.split("-")[1]) for name in self._nodes if name.startswith(stage + "-")]

    # ---- time

    def run(self, duration_ns: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Moves time on; stops early, with True, as soon as `until()` holds."""
        end_ns = self.now_ns + duration_ns
        while self.now_ns < end_ns:
            self.turn()
            if until():
                return True
            self.now_ns += STEP_NS
        return False

    def turn(self) -> None:
        """Delivers what is due and lets every node think once."""
        while self._queue and self._queue[0][0] <= self.now_ns:
            _, _, name, origin, data = heapq.heappop(self._queue)
            self._deliver(name, origin, data)
        for name in list(self._nodes):
            node = self._nodes.get(name)
            if node is not None:
                self._think(name, node)

    def _think(self, name: str, node: Anyone) -> None:
        if self.now_ns >= self._beat_ns[name]:
            self._beat_ns[name] = self.now_ns + self._timing.heartbeat_ns
            stage = name.split("-")[0]
            if isinstance(node, Dispatcher):
                node.set_members(self.members("agent"))
            elif isinstance(node, Worker):
                node.set_members(self.members(NEXT[stage]), self.members("audit"))
            node.tick(self.now_ns)
        if not isinstance(node, Dispatcher):
            node.work(self.now_ns, 1_000)
        if self._nodes.get(name) is node:
            self._carry(name, node.take(self.now_ns))

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
            self._count += 1
            heapq.heappush(self._queue, (self.now_ns + delay_ns, self._count, target, way, data))

    def _deliver(self, name: str, way: bytes, data: bytes) -> None:
        node = self._nodes.get(name)
        if node is None or way not in self._open:
            return
        frame = wire.decode_frame(data)
        sender, target = self._ways[way]
        if sender != name:
            assert not isinstance(node, Dispatcher)
            node.from_up(way, frame, self.now_ns)
        elif isinstance(target, ToAsk):
            assert isinstance(node, Worker)
            node.from_ask(frame, self.now_ns)
        else:
            assert not isinstance(node, Judge)
            node.from_down(target.ordinal, frame, self.now_ns)


def _way(name: str, target: ToDown | ToAsk) -> bytes:
    if isinstance(target, ToAsk):
        return f"{name}/ask/{target.ordinal}".encode()
    return f"{name}/{target.session[0]:x}/{target.session[1]:x}/{target.ordinal}".encode()
