"""The embedded autoscaler: looks, decides by the operator's policy, and has the supervisor carry it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from pipeline import limits
from pipeline.autoscale.changes import Changes
from pipeline.autoscale.observe import observe
from pipeline.autoscale.settings import SCALED
from pipeline.autoscale.state import AutoscaleState, StageState
from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.snapshot import Snapshot
from pipeline.supervisor import StageStaff
from pipeline_operator.memory import Memory
from pipeline_operator.policy import decide
from pipeline_operator.record import LOCAL_PIPELINE, Record, named
from pipeline_operator.spec import PipelineSpec


class Staff(Protocol):
    """Who starts and stops workers: the supervisor."""

    def scale(self, stage: str, workers: int) -> None: ...

    def staff(self, stage: str) -> StageStaff: ...


class Records(Protocol):
    """Where decisions are kept."""

    def write(self, record: Record) -> None: ...


class Autoscaler:
    """`tick` it a few times a second; it decides when it is due, and waits for nobody.

    `newest` answers the collector's snapshot, its age in ms and why there is none newer; `tell` gets a
    sentence for each change; `keep` the state as JSON at each decision.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        staff: Staff,
        newest: Callable[[], tuple[Snapshot | None, int, str]],
        clock: Clock,
        *,
        records: Records,
        records_file: str,
        tell: Callable[[str], None],
        keep: Callable[[bytes], None],
    ) -> None:
        self.spec = spec
        self._staff = staff
        self._newest = newest
        self._clock = clock
        self._records = records
        self._records_file = records_file
        self._tell = tell
        self._keep = keep
        self._memory = Memory()
        self._changes = Changes()
        self._due_ns = 0
        self._recorded: tuple[object, int] = (None, 0)

    def tick(self) -> Record | None:
        """The decision, when one was due."""
        now_ns, now_us = self._clock.monotonic_ns(), self._clock.wall_us()
        if now_ns < self._due_ns:
            return None
        self._due_ns = now_ns + limits.AUTOSCALE_EVERY_MS * NS_PER_MS
        staff = {stage.name: self._staff.staff(stage.name) for stage in self.spec.stages}
        observation = observe(self.spec, staff, *self._newest(), now_us)
        self._memory, record = decide(self.spec, observation, self._memory, now_us)
        for write in record.writes:
            if write.stage in SCALED:
                self._staff.scale(write.stage, write.replicas)
                self._tell(f"autoscale: {record.stage(write.stage).sentence}")
        self._changes.take(record)
        self._note(record, now_ns)
        self._keep(msgspec.json.encode(self._state(record)))
        return record

    def _note(self, record: Record, now_ns: int) -> None:
        """A record that says what the last one said is kept once a minute."""
        gist = (
            tuple((one.before, one.ready, one.after, one.wanted) for one in record.stages),
            tuple((one.type, one.status, one.reason) for one in record.conditions),
        )
        if gist != self._recorded[0] or now_ns - self._recorded[1] >= limits.AUTOSCALE_RECORD_S * NS_PER_S:
            self._recorded = (gist, now_ns)
            self._records.write(named(record, "", LOCAL_PIPELINE))

    def _state(self, record: Record) -> AutoscaleState:
        seen = {stage.stage: stage for stage in record.inputs.observation.stages}
        bounds = {stage.name: stage for stage in self.spec.stages}
        return AutoscaleState(
            at_us=record.at_us,
            mode=record.mode,
            sentence=record.sentence,
            stages=tuple(
                StageState(
                    stage=one.stage,
                    least=bounds[one.stage].min_replicas,
                    most=bounds[one.stage].max_replicas,
                    workers=one.after if record.mode == "active" else one.before,
                    ready=one.ready,
                    lag_ms=seen[one.stage].signals.lag_ms,
                    capacity_per_s=None if one.capacity_milli is None else one.capacity_milli / 1000,
                    sentence=one.sentence,
                )
                for one in record.stages
            ),
            conditions={one.type.value: one.message for one in record.conditions if one.status == "True"},
            changes=self._changes.all(),
            records=self._records_file,
        )
