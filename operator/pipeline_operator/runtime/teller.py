"""Tells people what was decided on one Pipeline: its status, and Events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from pipeline.clock import NS_PER_S, Clock
from pipeline_operator import limits
from pipeline_operator.kube import paths
from pipeline_operator.kube.client import Api
from pipeline_operator.kube.errors import ApiAwayError, ApiError
from pipeline_operator.kube.events import Events, Subject
from pipeline_operator.kube.times import text_of
from pipeline_operator.memory import Memory, encode_memory
from pipeline_operator.observation import FaultReason
from pipeline_operator.policy.conditions import PODS_MISSING
from pipeline_operator.record import ConditionType, Record
from pipeline_operator.runtime.gauge import Gauges
from pipeline_operator.runtime.scaler import Written
from pipeline_operator.runtime.seen import SeenPipeline
from pipeline_operator.runtime.status_of import as_patch, cut, read_status, status_of, undecided_status
from pipeline_operator.runtime.told import Told, told_of
from pipeline_operator.status import Decision, PipelineStatus, StatusCondition

logger = logging.getLogger(__name__)
_WARNED_OF = {
    ConditionType.READY: "False",
    ConditionType.CONTESTED: "True",
    ConditionType.PODS_STUCK: "True",
    ConditionType.SIGNALS_STALE: "True",
    ConditionType.AT_CAPACITY: "True",
}
"""The status that people are warned of."""
_BY_REASON = {ConditionType.READY, ConditionType.SCALING_ACTIVE}
"""Events of these have the condition's reason, others its name."""
_AT_ONCE = {ConditionType.CONTESTED, ConditionType.PODS_STUCK}


class Teller:
    """One Pipeline's. Nothing here waits for the API server: one task at a time writes the newest status."""

    def __init__(
        self,
        pipeline: SeenPipeline,
        api: Api,
        events: Events,
        gauges: Gauges,
        clock: Clock,
        transitions: Callable[[SeenPipeline], int],
    ) -> None:
        self._api, self._events, self._gauges, self._clock = api, events, gauges, clock
        self._transitions = transitions
        self._status = read_status(pipeline.status)
        self._written: object = None
        self._figures: PipelineStatus | None = None
        self._written_ns = self._memory_ns = clock.monotonic_ns() - round(3600 * NS_PER_S)
        self._memory_due = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = False
        self._done: Decision | None = None
        """Written since the status was last made."""
        self._bad_since_ns: dict[str, int] = {}
        self._warned = {
            one.type
            for one in self._status.conditions
            if one.status == _WARNED_OF.get(ConditionType(one.type))
        }
        """Conditions that were told of, by us or by a former operator, and are no better since."""
        self.told: Told | None = None
        """The last decision; None before the first one, and where the spec cannot be followed."""
        self.gone = False
        """The API server says that there is no such Pipeline."""

    def refuse(self, pipeline: SeenPipeline, reason: str, message: str, now_us: int) -> None:
        """It cannot be decided on."""
        self.told = None
        told = cut(message)
        self._status = undecided_status(self._status, pipeline.generation, reason, told, now_us)
        if self._written != _gist(self._status) and not self._writing:
            self._say(pipeline, reason, told, warning=True)
        self._write_when_due(pipeline)

    def tell(self, pipeline: SeenPipeline, record: Record, memory: Memory, now_us: int) -> None:
        """A decision was made."""
        before = self._status
        now_ns = self._clock.monotonic_ns()
        with_memory = self._memory_due or now_ns - self._memory_ns >= limits.MEMORY_EVERY_S * NS_PER_S
        kept = encode_memory(memory).decode() if with_memory else before.memory
        self._status = status_of(
            record,
            before,
            generation=pipeline.generation,
            lease_transitions=self._transitions(pipeline),
            memory=kept if len(kept) <= limits.MAX_MEMORY_CHARS else "",
            decision=self._decision(record, before, now_us),
        )
        self.told = told_of(self._status, record, text_of(record.at_us))
        self._warn(pipeline, self._status, now_ns)
        self._write_when_due(pipeline)

    def wrote(self, pipeline: SeenPipeline, record: Record, results: Sequence[Written]) -> None:
        """What was decided was patched, or not."""
        self._memory_due = True
        done = [result.write for result in results if not result.fault]
        if done:
            self._done = Decision(at=text_of(record.at_us), sentence=cut(record.sentence))
            raised = any(write.replicas > write.before for write in done)
            self._say(pipeline, "Raised" if raised else "Lowered", record.sentence)
        failed = [result for result in results if result.fault and not result.away]
        for reason in sorted({one.refusal for one in failed}):
            told = "; ".join(f"{one.write.target}: {one.fault}" for one in failed if one.refusal == reason)
            self._say(pipeline, reason or "ScaleFailed", told, warning=True)

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _decision(self, record: Record, before: PipelineStatus, now_us: int) -> Decision | None:
        """Told once: written, or wished while it may not write."""
        done, self._done = self._done, None
        wished = record.mode == "recommend" and any(one.after != one.before for one in record.stages)
        sentence = cut(record.sentence)
        if done is None and wished and sentence != before.last_decision:
            return Decision(at=text_of(now_us), sentence=sentence)
        return done

    def _warn(self, pipeline: SeenPipeline, status: PipelineStatus, now_ns: int) -> None:
        """Of what lasts: pods that start, with their collectors, are no news, and a stage at its maximum
        is one only when it stays there."""
        for condition in status.conditions:
            kind = ConditionType(condition.type)
            if not _is_warned_of(condition):
                self._bad_since_ns.pop(kind, None)
                self._warned.discard(kind)
                continue
            since_ns = self._bad_since_ns.setdefault(kind, now_ns)
            lasts_ns = round(_patience_s(condition) * NS_PER_S)
            if kind not in self._warned and now_ns - since_ns >= lasts_ns:
                self._warned.add(kind)
                reason = condition.reason if kind in _BY_REASON else kind.value
                self._say(pipeline, reason, condition.message, warning=True)

    def _write_when_due(self, pipeline: SeenPipeline) -> None:
        now_ns = self._clock.monotonic_ns()
        since_s = (now_ns - self._written_ns) / NS_PER_S
        if self._writing or since_s < limits.STATUS_AT_LEAST_APART_S:
            return
        changed = _gist(self._status) != self._written
        if changed or (since_s >= limits.STATUS_EVERY_S and self._status != self._figures):
            self._writing = True
            self._spawn(self._write(pipeline, self._status, now_ns))

    async def _write(self, pipeline: SeenPipeline, status: PipelineStatus, now_ns: int) -> None:
        with_memory = self._figures is None or status.memory != self._figures.memory
        self._written_ns = now_ns
        try:
            path = paths.pipeline_status(pipeline.namespace, pipeline.name)
            async with self._api.patient():
                await self._api.merge(path, as_patch(status, with_memory=with_memory))
            self._written, self._figures = _gist(status), status
            if with_memory:
                self._memory_ns, self._memory_due = now_ns, False
        except ApiError as error:
            self.gone = self.gone or error.status == 404
            if error.status != 404:
                self._gauges.errors["status"] += 1
                logger.warning("%s/%s: its status was refused: %s", pipeline.namespace, pipeline.name, error)
        except ApiAwayError as error:
            self._gauges.errors["status"] += 1
            logger.info("%s/%s: its status was not written: %s", pipeline.namespace, pipeline.name, error)
        finally:
            self._writing = False

    def _say(self, pipeline: SeenPipeline, reason: str, note: str, *, warning: bool = False) -> None:
        subject = Subject(pipeline.namespace, pipeline.name, pipeline.uid)
        self._spawn(self._events.say(subject, reason, note, warning=warning))

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_warned_of(condition: StatusCondition) -> bool:
    """An autoscaler on a target is told by no other condition, and a refused write has Events of its own."""
    if condition.type == ConditionType.SCALING_ACTIVE:
        return condition.status == "False" and condition.reason == FaultReason.AUTOSCALED
    return condition.status == _WARNED_OF.get(ConditionType(condition.type))


def _patience_s(condition: StatusCondition) -> float:
    """How long it has to last before people are warned of it."""
    if condition.type in _AT_ONCE:
        return 0.0
    return limits.WARN_OF_PODS_AFTER_S if condition.reason == PODS_MISSING else limits.WARN_AFTER_S


def _gist(status: PipelineStatus) -> object:
    """What is worth a write of its own: not the figures, which change all the time."""
    return (
        status.observed_generation,
        tuple((one.type, one.status, one.reason) for one in status.conditions),
        tuple((one.name, one.target, one.replicas, one.ready, one.wanted) for one in status.stages),
        status.decisions,
        status.lease_transitions,
    )
