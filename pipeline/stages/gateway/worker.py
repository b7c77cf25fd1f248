"""The gateway process: HTTP intake, journal and the dispatcher's links on one event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop

from pipeline import limits
from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.config import Config
from pipeline.delivery import Delivery
from pipeline.stages.context import REPORT_EVERY_NS, Context, Stop
from pipeline.stages.gateway.app import GatewayApp
from pipeline.stages.gateway.commit import Commit, CommitFailedError
from pipeline.stages.gateway.committer import RETRY_S
from pipeline.stages.gateway.desk import Desk
from pipeline.stages.gateway.health import Health
from pipeline.stages.gateway.reconcile import Mailbox, Reconciler
from pipeline.stages.gateway.secrets import load_secrets
from pipeline.stages.gateway.server import GatewayServer, bind, tls_files
from pipeline.stages.link_report import standing_of
from pipeline.storage.journal import Journal
from pipeline.storage.space import SpaceWatch
from pipeline.telemetry.events import EventID
from pipeline.trading.instruments import Instruments
from pipeline.transport.aio import DispatcherLoop
from pipeline.transport.dns_members import members_of
from pipeline.transport.key_line import Pending
from pipeline.transport.settings import correlation_of
from pipeline.transport.sockets import Sockets

log = logging.getLogger(__name__)

MAINTAIN_S = 0.2
"""The journal persists marks and frees segments in steps of a few milliseconds."""
DRAIN_LOOK_S = 0.01
END_TO_END = int(EventID.END_TO_END)


def run_gateway(config: Config, ready: Callable[[], None], stop: Stop) -> int:
    """The gateway until it is asked to leave.

    Raises MissingError or DamagedError, before anything is served, when port, secrets or journal are not
    to be had.
    """
    context = Context("gateway", 0, config)
    bound = bind(config.gateway.host, config.gateway.port)
    secrets = load_secrets(config, os.environ)
    journal = Journal.open(context.data_dir / "journal", config.journal, context.clock)
    gateway = Gateway(context, journal)

    async def serve() -> None:
        app = GatewayApp(
            config,
            journal=journal,
            instruments=Instruments(config.trading),
            secrets=secrets,
            dispatch=gateway.dispatch,
            recorder=context.recorder,
            clock=context.clock,
            space=gateway.space.look,
        )
        server = GatewayServer(app, bound, config.gateway.max_connections, tls_files(config.gateway))
        await gateway.run(app, server, ready, stop)

    try:
        uvloop.run(serve())
    finally:
        journal.close()
        context.recorder.close()
    return 0


@contextmanager
def _few_collections() -> Iterator[None]:
    """Garbage is looked for seldom: every event that waits is looked through each time, and hardly any
    garbage is circular."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(limits.GATEWAY_GC_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def _nothing() -> None:
    """What there is to do once marks are on disk."""


class Gateway:
    """Joins the application, the journal and the dispatcher."""

    def __init__(self, context: Context, journal: Journal) -> None:
        self._context = context
        self._journal = journal
        self._clock = context.clock
        self._record = context.recorder.record
        self._app: GatewayApp | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._dozing = False
        self._maintain_at_s = 0.0
        members = self._members = members_of(context.config, "agent")
        meter = self._meter = context.link_meter(publish=EventID.GATEWAY_PUBLISH)
        self.space = SpaceWatch.of(context.config, self._clock)
        self._told = {EventID.DUPLICATE: 0, EventID.SHED: 0}
        """How much of the application's counters is in the ring already."""
        self._desk = Desk(
            context.name, context.boot, context.timing, journal, self._clock,
            when_synced=self._when_synced, on_settled=self._settled, on_alarm=self._alarm,
            expire_after_s=context.config.journal.expire_after_s, meter=meter,
            on_stuck=lambda key: self._reconciler.check.suspect(key),
        )  # fmt: skip
        self._dispatcher = self._desk.dispatcher
        audits = self._audits = members_of(context.config, "audit")
        self._reconciler = Reconciler(
            journal, self._dispatcher, self._clock, Mailbox(context.data_dir),
            turn=lambda: self._links.turn(), health=self._health,
        )  # fmt: skip
        sockets = Sockets(
            context.name, context.boot, bind=None, downstream=members, audits=audits, keys=context.link_keys
        )
        self._links = DispatcherLoop(
            self._dispatcher, sockets, members, self._clock, context.timing, meter,
            self._reconciler.check, audits,
        )  # fmt: skip
        self._report = context.reporter(self._dispatcher, meter)
        self._report.standing = lambda: standing_of(journal.controls.values())

    def dispatch(self, deliveries: list[Delivery]) -> None:
        """Takes newly synced deliveries, in journal order, and sends what may go."""
        self._meter.handled += len(deliveries)
        count = self._report.hot_keys.add
        for delivery in deliveries:
            count(delivery.key)
        if self._dozing:
            self._dozing = False
            self._tick_in(REPORT_EVERY_NS)
        self._desk.dispatch(deliveries)
        self._links.turn()

    async def run(
        self, app: GatewayApp, server: GatewayServer, ready: Callable[[], None], stop: Stop
    ) -> None:
        """Serves until `stop`; then drains: what is accepted and can still be settled is settled."""
        self._app = app
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        loop.add_reader(stop.fd, stopping.set)
        self._links.start()
        await server.start()
        self._loop = loop
        self._tick(loop.time())
        ready()
        try:
            with _few_collections():
                await stopping.wait()
            loop.remove_reader(stop.fd)
            app.health.drain()
            await self._drained()
            await server.stop(within_s=1)
            await self._close_committer(app)
        finally:
            if self._ticking is not None:
                self._ticking.cancel()
            self._reconciler.close()
            self._links.stop()
            self._report.close()
            self._members.close()
            self._audits.close()

    # ---- events

    def _settled(self, pending: Pending) -> None:
        if pending.resent:
            return  # it was timed when it was settled for the first time
        duration_ns = self._clock.monotonic_ns() - pending.accepted_ns
        self._record(END_TO_END, duration_ns, correlation_of(pending.delivery.event_id))

    def _when_synced(self, action: Callable[[], None]) -> None:
        """Runs `action` when everything appended so far is on disk; never, when the disk failed."""
        assert self._app is not None
        committer = self._app.committer

        def synced(commit: Commit) -> None:
            if commit.error is None:
                action()
                self._links.turn()
            elif not committer.failed:  # the disk is full for now
                asyncio.get_running_loop().call_later(RETRY_S, self._when_synced, action)

        committer.barrier().then(synced)

    def _health(self) -> Health:
        assert self._app is not None
        return self._app.health

    def _alarm(self, text: str) -> None:
        assert self._app is not None
        self._app.health.fail(f"the audit contradicts the journal: {text}")

    # ---- time

    def _tick(self, due_s: float) -> None:
        """Self-reports ten times a second, less often while nothing happens; journal maintenance between."""
        assert self._loop is not None
        now_s = self._loop.time()
        self._record(EventID.EVENT_LOOP_LAG, max(0, int((now_s - due_s) * NS_PER_S)))
        now_ns = self._clock.monotonic_ns()
        wait_ns = self._report(now_ns) - now_ns
        self._tell_counters()
        if now_s >= self._maintain_at_s:
            self._maintain_at_s = now_s + MAINTAIN_S
            self._maintain()
        self._dozing = wait_ns > REPORT_EVERY_NS
        self._tick_in(wait_ns)

    def _tick_in(self, wait_ns: int) -> None:
        assert self._loop is not None
        if self._ticking is not None:
            self._ticking.cancel()
        due_s = self._loop.time() + wait_ns / NS_PER_S
        self._ticking = self._loop.call_at(due_s, self._tick, due_s)

    def _tell_counters(self) -> None:
        """Writes to the ring what the application has counted since the last time."""
        assert self._app is not None
        counters = self._app.counters
        shed = counters.requests[429] + counters.requests[503]
        for event, total in ((EventID.DUPLICATE, counters.duplicates), (EventID.SHED, shed)):
            if total > self._told[event]:
                self._context.recorder.count(event, total - self._told[event])
                self._told[event] = total

    def _maintain(self) -> None:
        assert self._app is not None
        try:
            self._journal.maintain()
            self._reconciler.look()
            self._app.health.crowd(self.space.unready())
            if self._journal.unsynced and not self._app.committer.pending:
                self._when_synced(_nothing)  # marks, with no event coming whose sync would take them along
        except Exception as error:  # whatever the disk did, no more events are taken
            self._app.health.fail(f"journal: {error}")
            log.exception("journal maintenance failed")

    async def _drained(self) -> None:
        """Waits until everything accepted is settled, or until the others must be gone too."""
        limit_ns = self._context.config.supervisor.drain_s * NS_PER_S * 8 // 10
        give_up_ns = self._clock.monotonic_ns() + max(limit_ns, 100 * NS_PER_MS)
        while self._clock.monotonic_ns() < give_up_ns:
            if self._dispatcher.unsettled <= self._dispatcher.stopped:  # the committer's end syncs the rest
                return
            await asyncio.sleep(DRAIN_LOOK_S)
        log.warning("left with %d unsettled events; they are in the journal", self._dispatcher.unsettled)

    @staticmethod
    async def _close_committer(app: GatewayApp) -> None:
        try:
            await app.committer.close()
        except CommitFailedError as error:
            log.error("%s", error)
