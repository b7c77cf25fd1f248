"""The loop of an agent, exec or audit process: poll, feed, work, flush, beat. One thread, no framework.

Heartbeats come from this loop, which also does the work: a worker that is stuck falls silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.transport import wire
from pipeline.transport.members import Members
from pipeline.transport.outbox import Act
from pipeline.transport.settings import Meter, Timing
from pipeline.transport.sockets import FROM_DOWN, FROM_UP, Sockets, frame_of

WORK_A_TURN = 64
"""Messages handled between two looks at the network: keeps acknowledgements flowing under load. Audit, which
commits them together, takes a whole batch."""


class Node(Protocol):
    """What the loop drives: a Worker or a Judge."""

    def from_up(self, address: bytes, frame: wire.Frame, now_ns: int) -> None: ...

    def work(self, now_ns: int, most: int) -> bool: ...

    def tick(self, now_ns: int) -> None: ...

    def take(self, now_ns: int) -> list[Act]: ...

    def leave(self) -> None: ...

    @property
    def drained(self) -> bool: ...

    @property
    def due_ns(self) -> int | None:
        """When there will be work to do though nothing arrives; None: never."""


class Downstream(Protocol):
    """The part of a Worker that a Judge has not."""

    def from_down(self, ordinal: int, frame: wire.Frame, now_ns: int) -> None: ...

    def from_ask(self, frame: wire.Frame, now_ns: int) -> None: ...

    def set_members(self, downstream: Iterable[int], audits: Iterable[int]) -> None: ...


class Stop(Protocol):
    """Asked to leave? `fd` becomes readable when so."""

    def is_set(self) -> bool: ...

    @property
    def fd(self) -> int: ...


class Loop:
    """Runs a node on sockets until it is asked to leave and has drained, or `drain_s` has passed."""

    def __init__(
        self,
        node: Node,
        sockets: Sockets,
        clock: Clock,
        stop: Stop,
        timing: Timing,
        meter: Meter,
        *,
        drain_s: float,
        downstream: Downstream | None = None,
        members: tuple[Members, Members] | None = None,
        every: Callable[[int], int] | None = None,
        work_a_turn: int = WORK_A_TURN,
    ) -> None:
        """`every`, for self-reports, is called with now (ns) at every turn and says when it wants to be at
        the latest. `members`: downstream's, audits'."""
        self._node = node
        self._sockets = sockets
        self._clock = clock
        self._stop = stop
        self._timing = timing
        self._meter = meter
        self._drain_ns = int(drain_s * NS_PER_S)
        self._downstream = downstream
        self._members = members
        self._every = every
        self._work_a_turn = work_a_turn

    def run(self) -> None:
        self._sockets.watch_descriptor(self._stop.fd)
        leave_by_ns: int | None = None
        beat_ns = report_ns = 0
        more = False
        while True:
            now_ns = self._clock.monotonic_ns()
            if self._stop.is_set():
                if leave_by_ns is None:
                    leave_by_ns = now_ns + self._drain_ns
                    self._sockets.poller.unregister(self._stop.fd)
                    self._node.leave()
                elif self._node.drained or now_ns > leave_by_ns:
                    self._sockets.carry_out(self._node.take(now_ns))
                    return
            if now_ns >= beat_ns:
                # On whole multiples, as reports are: what is due together costs one awakening.
                beat_ns = (now_ns // self._timing.heartbeat_ns + 1) * self._timing.heartbeat_ns
                self._look_up()
                self._node.tick(now_ns)
            if self._every is not None:
                report_ns = self._every(now_ns)
            self._sockets.carry_out(self._node.take(self._clock.monotonic_ns()))
            due_ns = min(beat_ns, report_ns) if self._every else beat_ns
            node_ns = self._node.due_ns
            if node_ns is not None:
                due_ns = min(due_ns, node_ns)
            wait_ms = 0 if more else max(0, -(-(due_ns - self._clock.monotonic_ns()) // NS_PER_MS))
            if leave_by_ns is not None:
                wait_ms = min(wait_ms, 5)
            if self._sockets.poll(wait_ms):
                self._receive()
            more = self._node.work(self._clock.monotonic_ns(), self._work_a_turn)

    def _look_up(self) -> None:
        if self._downstream is not None and self._members is not None:
            downstream, audits = self._members
            self._downstream.set_members(downstream.endpoints(), audits.endpoints())

    def _receive(self) -> None:
        now_ns = self._clock.monotonic_ns()
        for source, origin, data in self._sockets.receive():
            frame = frame_of(data, self._meter)
            if frame is None:
                continue
            if source == FROM_UP:
                self._node.from_up(origin, frame, now_ns)  # type: ignore[arg-type]
            elif self._downstream is not None:
                if source == FROM_DOWN:
                    self._downstream.from_down(origin, frame, now_ns)  # type: ignore[arg-type]
                else:
                    self._downstream.from_ask(frame, now_ns)
