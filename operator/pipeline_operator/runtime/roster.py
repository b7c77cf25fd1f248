"""Which Pipelines are kept, and which collectors are listened to for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline.clock import NS_PER_S
from pipeline_operator import limits
from pipeline_operator.collectors.feed import Address
from pipeline_operator.errors import SpecError
from pipeline_operator.kube.events import Events
from pipeline_operator.parse_spec import parse_spec
from pipeline_operator.runtime.keeper import Keeper, Tools
from pipeline_operator.runtime.seen import SeenPipeline
from pipeline_operator.runtime.targets import Claims, claims_of
from pipeline_operator.runtime.teller import Teller
from pipeline_operator.runtime.world import Key
from pipeline_operator.spec import PipelineSpec, StageSpec

_SketchedAddress = tuple[Address, tuple[str, ...]]


class Roster:
    """Follows the world; `sync` after it changed."""

    def __init__(
        self,
        tools: Tools,
        events: Events,
        held: Callable[[SeenPipeline], bool],
        new_teller: Callable[[SeenPipeline], Teller],
    ) -> None:
        self.keepers: dict[Key, Keeper] = {}
        self.claims: Claims = {}
        self._tools = tools
        self._events = events
        self._held = held
        self._new_teller = new_teller
        self._by_pod: dict[Key, tuple[Key, str]] = {}
        """Whose Pipeline a pod is of, and of which stage."""
        self._closing: set[asyncio.Task[None]] = set()
        self._others: dict[str, tuple[int, PipelineSpec | None]] = {}
        """Specs of Pipelines that are not ours to decide on, by uid, with their generation."""

    def sync(self) -> None:
        """Begin and end keepers, and listen to the collectors of their pods."""
        there = {
            key: pipeline
            for key, pipeline in self._tools.world.pipelines.things.items()
            if self._held(pipeline)
        }
        for key, keeper in list(self.keepers.items()):
            now = there.get(key)
            if now is None or now.uid != keeper.pipeline.uid:
                self._close(self.keepers.pop(key))
        uids = {pipeline.uid for pipeline in self._tools.world.pipelines.things.values()}
        self._others = {uid: kept for uid, kept in self._others.items() if uid in uids}
        for key, pipeline in there.items():
            if key in self.keepers:
                self.keepers[key].look(pipeline)
            else:
                self.keepers[key] = Keeper(pipeline, self._tools, self._new_teller(pipeline))
        # Of all Pipelines, whoever decides on them: a target has one, also where operators divide them up.
        self.claims = claims_of(self._tools.world.pipelines.things, self._spec_of)
        self._listen()

    def heard(self, namespace: str, pod: str, breach: bool) -> bool:
        """Pass the news of a pod's collector on; True when something is to be decided at once."""
        key, stage = self._by_pod.get((namespace, pod), (("", ""), ""))
        keeper = self.keepers.get(key)
        feed = self._tools.feeds.of(namespace, pod)
        if keeper is None or feed is None:
            return False
        return keeper.news(pod, stage, feed.snapshot, breach=breach)

    def drop_gone(self) -> bool:
        """Drop Pipelines whose deletion the watch has not told, but a write has; True when there were any."""
        before = len(self.keepers)
        for key, keeper in list(self.keepers.items()):
            if keeper.teller.gone:
                self._tools.world.pipelines.keep_without(*key)
                self._close(self.keepers.pop(key))
        return len(self.keepers) < before

    async def close(self) -> None:
        for key in list(self.keepers):
            self._close(self.keepers.pop(key))
        await asyncio.gather(*self._closing, return_exceptions=True)

    def next_due_ns(self, now_ns: int) -> int:
        """When the next keeper wants to decide."""
        latest = now_ns + round(limits.TICK_EVERY_S * NS_PER_S)
        return min((keeper.due_ns for keeper in self.keepers.values()), default=latest)

    def _spec_of(self, pipeline: SeenPipeline) -> PipelineSpec | None:
        """None where it cannot be followed."""
        keeper = self.keepers.get((pipeline.namespace, pipeline.name))
        if keeper is not None:
            return keeper.spec
        generation, spec = self._others.get(pipeline.uid, (-1, None))
        if generation != pipeline.generation:
            try:
                spec = parse_spec({"spec": pipeline.spec})
            except SpecError:
                spec = None
            self._others[pipeline.uid] = (pipeline.generation, spec)
        return spec

    def _listen(self) -> None:
        wanted: dict[Key, _SketchedAddress] = {}
        self._by_pod = {}
        for key, keeper in self.keepers.items():
            for stage in keeper.spec.stages if keeper.spec is not None else ():
                if self.claims.get((key[0], stage.target), keeper.pipeline).uid == keeper.pipeline.uid:
                    self._listen_to(key, stage, wanted)
        self._tools.feeds.set(wanted)

    def _listen_to(self, key: Key, stage: StageSpec, wanted: dict[Key, _SketchedAddress]) -> None:
        namespace, world = key[0], self._tools.world
        target = world.sets.get(namespace, stage.target)
        if target is None:
            return
        sketches = tuple(sorted({sla.event for sla in stage.slas.latency}))
        addresses = world.endpoints_of(target)
        for pod in world.pods_of(target):
            if pod.name in addresses:
                host, port = addresses[pod.name]
                wanted[namespace, pod.name] = (Address(namespace, pod.name, host, port), sketches)
                self._by_pod[namespace, pod.name] = (key, stage.name)

    def _close(self, keeper: Keeper) -> None:
        self._events.forget(keeper.pipeline.uid)
        task = asyncio.create_task(keeper.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
