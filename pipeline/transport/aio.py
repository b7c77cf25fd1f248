"""The gateway's links inside an asyncio loop (uvloop or the standard one)."""

from __future__ import annotations

import asyncio

from pipeline.clock import NS_PER_S, Clock
from pipeline.transport.audit_check import AuditCheck
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.members import Members
from pipeline.transport.settings import Meter, Timing
from pipeline.transport.sockets import FROM_ASK, Sockets, frame_of


class DispatcherLoop:
    """Drives a Dispatcher on its sockets from the running event loop.

    ZeroMQ's descriptors are edge-triggered: every turn reads all sockets dry, also after its own sends.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        sockets: Sockets,
        members: Members,
        clock: Clock,
        timing: Timing,
        meter: Meter,
        check: AuditCheck | None = None,
        audits: Members | None = None,
    ) -> None:
        """`check` asks the workers of `audits`."""
        self._check = check
        self._audits = audits
        self._dispatcher = dispatcher
        self._sockets = sockets
        self._members = members
        self._clock = clock
        self._timing = timing
        self._meter = meter
        self._beat: asyncio.TimerHandle | None = None
        self._due: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turning = False

    def start(self) -> None:
        """Opens the links; call from within the event loop."""
        loop = self._loop = asyncio.get_running_loop()
        self._sockets.watch(lambda descriptor: loop.add_reader(descriptor, self.turn), loop.remove_reader)
        self._tick()

    def stop(self) -> None:
        for handle in (self._beat, self._due):
            if handle is not None:
                handle.cancel()
        self._sockets.close()

    def turn(self) -> None:
        """Receives what has arrived and sends what may go; call after `enqueue` and `fated`."""
        if self._turning:
            return
        self._turning = True
        try:
            for _ in range(100):
                received = self._receive()
                acts = self._dispatcher.take(self._clock.monotonic_ns())
                if self._check is not None:
                    acts += self._check.take()
                self._sockets.carry_out(acts)
                if not received and not acts:
                    break
        finally:
            self._turning = False
        self._schedule()

    def _receive(self) -> bool:
        received = False
        now_ns = self._clock.monotonic_ns()
        for source, ordinal, data in self._sockets.receive():
            received = True
            frame = frame_of(data, self._meter)
            if frame is None:
                continue
            if source == FROM_ASK and self._check is not None:
                self._check.receive(int(ordinal), frame, now_ns)
            else:
                self._dispatcher.from_down(ordinal, frame, now_ns)  # type: ignore[arg-type]
        return received

    def _tick(self) -> None:
        assert self._loop is not None
        now_ns = self._clock.monotonic_ns()
        self._dispatcher.set_members(self._members.endpoints())
        self._dispatcher.tick(now_ns)
        if self._check is not None and self._audits is not None:
            self._check.set_audits(self._audits.endpoints())
            self._check.tick(now_ns)
        # On whole multiples, as workers' are: what is due together costs one awakening.
        beat_s = self._timing.heartbeat_ns / NS_PER_S
        now_s = self._loop.time()
        self._beat = self._loop.call_at((now_s // beat_s + 1) * beat_s, self._tick)
        self.turn()

    def _schedule(self) -> None:
        """A pausing key is sent again on time, also when nothing else happens."""
        assert self._loop is not None
        due_ns = self._dispatcher.next_due_ns()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if due_ns is not None:
            wait_s = max(0, due_ns - self._clock.monotonic_ns()) / NS_PER_S
            self._due = self._loop.call_later(wait_s, self.turn)
