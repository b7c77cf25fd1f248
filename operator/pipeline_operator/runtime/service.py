"""The operator's process: everything joined, and the loop that ticks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from pipeline.clock import NS_PER_MS, NS_PER_S, SystemClock
from pipeline_operator import limits
from pipeline_operator.collectors.feeds import Feeds
from pipeline_operator.kube.access import Access
from pipeline_operator.kube.client import Api
from pipeline_operator.kube.events import Events
from pipeline_operator.policy import decide
from pipeline_operator.runtime.gauge import Gauges
from pipeline_operator.runtime.keeper import Keeper, Tools
from pipeline_operator.runtime.leases import Leases
from pipeline_operator.runtime.listing import list_all, sweep, wait_for_crd
from pipeline_operator.runtime.pages import Pages
from pipeline_operator.runtime.records import RecordLog
from pipeline_operator.runtime.roster import Roster
from pipeline_operator.runtime.scaler import Scaler
from pipeline_operator.runtime.seen import Raw, SeenPipeline
from pipeline_operator.runtime.settings import RunSettings
from pipeline_operator.runtime.teller import Teller
from pipeline_operator.runtime.told import Told
from pipeline_operator.runtime.watch import Watch
from pipeline_operator.runtime.world import World

logger = logging.getLogger(__name__)


class Service:
    """One operator. `run` until `stop` is set."""

    def __init__(self, settings: RunSettings, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._clock = SystemClock()
        self._world = World()
        self._api = Api(access, clock=self._clock)
        self.gauges = Gauges(self._api.meter)
        self._feeds = Feeds(self._clock, self._heard)
        self._events = Events(self._api, settings.identity, self._clock)
        self._records = RecordLog(settings.records)
        self._leases = Leases(self._api, settings.namespaces, settings.name, settings.identity, self._clock)
        self._renew_now = asyncio.Event()
        tools = Tools(
            self._world,
            self._feeds,
            Scaler(self._api, self._world, self._clock),
            self.gauges,
            self._records,
            self._clock,
            decide,
        )
        self._roster = Roster(tools, self._events, self._leases.held, self._new_teller)
        self._wake = asyncio.Event()
        self._changed = True
        self._synced_ns = 0
        self._ticked_ns = self._clock.monotonic_ns()
        self._sweeps = 0
        self.ended = False
        """It was told to stop, or cannot go on."""
        self._ready = False
        self.pages = Pages(
            settings.host, settings.port, self.gauges, self._healthy, self._is_ready, self._told
        )

    def _told(self, namespace: str, name: str) -> Told | None:
        keeper = self._roster.keepers.get((namespace, name))
        return None if keeper is None else keeper.teller.told

    async def run(self, stop: asyncio.Event) -> None:
        """Raises RinglineError when it cannot begin."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._records.close)
            await stack.enter_async_context(self.pages)
            await stack.enter_async_context(self._api)
            await stack.enter_async_context(self._feeds)
            begun = asyncio.create_task(self._work(), name="work")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            await asyncio.wait({begun, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self.ended = True
            stopping.cancel()
            begun.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await begun

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()

        def note(plural: str, raw: Raw, gone: bool) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed: we are leaving
                loop.call_soon_threadsafe(self._note, plural, raw, gone)

        beating = asyncio.create_task(self._keep_beating(), name="beat")
        try:
            await wait_for_crd(self._api)
            for namespace in self._settings.namespaces:
                await list_all(self._api, self._world, namespace)
        finally:
            beating.cancel()
        watch = Watch(self._access, self._settings.namespaces, note)
        watch.start()
        logger.info("watching %s as %s", ", ".join(self._settings.namespaces), self._settings.identity)
        self._ready = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tick_forever(watch), name="tick")
                tasks.create_task(self._renew_forever(), name="lease")
                tasks.create_task(self._forever(self._sweep, limits.SWEEP_EVERY_S), name="sweep")
        finally:
            self._ready = False
            await self._roster.close()
            await self._leases.release()
            await asyncio.to_thread(watch.stop)

    async def _keep_beating(self) -> None:
        """While we wait to begin, we are alive."""
        while True:
            self._ticked_ns = self._clock.monotonic_ns()
            await asyncio.sleep(1)

    async def _tick_forever(self, watch: Watch) -> None:
        while True:
            now_ns = self._clock.monotonic_ns()
            synced_ms = (now_ns - self._synced_ns) // NS_PER_MS
            if self._changed and synced_ms >= limits.SYNC_AT_LEAST_APART_MS:
                self._changed, self._synced_ns = False, now_ns
                self._guarded("sync", self._sync)
            self._changed |= self._roster.drop_gone()
            for keeper in list(self._roster.keepers.values()):
                if keeper.due_ns <= now_ns and self._leases.held(keeper.pipeline):
                    self._tick(keeper)
                    await asyncio.sleep(0)  # collectors and watches are heard between two Pipelines
            self._measure(watch)
            self._ticked_ns = self._clock.monotonic_ns()
            await self._pause()

    def _tick(self, keeper: Keeper) -> None:
        if not self._guarded("tick", lambda: keeper.tick(self._roster.claims)):
            keeper.postpone(round(limits.FAILED_TICK_APART_S * NS_PER_S))

    async def _pause(self) -> None:
        """Until something is due, or news came."""
        now_ns = self._clock.monotonic_ns()
        due_ns = self._roster.next_due_ns(now_ns)
        wait_s = min(limits.TICK_EVERY_S, max(0.001, (due_ns - now_ns) / NS_PER_S))
        if self._changed:
            wait_s = min(wait_s, limits.SYNC_AT_LEAST_APART_MS / 1000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._wake.clear()

    def _guarded(self, where: str, work: Callable[[], None]) -> bool:
        """A fault of ours in one place must not stop the rest."""
        try:
            work()
        except Exception:
            self.gauges.errors[where] += 1
            logger.exception("%s", where)
            return False
        return True

    def _note(self, plural: str, raw: Raw, gone: bool) -> None:
        def note() -> None:
            self._world.note(plural, raw, gone=gone)

        self._guarded("watch", note)
        self._changed = True
        self._wake.set()

    def _heard(self, namespace: str, pod: str, breach: bool) -> None:
        if self._roster.heard(namespace, pod, breach):
            self._wake.set()

    def _sync(self) -> None:
        if self._leases.want(self._world.pipelines.things.values()):
            self._renew_now.set()
        self._roster.sync()

    def _new_teller(self, pipeline: SeenPipeline) -> Teller:
        return Teller(pipeline, self._api, self._events, self.gauges, self._clock, self._leases.transitions)

    async def _renew_forever(self) -> None:
        while True:
            self._renew_now.clear()
            await self._try(self._renew)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.LEASE_RENEW_EVERY_S):
                    await self._renew_now.wait()

    async def _renew(self) -> None:
        before = self.gauges.leases
        await self._leases.step()
        self.gauges.leases = self._leases.told()
        if before != self.gauges.leases:
            self._changed = True
            self._wake.set()

    async def _sweep(self) -> None:
        if self._sweeps == 0:  # what went between our listing and that of the watches
            await asyncio.sleep(limits.FIRST_SWEEP_AFTER_S)
        self._sweeps += 1
        for namespace in self._settings.namespaces:
            if await sweep(self._api, self._world, namespace):
                self._changed = True

    async def _forever(self, work: Callable[[], Coroutine[Any, Any, None]], every_s: float) -> None:
        while True:
            await self._try(work)
            await asyncio.sleep(every_s)

    async def _try(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception:
            self.gauges.errors[work.__name__.strip("_")] += 1
            logger.exception("%s", work.__name__)

    def _measure(self, watch: Watch) -> None:
        feeds = self._feeds.all()
        self.gauges.collectors = (len(feeds), sum(feed.streaming for feed in feeds))
        self.gauges.pipelines = len(self._roster.keepers)
        self.gauges.watch_restarts = watch.restarts
        self.gauges.events_dropped = self._events.dropped

    def _healthy(self) -> tuple[bool, str]:
        late_s = (self._clock.monotonic_ns() - self._ticked_ns) / NS_PER_S
        well = late_s <= limits.TICK_OVERDUE_S
        return well, f"the last tick ended {late_s:.1f} s ago"

    def _is_ready(self) -> tuple[bool, str]:
        return self._ready, "ready" if self._ready else "waiting for the API server or the CRD"
