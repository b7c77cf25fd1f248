"""Keeps one Pipeline: decides, writes what was decided, and says what it did."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from msgspec import structs

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.snapshot import Snapshot
from pipeline_operator import limits
from pipeline_operator.collectors.feeds import Feeds
from pipeline_operator.errors import SpecError
from pipeline_operator.memory import Memory, decode_memory
from pipeline_operator.merge import Digests
from pipeline_operator.observation import Observation
from pipeline_operator.parse_spec import parse_spec
from pipeline_operator.record import Record, Write, named
from pipeline_operator.runtime.gauge import Gauges
from pipeline_operator.runtime.observe import Starts, observe
from pipeline_operator.runtime.records import RecordLog
from pipeline_operator.runtime.refusals import Refusals, probes_of
from pipeline_operator.runtime.replicas import KnownReplicas
from pipeline_operator.runtime.scaler import Scaler, Written
from pipeline_operator.runtime.seen import SeenPipeline
from pipeline_operator.runtime.status_of import read_status
from pipeline_operator.runtime.targets import Claims, faults_of
from pipeline_operator.runtime.teller import Teller
from pipeline_operator.runtime.world import World
from pipeline_operator.spec import PipelineSpec

logger = logging.getLogger(__name__)
Decide = Callable[[PipelineSpec, Observation, Memory, int], tuple[Memory, Record]]


@dataclass(frozen=True)
class Tools:
    """What all keepers share."""

    world: World
    feeds: Feeds
    scaler: Scaler
    gauges: Gauges
    records: RecordLog
    clock: Clock
    decide: Decide


class Keeper:
    """One Pipeline under one Lease. `tick` when `due`; nothing here raises for what others do wrong."""

    def __init__(self, pipeline: SeenPipeline, tools: Tools, teller: Teller) -> None:
        status = read_status(pipeline.status)
        self.pipeline = pipeline
        self.spec: PipelineSpec | None = None
        self.fault = ""
        """Why the spec cannot be followed."""
        self.teller = teller
        self._tools = tools
        self._memory = decode_memory(status.memory.encode())
        self._known: dict[str, KnownReplicas] = {}
        self._left = {(stage.name, stage.target): (stage.replicas, stage.version) for stage in status.stages}
        self._starts = Starts(self._memory.at_us)
        self._refusals = Refusals()
        self._digests = Digests()
        self._due_ns = 0
        self._last_ns = 0
        self._news_ns: int | None = None
        self._writing: asyncio.Task[None] | None = None
        self._recorded: tuple[object, int] = (None, 0)
        self._parse()

    @property
    def key(self) -> tuple[str, str]:
        return (self.pipeline.namespace, self.pipeline.name)

    @property
    def due_ns(self) -> int:
        """Monotonic; in a year while it is writing."""
        return self._due_ns if self._writing is None else self._last_ns + 365 * 86_400 * NS_PER_S

    def look(self, pipeline: SeenPipeline) -> None:
        """The Pipeline as it is now."""
        changed = pipeline.generation != self.pipeline.generation
        self.pipeline = pipeline
        if changed:
            self._parse()
            self._due_ns = 0

    def news(self, pod: str, stage: str, snapshot: Snapshot | None, *, breach: bool) -> bool:
        """The collector of a pod of this stage said something. A breach is decided on at once, one that was
        pushed as well as one that the figures show; True when it is one.
        """
        now_ns = self._tools.clock.monotonic_ns()
        if self._news_ns is None:
            self._news_ns = now_ns
        if snapshot is not None:
            self._digests.read(pod, stage, snapshot)
        urgent = breach or (
            snapshot is not None and self.spec is not None and shows_breach(self.spec, snapshot)
        )
        if urgent:
            self._due_ns = min(self._due_ns, self._last_ns + limits.MIN_PUSHED_TICK_MS * NS_PER_MS)
        return urgent

    def postpone(self, by_ns: int) -> None:
        """Not before then, whatever comes."""
        self._last_ns = self._tools.clock.monotonic_ns() + by_ns
        self._due_ns = self._last_ns

    def tick(self, claims: Claims) -> None:
        """Decide once; writes go on behind."""
        now_ns, now_us = self._tools.clock.monotonic_ns(), self._tools.clock.wall_us()
        self._last_ns = now_ns
        if self.spec is None:
            self._due_ns = now_ns + round(limits.TICK_EVERY_S * NS_PER_S)
            self.teller.refuse(self.pipeline, "InvalidSpec", self.fault, now_us)
            return
        self._due_ns = now_ns + self.spec.tuning.tick_ms * NS_PER_MS
        news_ns, self._news_ns = self._news_ns, None
        observation = self._observe(self.spec, claims, now_us)
        before = self._memory
        self._memory, record = self._tools.decide(self.spec, observation, before, now_us)
        self._tools.gauges.decision.observe((self._tools.clock.monotonic_ns() - now_ns) / NS_PER_S)
        self._note(record, observation, now_ns)
        self.teller.tell(self.pipeline, record, self._memory, now_us)
        probes = self._probes(record, now_ns) if self.spec.mode == "active" else ()
        if record.writes or probes:
            self._writing = asyncio.create_task(self._write(record, probes, before, news_ns or now_ns))

    async def close(self) -> None:
        """Wait for what is being written: it is done or fails within an API timeout."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        await self.teller.close()
        self._tools.gauges.forget(self.key)

    def _parse(self) -> None:
        try:
            self.spec, self.fault = parse_spec({"spec": self.pipeline.spec}), ""
        except SpecError as error:
            self.spec, self.fault = None, str(error)

    def _observe(self, spec: PipelineSpec, claims: Claims, now_us: int) -> Observation:
        tools, namespace = self._tools, self.pipeline.namespace
        for stage in spec.stages:
            seen = tools.world.sets.get(namespace, stage.target)
            if seen is None:
                self._known.pop(stage.name, None)
                self._left.pop((stage.name, stage.target), None)  # one that comes now is another one
                self._refusals.forget(stage.name)
                continue
            known = self._known.get(stage.name)
            if known is None or known.uid != seen.uid:
                self._refusals.forget(stage.name)
                known = KnownReplicas(seen.uid, *self._left.pop((stage.name, stage.target), (None, "")))
                self._known[stage.name] = known
            known.look(seen, now_us)
        faults = faults_of(self.pipeline, spec, tools.world, claims)
        refused = self._refusals.told(tools.clock.monotonic_ns())
        return observe(
            namespace, spec, tools.world, tools.feeds, faults, self._known, self._starts, refused, now_us,
            self._digests,
        )  # fmt: skip

    def _probes(self, record: Record, now_ns: int) -> tuple[Write, ...]:
        sound = {stage.stage for stage in record.inputs.observation.stages if not stage.fault}
        targets = {one.stage: (one.target, one.before) for one in record.stages if one.stage in sound}
        return probes_of(self._refusals.told(now_ns), targets, record.writes)

    def _note(self, record: Record, observation: Observation, now_ns: int) -> None:
        gauges = self._tools.gauges
        gauges.replicas[self.key] = {one.stage: (one.before, one.after) for one in record.stages}
        sources = [stage.signals.sources for stage in observation.stages]
        oldest_ms = max((source.oldest_ms for source in sources), default=0)
        gauges.signals[self.key] = (oldest_ms, sum(one.expected - one.answered for one in sources))
        gist = (
            tuple((one.before, one.after, one.wanted) for one in record.stages),
            tuple((one.type, one.status, one.reason) for one in record.conditions),
        )
        if gist != self._recorded[0] or now_ns - self._recorded[1] >= limits.RECORD_EVERY_S * NS_PER_S:
            self._recorded = (gist, now_ns)
            self._tools.records.write(named(record, *self.key))

    async def _write(self, record: Record, probes: tuple[Write, ...], before: Memory, news_ns: int) -> None:
        """All stages at once. What was not done is not remembered as done."""
        try:
            namespace, scaler = self.pipeline.namespace, self._tools.scaler
            tried, results = await asyncio.gather(
                asyncio.gather(*(scaler.probe(namespace, probe) for probe in probes)),
                asyncio.gather(*(scaler.scale(namespace, write) for write in record.writes)),
            )
            for result in results:
                self._wrote(result, news_ns)
            for result in (*tried, *results):
                self._refusals.note(result, self._tools.clock.monotonic_ns())
            failed = {result.write.stage for result in results if result.fault}
            self._memory = _forget_writes(self._memory, before, failed)
            if any(result.fault and not result.refusal for result in (*tried, *results)):
                self.postpone(round(limits.FAILED_WRITE_APART_S * NS_PER_S))
            else:
                self._due_ns = 0  # what is refused waits by itself
            if results:
                self.teller.wrote(self.pipeline, record, results)
        except Exception:
            self._tools.gauges.errors["write"] += 1
            logger.exception("%s/%s: writing", *self.key)
        finally:
            self._writing = None

    def _wrote(self, result: Written, news_ns: int) -> None:
        write, gauges = result.write, self._tools.gauges
        if result.fault:
            gauges.errors["scale"] += 1
            if result.refusal:
                gauges.refused[(*self.key, result.refusal)] += 1
            logger.log(
                logging.DEBUG if result.away else logging.WARNING,
                "%s/%s: %s was not scaled: %s",
                *self.key,
                write.target,
                result.fault,
            )
            return
        if (known := self._known.get(write.stage)) is not None:
            known.wrote(write.replicas, result.seen.version if result.seen else "")
        raised = write.replicas > write.before
        gauges.writes["raise" if raised else "lower"] += 1
        if raised:
            gauges.reaction.observe((self._tools.clock.monotonic_ns() - news_ns) / NS_PER_S)


def shows_breach(spec: PipelineSpec, snapshot: Snapshot) -> bool:
    """A first look, cheap and one-sided: a lag above its limit, or messages refused. The policy judges."""
    limit_ms = {stage.name: stage.slas.lag_ms for stage in spec.stages if stage.slas.lag_ms is not None}
    late = any(
        one.lag_ms is not None and one.lag_ms > limit_ms.get(one.stage, one.lag_ms)
        for one in snapshot.replicas
    )
    return late or any(counts.shed for stage in snapshot.stages for counts in stage.counts[:1])


def _forget_writes(after: Memory, before: Memory, failed: set[str]) -> Memory:
    if not failed:
        return after
    old = {stage.stage: stage for stage in before.stages}
    stages = (old.get(one.stage, one) if one.stage in failed else one for one in after.stages)
    return structs.replace(after, stages=tuple(stages))
